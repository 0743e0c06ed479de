// libFuzzer's harness of configurations: what is read and possible is the same when it is written and read once more;
// anything else ends in an Error, of one line if it is the file's.
#include "espalier/experiment/config.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "espalier/core/error.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const espalier::MemoryFile file(data, bytes);
  try {
    const std::string once = espalier::to_toml(espalier::settled(espalier::from_toml(file.path())));
    const espalier::MemoryFile written(once.data(), once.size());
    if (espalier::to_toml(espalier::from_toml(written.path())) != once) std::abort();
  } catch (const espalier::UsageError&) {  // what the tool says of it is escaped there
  } catch (const espalier::FileError& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
