// libFuzzer's harness of models' files: what opens has finite weights only, anything else ends in a FileError of one
// line. An input is a file without checksums; the harness puts in the right ones, which no change at random would ever
// meet.
#include <cstdint>
#include <string>

#include "espalier/core/safetensors.h"
#include "espalier/layers/model_file.h"
#include "tests/fuzz/expectations.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/mutate_safetensors.h"

namespace espalier {
namespace {

// Files of the older format have no checksums.
std::string sealed(const std::string& bytes) {
  try {
    SafeTensors file = decode(bytes, "fuzz");
    const auto format = file.metadata.find("format");
    file.sealed = format == file.metadata.end() || format->second != "espalier-1";
    return encode(file);
  } catch (const Error&) {
    return bytes;
  }
}

}  // namespace
}  // namespace espalier

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t bytes, std::size_t most, unsigned seed) {
  return espalier::SafeTensorsMutator(seed).mutate(data, bytes, most);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const std::string contents = espalier::sealed({reinterpret_cast<const char*>(data), bytes});
  const espalier::MemoryFile file(contents.data(), contents.size());
  try {
    // The shape is for files of the older format, which do not say it.
    const espalier::OpenedModel opened = espalier::open_model(file.path(), {3}, 2);
    for (const espalier::Parameter* W : espalier::parameters_of(std::as_const(*opened.model)))
      espalier::expect_finite(W->value());
  } catch (const espalier::FileError& error) {
    espalier::expect_one_line(error);
  }
  return 0;
}
