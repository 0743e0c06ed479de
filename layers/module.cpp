#include "espalier/layers/module.h"

#include "espalier/core/error.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

OnnxValue Module::to_onnx(OnnxGraph&, const OnnxValue&) const {
  throw UsageError(
      fmt::format("[onnx] {}: expected layers that say what they are in ONNX, got one that does not", name()));
}

// One walk serves writers and readers, so that a layer lists its parameters once. The cast is sound because a walk
// changes nothing itself, and what it shows reaches a reader as const.
void Module::visit_parameters(const std::function<void(const Parameter&)>& visit) const {
  const_cast<Module*>(this)->visit_parameters(
      std::function<void(Parameter&)>([&](Parameter& parameter) { visit(parameter); }));
}

void Module::visit_state(const std::function<void(const std::string&, std::span<const Real>)>& visit) const {
  const_cast<Module*>(this)->visit_state(std::function<void(const std::string&, std::vector<Real>&)>(
      [&](const std::string& name, std::vector<Real>& numbers) { visit(name, numbers); }));
}

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

std::vector<const Parameter*> parameters_of(const Module& module) {
  std::vector<const Parameter*> all;
  module.visit_parameters([&](const Parameter& parameter) { all.push_back(&parameter); });
  return all;
}

std::vector<ConstNamedNumbers> state_of(const Module& module) {
  std::vector<ConstNamedNumbers> all;
  module.visit_state([&](const std::string& name, std::span<const Real> numbers) {
    all.push_back({.name = name, .numbers = numbers});
  });
  return all;
}

Census census_of(const Module& module) {
  Census census;
  module.visit_parameters([&](const Parameter& parameter) {
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
