#include "espalier/core/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/file_calls.h"

namespace espalier {
namespace {

// Throws with errno's reason: "model.safetensors: expected to write it, but fsync failed: No space left on device"
[[noreturn]] void fail(const std::filesystem::path& path, const char* intent, const char* what) {
  const int reason = errno;
  throw FileError(fmt::format("{}: expected to {} it, but {} failed: {}", path.string(), intent, what,
                              std::generic_category().message(reason)));
}

class Descriptor final {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }
  bool open() const { return number_ >= 0; }

 private:
  int number_;
};

// Retries a system call that a signal interrupted.
template <typename Call>
auto uninterrupted(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : ".";
}

constexpr const char* writing = "write";                      // what was intended, for messages
constexpr std::size_t transfer_bytes = std::size_t{1} << 30;  // Linux moves at most 2 GiB in one call

}  // namespace

FileCalls& file_calls() {
  static FileCalls calls{.write = ::write, .fsync = ::fsync, .rename = ::rename};
  return calls;
}

std::filesystem::path link_target(std::filesystem::path path) {
  constexpr int most_links = 40;  // as many as Linux follows
  const std::filesystem::path first = path;
  for (int i = 0; i < most_links; ++i) {
    std::error_code none;
    const std::filesystem::path next = std::filesystem::read_symlink(path, none);
    if (none) return path;
    path = path.parent_path() / next;
  }
  throw FileError(fmt::format("{}: expected symbolic links that end somewhere, found a circle", first.string()));
}

// --- OutputFile ------------------------------------------------------------------------------------------------------

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  struct stat status = {};
  const bool exists = ::stat(path_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode))
    throw FileError(fmt::format("{}: expected a file to write, found a folder", path_.string()));
  if (exists && !S_ISREG(status.st_mode)) {
    file_ = uninterrupted([&] { return ::open(path_.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC); });
    if (file_ < 0) fail(path_, writing, "opening");
    return;
  }
  target_ = link_target(path_);
  create_temporary();
  constexpr mode_t permissions = 0777;  // are those of the file that is replaced, where the file system has any
  if (exists) ::fchmod(file_, status.st_mode & permissions);
}

// O_EXCL never opens a file that exists: a leftover of a killed process with our number only costs one more try.
void OutputFile::create_temporary() {
  static std::atomic<unsigned> count = 0;
  do {
    temporary_ = folder_of(target_) / fmt::format(".espalier-{}-{}.tmp", ::getpid(), count++);
    file_ = uninterrupted([&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  } while (file_ < 0 && errno == EEXIST);
  if (file_ < 0) fail(path_, writing, "creating a temporary file beside it");
}

OutputFile::~OutputFile() {
  if (file_ >= 0) ::close(file_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::string_view contents) {
  while (!contents.empty()) {
    const auto written = uninterrupted(
        [&] { return file_calls().write(file_, contents.data(), std::min(contents.size(), transfer_bytes)); });
    if (written < 0) fail(path_, writing, target_.empty() ? "writing" : "writing a temporary file beside it");
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputFile::finish() {
  const FileCalls& calls = file_calls();
  const bool replaces = !target_.empty();
  if (replaces && uninterrupted([&] { return calls.fsync(file_); }) < 0) fail(path_, writing, "fsync");
  if (::close(std::exchange(file_, -1)) < 0) fail(path_, writing, "closing");
  if (!replaces) return;
  if (calls.rename(temporary_.c_str(), target_.c_str()) < 0) fail(path_, writing, "renaming a temporary file to it");
  temporary_.clear();

  // The new name itself reaches the disk with its folder. Not every file system can do that, and the file is whole
  // either way: no error.
  const std::filesystem::path folder = folder_of(target_);
  if (const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); directory.open())
    calls.fsync(directory.number());
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  OutputFile file(path);
  file.write(contents);
  file.finish();
}

void remove_stale_temporaries(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> stale;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    int process = 0, number = 0, length = 0;
    const std::string name = entry.path().filename().string();
    const bool ours = std::sscanf(name.c_str(), ".espalier-%d-%d.tmp%n", &process, &number, &length) == 2 &&
                      static_cast<std::size_t>(length) == name.size() && process > 0;
    if (ours && (process == ::getpid() || (::kill(process, 0) < 0 && errno == ESRCH))) stale.push_back(entry.path());
  }
  for (const auto& file : stale) std::filesystem::remove(file, ignored);
}

// --- reading ---------------------------------------------------------------------------------------------------------

std::string read_file(const std::filesystem::path& path, std::uintmax_t limit_bytes) {
  constexpr const char* intent = "read";
  // O_NONBLOCK: opening a pipe that has no writer must fail below, not wait.
  const Descriptor file(
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
  if (!file.open()) fail(path, intent, "opening");
  struct stat status = {};
  if (::fstat(file.number(), &status) < 0) fail(path, intent, "fstat");
  if (!S_ISREG(status.st_mode))
    throw FileError(fmt::format("{}: expected a regular file, found {}", path.string(),
                                S_ISDIR(status.st_mode) ? "a folder" : "a device, pipe or socket"));
  const auto expected = static_cast<std::uintmax_t>(status.st_size);
  if (expected > limit_bytes)
    throw FileError(fmt::format("{}: expected at most {} bytes, found {}", path.string(), limit_bytes, expected));

  std::string contents;
  try {
    contents.resize(static_cast<std::size_t>(expected));
  } catch (const std::bad_alloc&) {
    throw FileError(fmt::format("{}: expected a file that fits into memory, found {} bytes", path.string(), expected));
  }
  for (std::size_t at = 0; at < contents.size();) {
    const auto got = uninterrupted(
        [&] { return ::read(file.number(), contents.data() + at, std::min(contents.size() - at, transfer_bytes)); });
    if (got < 0) fail(path, intent, "reading");
    if (got == 0)
      throw FileError(
          fmt::format("{}: byte {}: expected {} bytes, found the end of the file", path.string(), at, contents.size()));
    at += static_cast<std::size_t>(got);
  }
  return contents;
}

}  // namespace espalier
