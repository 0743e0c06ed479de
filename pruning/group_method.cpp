#include "espalier/pruning/group_method.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

bool is_of_kind(Structure::Kind structure, UnitKind kind) {
  return structure == Structure::Kind::units || structure == (kind == UnitKind::neurons    ? Structure::Kind::neurons
                                                              : kind == UnitKind::channels ? Structure::Kind::channels
                                                                                           : Structure::Kind::heads);
}

constexpr Index batches_of_gradients = 10;

Index batches_for_groups(const MethodContext& context) {
  const auto given = context.settings.find(batches_setting().name);
  if (given == context.settings.end()) return batches_of_gradients;
  require(given->second >= 1 && given->second <= 1e6 && std::floor(given->second) == given->second,
          "[{}] expected 1 to 1000000 whole batches, got {}", context.method, given->second);
  return static_cast<Index>(given->second);
}

std::string criterion_for(const MethodContext& context, const GroupRules& rules) {
  if (context.options.units.criterion != "auto") return group_criteria().named(context.options.units.criterion).name;
  return rules.scores ? "" : context.group_criterion;
}

}  // namespace

GroupMethod::GroupMethod(const MethodContext& context, GroupRules rules)
    : method_(context.method),
      criterion_(criterion_for(context, rules)),
      trainer_(context.trainer),
      options_(context.options),
      rules_(std::move(rules)),
      evidence_(context.trainer, context.train, batches_for_groups(context)),
      narrowing_(context.trainer.model(), context.train.data().shape()),
      kinds_(kinds_of(narrowing_.whole(), context.trainer.model(), context.train.data().shape())) {
  const std::string structure = name_of(options_.structure);
  require(options_.allocation.rule == Allocation::global || options_.allocation.rule == Allocation::uniform,
          "[allocation] expected global or uniform with a structure of {}, got {}", structure,
          name_of(options_.allocation));
  require(options_.units.round_to >= 1, "[round-to] expected at least 1, got {}", options_.units.round_to);
  require(options_.units.minimum >= 1, "[minimum] expected at least 1, got {}", options_.units.minimum);
  options_.schedule = settled(options_.schedule);
  for (const Parameter* W : trainer_.parameters())
    require(W->storage() == Storage::dense, "[structure] {}: expected dense weights to begin with, got {} in {}",
            structure, name_of(W->storage()), W->name());
  find_active();
  if (criterion_ != "norm-scale") return;
  for (const Width* width : active())  // before hours of training, not after
    group_criteria().named(criterion_).scores({.model = trainer_.model(), .width = *width});
}

void GroupMethod::find_active() {
  const std::vector<Width>& widths = narrowing_.whole();
  for (const std::string& name : options_.protect) width_named(widths, name, "protect");
  for (std::size_t w = 0; w < widths.size(); ++w) {
    const bool is_protected = std::ranges::count(options_.protect, widths[w].name) > 0;
    active_.push_back(widths[w].fixed.empty() && widths[w].groups > 1 && !is_protected &&
                      is_of_kind(options_.structure.kind, kinds_[w]) &&
                      (!rules_.takes_part || rules_.takes_part(trainer_.model(), widths[w])));
  }
  if (std::ranges::count(active_, true) == 0) refuse_model();
}

// Says what there is instead.
void GroupMethod::refuse_model() const {
  std::vector<std::string> has;
  for (std::size_t w = 0; w < kinds_.size(); ++w)
    if (narrowing_.whole()[w].fixed.empty())
      has.push_back(
          fmt::format("{} {} of {}", narrowing_.whole()[w].groups, name_of(kinds_[w]), narrowing_.whole()[w].name));
  const std::string wanted = options_.structure.kind == Structure::Kind::units ? "units" : name_of(options_.structure);
  throw UsageError(fmt::format("[{}] expected a network with {} that may go{}, got {} with {}",
                               rules_.what.empty() ? "structure" : method_, wanted,
                               rules_.what.empty() ? "" : " and have " + rules_.what, trainer_.model().name(),
                               has.empty() ? "none at all" : fmt::format("{}", fmt::join(has, ", "))));
}

std::vector<const Width*> GroupMethod::active() const {
  std::vector<const Width*> widths;
  for (std::size_t w = 0; w < active_.size(); ++w)
    if (active_[w]) widths.push_back(&narrowing_.widths()[w]);
  return widths;
}

std::optional<UnitsLeft> GroupMethod::units() const {
  UnitsLeft units{.whole = narrowing_.census()};
  for (std::size_t w = 0; w < active_.size(); ++w)
    if (active_[w])
      units.widths.push_back({narrowing_.whole()[w].name, narrowing_.whole()[w].groups, narrowing_.widths()[w].groups});
  return units;
}

double GroupMethod::density() const {
  const UnitsLeft left = *units();
  return static_cast<double>(left.kept()) / static_cast<double>(left.before());
}

Index GroupMethod::last_pruning(Index steps) const {
  const Schedule& s = options_.schedule;
  return std::llround((s.kind == Schedule::Kind::one_shot ? s.begin : s.end) * static_cast<double>(steps));
}

std::vector<PruneEvent> GroupMethod::after_step(Index step, Index steps) {
  if (!options_.schedule.due(step, steps)) return {};
  const double density = options_.schedule.density_at(step, steps);
  return density < 1 ? prune_to(density, step) : std::vector<PruneEvent>{};
}

void GroupMethod::require_possible(double density) const {
  const std::string structure = name_of(options_.structure);
  Index total = 0, needed = 0;
  std::vector<std::string> names;
  for (std::size_t w = 0; w < active_.size(); ++w) {
    if (!active_[w]) continue;
    const Width& width = narrowing_.whole()[w];
    const Index least = std::min(width.groups, options_.units.minimum);
    const Index own = std::llround(density * static_cast<double>(width.groups));
    require(
        options_.allocation.rule != Allocation::uniform || std::max(own, least > 1 ? least : 0) >= 1,
        "[structure] {}: expected at least 1 of the {} {} of {} to stay, got none at density {}: the layer would be "
        "cut; ask for more, or protect it",
        structure, width.groups, name_of(kinds_[w]), width.name, density);
    total += width.groups, needed += least;
    names.push_back(width.name);
  }
  require(
      options_.allocation.rule == Allocation::uniform || std::llround(density * static_cast<double>(total)) >= needed,
      "[structure] {}: expected at least {} of {} to stay, which {} need{}, got {} at density {}: a layer would be "
      "cut; ask for more",
      structure, needed, total, fmt::join(names, ", "), names.size() == 1 ? "s" : "",
      std::llround(density * static_cast<double>(total)), density);
}

std::vector<double> GroupMethod::scores_of(const Width& width, Index step) {
  const GroupQuestion question{.model = trainer_.model(),
                               .width = width,
                               .seed = Random::mix(options_.seed) + static_cast<std::uint64_t>(step),
                               .gradient = [this](const Parameter& W) { return evidence_.gradient(W); }};
  std::vector<double> scores =
      criterion_.empty() ? rules_.scores(question) : group_criteria().named(criterion_).scores(question);
  return scores;
}

std::vector<PruneEvent> GroupMethod::prune_to(double density, Index step) {
  evidence_.begin(step);
  const std::vector<Width>& widths = narrowing_.widths();
  GroupShare share{.fraction = density,
                   .global = options_.allocation.rule == Allocation::global,
                   .round_to = options_.units.round_to,
                   .guards = {.minimum = options_.units.minimum},
                   .relative = rules_.relative || !criterion_.empty()};
  std::vector<std::vector<double>> scores;
  for (std::size_t w = 0; w < widths.size(); ++w) {
    share.whole.push_back(narrowing_.whole()[w].groups);
    scores.push_back(active_[w] ? scores_of(widths[w], step)
                                : std::vector<double>(static_cast<std::size_t>(widths[w].groups), 0));
    if (!active_[w]) share.guards.protect.push_back(widths[w].name);
  }
  return narrowing_.keep(keep_best(widths, scores, share), step, options_.storage.histograms);
}

// --- with a penalty --------------------------------------------------------------------------------------------------

PenalisedGroups::PenalisedGroups(const MethodContext& context, GroupRules rules)
    : GroupMethod(context, std::move(rules)),
      strength_(static_cast<Real>(context.setting("strength"))),
      steps_(context.steps) {
  require(strength_ >= 0 && std::isfinite(strength_), "[{}] expected a strength of at least 0, got {}", context.method,
          context.setting("strength"));
  trainer().derive_weights(this);
}

PenalisedGroups::~PenalisedGroups() {
  trainer().derive_weights(nullptr);
}

Setting strength_setting(double value) {
  return {"strength", value, "of the penalty"};
}

void add_scale_penalty(std::span<const Real> gamma, Real strength, std::span<Real> G) {
  for (std::size_t i = 0; i < G.size(); ++i) G[i] += gamma[i] > 0 ? strength : gamma[i] < 0 ? -strength : Real{0};
}

double proximal_factor(double norm, double strength) {
  return norm > strength ? 1 - strength / norm : 0;
}

}  // namespace espalier
