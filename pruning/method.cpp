#include "espalier/pruning/method.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"

namespace espalier {
namespace {

std::string names_of_methods() {
  std::string names;
  for (const MethodInfo& method : known_methods()) names += (names.empty() ? "" : ", ") + method.name;
  return names;
}

// A criterion, and the pruner to apply it.
class ByScores final : public Method {
 public:
  explicit ByScores(const MethodContext& context)
      : evidence_(context.trainer, context.train, batches_of(context.options)),
        pruner_(context.trainer.parameters(), context.options, &evidence_) {}
  std::vector<PruneEvent> after_step(Index step, Index steps) override { return pruner_.after_step(step, steps); }
  std::vector<PruneEvent> prune_to(double density, Index step) override { return pruner_.prune_to(density, step); }
  void require_possible(double density) const override { pruner_.require_possible(density); }
  double density() const override { return density_of(pruner_.layers()); }

 private:
  static Index batches_of(const PrunerOptions& options) {
    const auto given = options.settings.find(batches_setting().name);
    if (given == options.settings.end()) return 1;  // the criterion does not count them
    require(given->second >= 1 && given->second <= 1e6 && std::floor(given->second) == given->second,
            "[{}] expected 1 to 1000000 whole batches, got {}", options.method, given->second);
    return static_cast<Index>(given->second);
  }

  Evidence evidence_;
  Pruner pruner_;
};

}  // namespace

Setting batches_setting() {
  return {"batches", 10, "of training data that the gradients or inputs are taken of"};
}

double MethodContext::setting(const std::string& name) const {
  const auto found = options.settings.find(name);
  require(found != options.settings.end(), "[{}] expected a setting \"{}\"", options.method, name);
  return found->second;
}

std::vector<PruneEvent> Method::prune_to(double, Index) {
  throw UsageError("[method] expected one that prunes by scores, for rounds of whole trainings");
}

const MethodInfo& method_named(const std::string& name) {
  const auto found = std::ranges::find(known_methods(), name, &MethodInfo::name);
  require(found != known_methods().end(), "[method] expected {}, got \"{}\"", names_of_methods(), name);
  return *found;
}

std::map<std::string, double> settings_of(const MethodInfo& method, const std::map<std::string, double>& given) {
  std::map<std::string, double> settings;
  std::string names;
  for (const Setting& s : method.settings) {
    settings[s.name] = s.value;
    names += (names.empty() ? "" : ", ") + s.name;
  }
  for (const auto& [name, value] : given) {
    require(settings.contains(name), "[{}] expected {}, got a setting \"{}\"", method.name,
            names.empty() ? "no settings" : names, name);
    settings[name] = value;
  }
  return settings;
}

std::unique_ptr<Method> make_method(MethodContext context) {
  const MethodInfo& info = method_named(context.options.method);
  context.options.settings = settings_of(info, context.options.settings);
  context.options.threads = context.trainer.threads();
  if (!info.make) return std::make_unique<ByScores>(context);
  require(name_of(context.options.structure) == "elements",
          "[--structure] expected elements, for {} chooses weights one by one, got {}", info.name,
          name_of(context.options.structure));
  return info.make(context);
}

std::unique_ptr<Criterion> criterion_named(const std::string& name, const std::map<std::string, double>& settings) {
  const MethodInfo& info = method_named(name);
  require(info.criterion != nullptr, "[method] expected one that prunes by scores, got {}", name);
  return info.criterion(settings_of(info, settings));
}

}  // namespace espalier
