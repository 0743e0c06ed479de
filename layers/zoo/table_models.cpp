// Models for tables. Their names say hidden widths only: inputs and outputs are the data's.
#include "espalier/core/error.h"
#include "espalier/layers/builder.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier::zoo {
namespace {

constexpr std::string_view tabular_prefix = "tabular:", resnet_prefix = "tabular-resnet:";

// Of no table in particular.
ModelProfile any_table() {
  constexpr Index columns = 100;
  return {.input = {columns}, .warmup = 0.05, .clip_norm = 1};
}

ModulePtr linear(const std::string& name, const ModelOptions& options) {
  return Builder(name, options).linear("output", options.outputs).done();
}

struct TableName {
  std::vector<Index> extents;  // hidden widths; of a resnet: width and blocks
  HiddenOptions hidden;
};

TableName tabular_name(const std::string& name) {
  const SuffixedName parts = suffixes_in(behind(tabular_prefix, name), name);
  return {extents_in(parts.extents, name, "tabular:256-256"), parts.hidden};
}

ModulePtr tabular(const std::string& name, const ModelOptions& options) {
  const auto [widths, hidden] = tabular_name(name);
  Builder all(name, options);  // nothing is allocated before all are known to fit
  Index in = options.input.features();
  for (const Index width : widths) all.require_memory(static_cast<double>(width), static_cast<double>(in)), in = width;
  Builder model(name, options);
  for (std::size_t i = 0; i < widths.size(); ++i) model.hidden(fmt::format("fc{}", i + 1), widths[i], hidden);
  return model.linear("output", options.outputs).done();
}

TableName resnet_name(const std::string& name) {
  constexpr Index most_blocks = 1000;
  const SuffixedName parts = suffixes_in(behind(resnet_prefix, name), name);
  const std::vector<Index> extents = extents_in(parts.extents, name, "tabular-resnet:128x3", 'x');
  require(extents.size() == 2 && extents[1] <= most_blocks,
          "[model] {}: expected a width and 1 to {} blocks such as tabular-resnet:128x3, got \"{}\"", name, most_blocks,
          parts.extents);
  return {extents, parts.hidden};
}

// The ResNet of Gorishniy et al., "Revisiting deep learning models for tabular data", 2021: normalised before, not
// after, so that nothing stands on the way from the first sum to the last; one more norm and ReLU behind the last
// block.
ModulePtr tabular_resnet(const std::string& name, const ModelOptions& options) {
  const auto [extents, hidden] = resnet_name(name);
  const auto width = static_cast<double>(extents[0]), blocks = static_cast<double>(extents[1]);
  Builder all(name, options);  // nothing is allocated before all are known to fit
  all.require_memory(width, static_cast<double>(options.input.features()) + 4 * width * blocks);
  Builder model(name, options);
  model.linear("input", extents[0]);
  for (Index b = 1; b <= extents[1]; ++b) model.tabular_block(fmt::format("block{}", b), hidden);
  return model.batch_norm("norm", Activation::relu).linear("output", options.outputs).done();
}

std::string as_mlp(const std::string&, const std::vector<Index>& extents) {
  return fmt::format("mlp:{}", fmt::join(extents, "-"));
}

std::string resized_tabular(const std::string& name, const std::vector<Index>& extents) {
  return fmt::format("{}{}{}", tabular_prefix, fmt::join(extents.begin() + 1, extents.end() - 1, "-"),
                     suffixes_in(behind(tabular_prefix, name), name).suffixes);
}

}  // namespace

std::vector<ModelFamily> table_models() {
  return {{.name = "linear",
           .form = "linear",
           .line = "one layer: linear or logistic regression",
           .profile = [](const std::string&) { return any_table(); },
           .make = linear,
           .resized = as_mlp},
          {.name = std::string(tabular_prefix),
           .form = "tabular:HIDDEN-...[+norm][+dropout=P]",
           .line = "hidden layers with ReLU, then a linear one",
           .profile = [](const std::string& name) { return tabular_name(name), any_table(); },
           .make = tabular,
           .resized = resized_tabular},
          {.name = std::string(resnet_prefix),
           .form = "tabular-resnet:WIDTHxBLOCKS[+norm][+dropout=P]",
           .line = "residual blocks of two linear layers (Gorishniy et al. 2021)",
           .profile = [](const std::string& name) { return resnet_name(name), any_table(); },
           .make = tabular_resnet}};
}

}  // namespace espalier::zoo
