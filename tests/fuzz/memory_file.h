// For harnesses of what opens its file itself.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace espalier {

// A file in memory, found by its path.
class MemoryFile {
 public:
  MemoryFile(const void* data, std::size_t bytes) : descriptor_(::memfd_create("fuzz", 0)) { replace(data, bytes); }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  void replace(const void* data, std::size_t bytes) {
    if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, data, bytes, 0) != static_cast<ssize_t>(bytes))
      std::abort();
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace espalier
