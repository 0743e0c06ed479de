// libFuzzer's harness of the safetensors reader: what it reads has the bytes that it says, and is the same once more
// when it is written and read; anything else ends in a FileError of one line.
#include "espalier/core/safetensors.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "espalier/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), bytes);
  try {
    const espalier::SafeTensors read = espalier::decode(text, "fuzz");
    for (const espalier::SafeTensor& tensor : read.tensors)
      if (espalier::bytes_of(tensor) != tensor.data.size()) std::abort();
    if (espalier::decode(espalier::encode(read), "again") != read) std::abort();
  } catch (const espalier::FileError& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
