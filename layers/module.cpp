#include "espalier/layers/module.h"

namespace espalier {

std::vector<Parameter*> parameters_of(Module& module) {
  std::vector<Parameter*> all;
  module.visit_parameters([&](Parameter& parameter) { all.push_back(&parameter); });
  return all;
}

std::vector<NamedNumbers> state_of(Module& module) {
  std::vector<NamedNumbers> all;
  module.visit_state(
      [&](const std::string& name, std::span<Real> numbers) { all.push_back({.name = name, .numbers = numbers}); });
  return all;
}

Census census_of(Module& module) {
  Census census;
  module.visit_parameters([&](Parameter& parameter) {
    if (parameter.prunable()) {
      census.positions += parameter.positions();
      census.live += parameter.nonzeros();
    } else {
      census.unprunable += parameter.nonzeros();
    }
  });
  return census;
}

void prepare_for_latency(Module& module) {
  module.visit_parameters([](Parameter& parameter) { parameter.pack_for_latency(); });
}

}  // namespace espalier
