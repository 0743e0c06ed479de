// A library to be loaded before the system's (LD_PRELOAD), in which one call that touches a file in a folder fails, as
// on a disk that is full or broken:
//
//   FAILING_CALL     write, fsync, rename or close
//   FAILING_NUMBER   which one of them, counted from 1; what is written elsewhere does not count
//   FAILING_FOLDER   the folder
//   FAILING_EVER     if it is set: all the later ones as well
//
// A write that fails has written half of what it was to write before, where there is a half. A close that fails has
// closed the file. When the call comes, a line on standard error says so.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

std::string_view setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string_view base_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool in_folder(std::string_view path) {
  const std::string_view folder = setting("FAILING_FOLDER");
  return !folder.empty() && path.starts_with(folder);
}

// The file that was opened, if it was for writing. Folders are opened for reading.
std::string_view opened(int file, char (&path)[4096]) {
  if (file <= STDERR_FILENO || (::fcntl(file, F_GETFL) & O_ACCMODE) == O_RDONLY) return "";
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = ::readlink(link, path, sizeof path);
  return length > 0 ? std::string_view(path, static_cast<std::size_t>(length)) : "";
}

// Whether this call is the one.
bool fails(const char* call, std::string_view path) {
  static std::atomic<long> count = 0;
  if (setting("FAILING_CALL") != call || !in_folder(path)) return false;
  const long number = ++count, wanted = std::strtol(setting("FAILING_NUMBER").data(), nullptr, 10);
  if (number != wanted && (number < wanted || setting("FAILING_EVER").empty())) return false;
  const std::string_view file = base_of(path);
  ::dprintf(STDERR_FILENO, "failing_calls: %s %ld, %.*s\n", call, number, static_cast<int>(file.size()), file.data());
  return true;
}

}  // namespace

extern "C" {

ssize_t write(int file, const void* bytes, std::size_t count) {
  static auto* const real = next<ssize_t(int, const void*, std::size_t)>("write");
  char path[4096];
  if (fails("write", opened(file, path))) {
    if (count > 1) real(file, bytes, count / 2);
    errno = ENOSPC;
    return -1;
  }
  return real(file, bytes, count);
}

int fsync(int file) {
  static auto* const real = next<int(int)>("fsync");
  char path[4096];
  if (fails("fsync", opened(file, path))) {
    errno = EIO;
    return -1;
  }
  return real(file);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("rename");
  if (fails("rename", to)) {
    errno = ENOSPC;
    return -1;
  }
  return real(from, to);
}

int close(int file) {
  static auto* const real = next<int(int)>("close");
  char path[4096];
  const bool broken = fails("close", opened(file, path));
  const int result = real(file);
  if (!broken) return result;
  errno = EIO;
  return -1;
}

}  // extern "C"
