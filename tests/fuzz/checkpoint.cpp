// libFuzzer's harness of checkpoints: parameters take over one that fits them, or are told why not in a FileError of
// one line, and are then as they were. An input is a checkpoint without its checksum; the harness puts in the right
// one, which no change at random would ever meet.
#include "espalier/core/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "espalier/core/random.h"
#include "tests/fuzz/expectations.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/mutate_safetensors.h"

namespace espalier {
namespace {

std::string with_checksum(const std::string& bytes) {
  constexpr std::string_view key = R"("checksum":")", blank = "0000000000000000";
  try {
    SafeTensors file = decode(bytes, "fuzz");
    file.metadata["checksum"] = blank;
    std::string whole = encode(file);
    return whole.replace(whole.find(key) + key.size(), blank.size(), fmt::format("{:016x}", Random::hash(whole)));
  } catch (const Error&) {
    return bytes;
  }
}

// A weight, a bias and their values at an earlier time, with what an optimizer keeps, and a state.
class Network {
 public:
  Network() {
    for (Parameter* W : {&weight_, &bias_}) W->add_slot("momentum");
  }
  std::vector<CheckpointPart> parts() {
    return {{.parameters = {&weight_, &bias_}, .state = {{"mean", state_}}},
            {.name = "early", .parameters = {&early_weight_}}};
  }
  std::vector<Real> numbers() const {
    std::vector<Real> all(state_);
    for (const Parameter* W : {&weight_, &bias_, &early_weight_})
      all.insert(all.end(), W->value().begin(), W->value().end());
    return all;
  }
  void expect_sound() const {
    for (const Parameter* W : {&weight_, &bias_, &early_weight_}) {
      expect_finite(W->value());
      for (const std::string& slot : W->slot_names()) expect(W->slot(slot).size() == W->value().size());
      const Index stored = W->storage() == Storage::csr ? W->nonzeros() : W->positions();
      expect(static_cast<Index>(W->value().size()) == stored);
    }
  }

 private:
  Parameter weight_{"fc1.weight", 2, 3}, bias_{"fc1.bias", 2, 1, Role::bias}, early_weight_{"fc1.weight", 2, 3};
  std::vector<Real> state_{0, 0};
};

}  // namespace
}  // namespace espalier

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t bytes, std::size_t most, unsigned seed) {
  return espalier::SafeTensorsMutator(seed).mutate(data, bytes, most);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const std::string contents = espalier::with_checksum({reinterpret_cast<const char*>(data), bytes});
  const espalier::MemoryFile file(contents.data(), contents.size());
  espalier::Network network;
  const std::vector<espalier::Real> before = network.numbers();
  try {
    espalier::CheckpointFile(file.path()).load(network.parts());
    network.expect_sound();
  } catch (const espalier::FileError& error) {
    espalier::expect_one_line(error);
    espalier::expect(network.numbers() == before);
  }
  return 0;
}
