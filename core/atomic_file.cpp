#include "espalier/core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>

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
  int close() { return ::close(std::exchange(number_, -1)); }

 private:
  int number_;
};

// A name that is removed again unless keep() says that it is needed.
class TemporaryName final {
 public:
  explicit TemporaryName(std::filesystem::path path) : path_(std::move(path)) {}
  ~TemporaryName() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::filesystem::path path_;
};

// Retries a system call that a signal interrupted.
template <typename Call>
auto uninterrupted(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

constexpr std::size_t transfer_bytes = std::size_t{1} << 30;  // Linux moves at most 2 GiB in one call

}  // namespace

FileCalls& file_calls() {
  static FileCalls calls{.write = ::write, .fsync = ::fsync, .rename = ::rename};
  return calls;
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  static std::atomic<unsigned> count = 0;
  constexpr const char* intent = "write";
  const FileCalls& calls = file_calls();
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";

  // O_EXCL never opens a file that exists: a leftover of a killed process with our number only costs one more try.
  std::filesystem::path name;
  int number = -1;
  do {
    name = folder / fmt::format(".espalier-{}-{}.tmp", ::getpid(), count++);
    number = uninterrupted([&] { return ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  } while (number < 0 && errno == EEXIST);
  Descriptor file(number);
  if (!file.open()) fail(path, intent, "creating a temporary file beside it");
  TemporaryName temporary(std::move(name));

  while (!contents.empty()) {
    const auto written = uninterrupted(
        [&] { return calls.write(file.number(), contents.data(), std::min(contents.size(), transfer_bytes)); });
    if (written < 0) fail(path, intent, "writing a temporary file beside it");
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
  if (uninterrupted([&] { return calls.fsync(file.number()); }) < 0) fail(path, intent, "fsync");
  if (file.close() < 0) fail(path, intent, "closing a temporary file beside it");
  if (calls.rename(temporary.path().c_str(), path.c_str()) < 0) fail(path, intent, "renaming a temporary file to it");
  temporary.keep();

  // The new name itself reaches the disk with its folder. Not every file system can do that, and the file is whole
  // either way: no error.
  if (const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); directory.open())
    calls.fsync(directory.number());
}

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
