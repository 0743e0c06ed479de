// libFuzzer's harness of the LIBSVM reader: a file of any bytes is loaded, or ends in an Error of one line.
#include "espalier/datasets/libsvm.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const char* const tasks[] = {"auto", "classification", "regression"};
  const std::string task = tasks[data[0] % 3];
  const espalier::MemoryFile file(data + 1, bytes - 1);
  try {
    const espalier::DataParts parts = espalier::load_libsvm(file.path(), data[0] & 0x80 ? file.path() : std::string(),
                                                            {.task = task, .validation = 2, .test_fraction = 0.3});
    if (parts.train->shape().features() > 10000) return 0;
    std::vector<espalier::Real> features(static_cast<std::size_t>(parts.train->shape().features()));
    for (espalier::Index i = 0; i < parts.train->samples(); ++i) {
      parts.train->read(i, features);
      if (parts.train->classes() > 0 && parts.train->label(i) >= parts.train->classes()) std::abort();
    }
  } catch (const espalier::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
