#include "espalier/pruning/method.h"

#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/pruning/group_method.h"

namespace espalier {
namespace {

// A criterion, and the pruner to apply it.
class ByScores final : public Method {
 public:
  ByScores(std::unique_ptr<Criterion> criterion, const MethodContext& context)
      : evidence_(context.trainer, context.train, batches_of(context)),
        pruner_(context.trainer.parameters(), std::move(criterion), context.options, &evidence_) {}
  std::vector<PruneEvent> after_step(Index step, Index steps) override { return pruner_.after_step(step, steps); }
  std::vector<PruneEvent> prune_to(double density, Index step) override { return pruner_.prune_to(density, step); }
  void require_possible(double density) const override { pruner_.require_possible(density); }
  double density() const override { return density_of(pruner_.layers()); }
  std::vector<NamedNumbers> state() override { return pruner_.state(); }

 private:
  static Index batches_of(const MethodContext& context) {
    const auto given = context.settings.find(batches_setting().name);
    if (given == context.settings.end()) return 1;  // the criterion does not count them
    require(given->second >= 1 && given->second <= 1e6 && std::floor(given->second) == given->second,
            "[{}] expected 1 to 1000000 whole batches, got {}", context.method, given->second);
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
  const auto found = settings.find(name);
  require(found != settings.end(), "[{}] expected a setting \"{}\", got none of that name", method, name);
  return found->second;
}

std::vector<PruneEvent> Method::prune_to(double, Index) {
  throw UsageError("[method] expected one that prunes by scores, for rounds of whole trainings");
}

Settings settings_of(const MethodInfo& method, const Settings& given) {
  Settings settings;
  std::vector<std::string> names;
  for (const Setting& s : method.settings) {
    settings[s.name] = s.value;
    names.push_back(s.name);
  }
  for (const auto& [name, value] : given) {
    require(settings.contains(name), "[{}] expected {}, got a setting \"{}\"{}", method.name,
            names.empty() ? "no settings" : listed(names), name, did_you_mean(name, names));
    settings[name] = value;
  }
  return settings;
}

std::unique_ptr<Method> make_method(const MethodInfo& method, MethodContext context) {
  require((method.criterion == nullptr) != (method.make == nullptr),
          "[{}] expected either a criterion or a hook of its own, got {}", method.name,
          method.make ? "both" : "neither");
  context.method = method.name;
  context.settings = settings_of(method, context.settings);
  context.options.threads = context.trainer.threads();
  context.group_criterion = method.group_criterion;
  check(method, context.options.structure);
  if (method.criterion && context.options.structure.of_units()) return std::make_unique<GroupMethod>(context);
  if (method.criterion) return std::make_unique<ByScores>(method.criterion(context.settings), context);
  require(context.options.allocation.rule != Allocation::sensitivity,
          "[allocation] expected one by shape or global, for {} does not prune by scores, got {}", method.name,
          name_of(context.options.allocation));
  return method.make(context);
}

void check(const MethodInfo& method, const Structure& structure) {
  if (structure.of_units()) {
    std::vector<std::string> others;
    for (const MethodInfo& other : methods().entries())
      if (!other.group_criterion.empty()) others.push_back(other.name);
    require(!method.group_criterion.empty(),
            "[structure] expected a method that takes out whole units ({}) with {}, got {}", listed(others),
            name_of(structure), method.name);
    return;
  }
  require(!method.defaults.structure.of_units(),
          "[structure] expected neurons, channels, heads or units, for {} takes out whole units, got {}", method.name,
          name_of(structure));
  require(method.criterion || structure == Structure{},
          "[structure] expected elements, for {} chooses weights one by one, got {}", method.name, name_of(structure));
}

bool needs_scores_alone(const MethodInfo& method) {
  return method.criterion != nullptr || (!method.group_criterion.empty() && method.scores_alone);
}

std::unique_ptr<Criterion> criterion_named(const std::string& name, const Settings& settings) {
  const MethodInfo& method = methods().named(name);
  require(method.criterion != nullptr, "[method] expected one that prunes by scores, got {}", name);
  return method.criterion(settings_of(method, settings));
}

}  // namespace espalier
