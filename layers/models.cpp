#include "espalier/layers/models.h"

#include <algorithm>
#include <iterator>

#include "espalier/core/error.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier {

namespace {

std::vector<ModelFamily> families_of_the_zoo() {
  std::vector<ModelFamily> all;
  for (const auto family :
       {zoo::mlps, zoo::image_models, zoo::table_models, zoo::sequence_models, zoo::attention_models, zoo::averages})
    std::ranges::move(family(), std::back_inserter(all));
  return all;
}

}  // namespace

Catalogue<ModelFamily>& models() {
  static Catalogue<ModelFamily> all("model", families_of_the_zoo());
  return all;
}

const ModelFamily& model_family(std::string_view name) {
  const ModelFamily* longest = nullptr;
  for (const ModelFamily& family : models().entries())
    if (family.matches(name) && (!longest || family.name.size() > longest->name.size())) longest = &family;
  require(longest != nullptr, "[model] expected {}, got \"{}\"{}", listed(known_models()), name,
          did_you_mean(name, models().all_names()));
  return *longest;
}

ModulePtr make_model(const std::string& name, const ModelOptions& options) {
  const ModelFamily& family = model_family(name);
  const ModelProfile profile = family.profile(name);
  require(options.density > 0 && options.density <= 1, "[model] {}: expected a density above 0 and up to 1, got {}",
          name, options.density);
  require(options.outputs >= 1, "[model] {}: expected at least 1 class or output, got {}", name, options.outputs);
  require(!profile.images || options.input.rank() == 3, "[model] {}: expected images [C, H, W], got samples of {}",
          name, options.input.text());
  require(!profile.sequences || options.input.rank() == 2,
          "[model] {}: expected sequences [steps, features], got samples of {}", name, options.input.text());
  return family.make(name, options);
}

ModelProfile model_profile(const std::string& name) {
  const ModelFamily& family = model_family(name);
  ModelProfile profile = family.profile(name);
  profile.chain = family.resized != nullptr;
  return profile;
}

std::string with_extents(const std::string& name, const std::vector<Index>& extents) {
  const ModelFamily& family = model_family(name);
  require(family.resized && extents.size() >= 2, "[model] expected a chain of linear layers, got {}", name);
  return family.resized(name, extents);
}

std::vector<std::string> known_models() {
  std::vector<std::string> forms;
  for (const ModelFamily& family : models().entries()) forms.push_back(family.form);
  return forms;
}

}  // namespace espalier
