// libFuzzer's harness of the LIBSVM reader: a file of any bytes is loaded, or ends in an Error of one line.
#include "espalier/datasets/libsvm.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/core/error.h"

namespace {

// A file in memory, found by its path.
class MemoryFile {
 public:
  MemoryFile(const void* data, std::size_t bytes) : descriptor_(::memfd_create("fuzz", 0)) {
    if (descriptor_ < 0 || ::write(descriptor_, data, bytes) != static_cast<ssize_t>(bytes)) std::abort();
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const char* const tasks[] = {"auto", "classification", "regression"};
  const std::string task = tasks[data[0] % 3];
  const MemoryFile file(data + 1, bytes - 1);
  try {
    const espalier::DataParts parts = espalier::load_libsvm(file.path(), data[0] & 0x80 ? file.path() : std::string(),
                                                            {.task = task, .validation = 2, .test_fraction = 0.3});
    if (parts.train->features() > 10000) return 0;
    std::vector<espalier::Real> features(static_cast<std::size_t>(parts.train->features()));
    for (espalier::Index i = 0; i < parts.train->samples(); ++i) {
      parts.train->read(i, features);
      if (parts.train->classes() > 0 && parts.train->label(i) >= parts.train->classes()) std::abort();
    }
  } catch (const espalier::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
