// libFuzzer's harness of the IDX reader, and of the decompressor under it: a file of any bytes is read, and then has
// the numbers that its extents say, or ends in a FileError of one line. The first byte says how many extents are
// expected.
#include "espalier/datasets/idx.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "espalier/core/error.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const espalier::MemoryFile file(data + 1, bytes - 1);
  try {
    const espalier::Idx idx = espalier::read_idx(file.path(), 1 + data[0] % 4);
    espalier::Index numbers = 1;
    for (const espalier::Index extent : idx.extents) numbers *= extent;
    if (numbers != static_cast<espalier::Index>(idx.values.size())) std::abort();
    espalier::checksum(idx);
  } catch (const espalier::FileError& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
