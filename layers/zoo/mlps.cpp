// Linear layers with ReLU between them, all extents in the name; or lenet-300-100, which has those of its two hidden
// layers there, and takes inputs and outputs from the data.
#include "espalier/core/error.h"
#include "espalier/layers/builder.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier::zoo {
namespace {

constexpr std::string_view mlp_prefix = "mlp:", lenet = "lenet-300-100";

// Inputs, hidden ..., outputs.
std::vector<Index> extents_of(const std::string& name) {
  if (name == lenet) return {784, 300, 100, 10};  // on MNIST, for which it was made
  const std::vector<Index> extents = extents_in(behind(mlp_prefix, name), name, "mlp:784-300-10");
  require(extents.size() >= 2, "[model] {}: expected at least inputs and outputs, got {} extent", name, extents.size());
  return extents;
}

ModelProfile mlp_profile(const std::string& name) {
  const std::vector<Index> extents = extents_of(name);
  return {.input = {extents.front()}, .outputs = extents.back()};
}

ModulePtr make(const std::string& name, const ModelOptions& options) {
  std::vector<Index> extents = extents_of(name);
  if (name == lenet) extents.front() = options.input.features(), extents.back() = options.outputs;
  require(extents.front() == options.input.features(), "[model] {}: expected data of {} inputs, got samples of {} = {}",
          name, extents.front(), options.input.text(), options.input.features());
  require(extents.back() == options.outputs, "[model] {}: expected data of {} classes or outputs, got {}", name,
          extents.back(), options.outputs);
  Builder all(name, options);  // nothing is allocated before all are known to fit
  for (std::size_t i = 1; i < extents.size(); ++i)
    all.require_memory(static_cast<double>(extents[i]), static_cast<double>(extents[i - 1]));
  Builder model(name, options);
  for (std::size_t i = 1; i + 1 < extents.size(); ++i)
    model.linear(fmt::format("fc{}", i), extents[i], Activation::relu);
  return model.linear("output", extents.back()).done();
}

std::string resized(const std::string&, const std::vector<Index>& extents) {
  return fmt::format("{}{}", mlp_prefix, fmt::join(extents, "-"));
}

}  // namespace

std::vector<ModelFamily> mlps() {
  return {{.name = std::string(lenet),
           .form = std::string(lenet),
           .line = "hidden layers of 300 and 100 with ReLU between (LeCun et al. 1998)",
           .profile = mlp_profile,
           .make = make,
           .resized = resized},
          {.name = std::string(mlp_prefix),
           .form = "mlp:INPUTS-HIDDEN-...-OUTPUTS",
           .line = "linear layers of any extents with ReLU between",
           .profile = mlp_profile,
           .make = make,
           .resized = resized}};
}

}  // namespace espalier::zoo
