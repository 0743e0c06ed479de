#include "espalier/core/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "espalier/core/error.h"

namespace espalier {
namespace {

FileError failed(const std::filesystem::path& path, const char* what, int reason) {
  return FileError(fmt::format("{}: expected to write it, but {} failed: {}", path.string(), what,
                               std::generic_category().message(reason)));
}

}  // namespace

LogFile::LogFile(std::filesystem::path path) : path_(std::move(path)) {
  do file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0666);
  while (file_ < 0 && errno == EINTR);
  if (file_ < 0) throw failed(path_, "opening", errno);
}

LogFile::~LogFile() {
  ::close(file_);
}

std::uintmax_t LogFile::keep(std::uintmax_t bytes) {
  struct stat status = {};
  const bool known = ::fstat(file_, &status) == 0 && S_ISREG(status.st_mode);
  bytes_ = known ? std::min(bytes, static_cast<std::uintmax_t>(status.st_size)) : bytes;
  cut_ = false;
  return bytes_;
}

void LogFile::append(std::string_view text) {
  // A pipe cannot be cut, and has nothing behind.
  if (!cut_ && ::ftruncate(file_, static_cast<off_t>(bytes_)) < 0 && errno != EINVAL)
    throw failed(path_, "cutting it back", errno);
  cut_ = true;
  for (std::string_view left = text; !left.empty();) {
    const ssize_t written = ::write(file_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = written < 0 ? errno : ENOSPC;
      cut_ = ::ftruncate(file_, static_cast<off_t>(bytes_)) == 0;
      throw failed(path_, "writing", reason);
    }
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  bytes_ += text.size();
}

void LogFile::synchronise() {
  if (::fsync(file_) < 0 && errno != EINVAL && errno != EROFS) throw failed(path_, "fsync", errno);
}

}  // namespace espalier
