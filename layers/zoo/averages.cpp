// Averages of models of any other family: "average:5xtabular:256-256".
#include <charconv>

#include "espalier/core/error.h"
#include "espalier/layers/average.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier::zoo {
namespace {

constexpr std::string_view average_prefix = "average:";

struct AverageName {
  Index count;
  std::string model;
};

AverageName members_of(const std::string& name) {
  const std::string_view text = std::string_view(name).substr(average_prefix.size());
  AverageName members{};
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, members.count);
  require(
      error == std::errc() && at != end && *at == 'x' && members.count >= 1 && members.count <= most_members_of_average,
      "[model] {}: expected 1 to {} members and their model such as average:5xtabular:256-256, got \"{}\"", name,
      most_members_of_average, text);
  members.model.assign(at + 1, end);
  require(!members.model.starts_with(average_prefix), "[model] {}: expected members that are no averages", name);
  return members;
}

ModulePtr average(const std::string& name, ModelOptions options) {
  const auto [count, model] = members_of(name);
  std::vector<ModulePtr> members;
  options.most_bytes_at_birth /= static_cast<double>(count);
  for (Index m = 0; m < count; ++m, ++options.seed) members.push_back(make_model(model, options));
  return std::make_unique<Average>(name, std::move(members));
}

}  // namespace

std::vector<ModelFamily> averages() {
  return {{.name = std::string(average_prefix),
           .form = "average:COUNTxMODEL",
           .line = "the mean of several networks of one kind, each drawn with a seed of its own",
           .profile = [](const std::string& name) { return model_profile(members_of(name).model); },
           .make = average}};
}

}  // namespace espalier::zoo
