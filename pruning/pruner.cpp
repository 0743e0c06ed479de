#include "espalier/pruning/pruner.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/core/threads.h"

namespace espalier {

PatternPtr keep_live(const Parameter& W, std::span<const std::uint32_t> kept) {
  std::vector<Index> begin{0};
  std::vector<std::uint32_t> column;
  column.reserve(kept.size());
  begin.reserve(W.rows() + 1);
  std::uint32_t n = 0;
  auto next = kept.begin();
  W.for_each_weight([&](Index row, Index c, Index) {
    while (static_cast<Index>(begin.size()) <= row) begin.push_back(static_cast<Index>(column.size()));
    if (next != kept.end() && *next == n) {
      column.push_back(static_cast<std::uint32_t>(c));
      ++next;
    }
    ++n;
  });
  while (static_cast<Index>(begin.size()) <= W.rows()) begin.push_back(static_cast<Index>(column.size()));
  return Pattern::make(W.rows(), W.cols(), std::move(begin), std::move(column));
}

std::vector<Parameter*> pruned_layers(std::span<Parameter* const> parameters, std::span<const std::string> protect) {
  std::vector<Parameter*> layers;
  for (Parameter* W : parameters)
    if (W->prunable() && std::ranges::count(protect, W->name()) == 0) layers.push_back(W);
  std::vector<std::string> known;
  for (const Parameter* W : parameters)
    if (W->prunable()) known.push_back(W->name());
  for (const std::string& name : protect)
    require(std::ranges::count(known, name) > 0, "[pruner] expected weights of the model to protect, got \"{}\"{}",
            name, did_you_mean(name, known));
  return layers;
}

double density_of(std::span<Parameter* const> layers) {
  Index live = 0, positions = 0;
  for (const Parameter* W : layers) live += W->nonzeros(), positions += W->positions();
  return positions ? static_cast<double>(live) / static_cast<double>(positions) : 1;
}

Pruner::Pruner(std::span<Parameter* const> parameters, std::shared_ptr<const Criterion> criterion,
               PrunerOptions options, Evidence* evidence)
    : layers_(pruned_layers(parameters, options.protect)),
      options_(std::move(options)),
      criterion_(std::move(criterion)),
      evidence_(evidence) {
  require(criterion_ != nullptr, "[pruner] expected a criterion, got none");
  options_.schedule = settled(options_.schedule);
  for (const Parameter* W : layers_) check(options_.structure, *W);
  if (const auto density = options_.structure.density()) {
    options_.allocation = Allocation::uniform;
    options_.schedule.density = *density;
  }
  if (options_.allocation.rule == Allocation::given)
    options_.schedule.density = overall_density(options_.allocation, scored());
  if (options_.allocation.rule == Allocation::sensitivity) {
    require(options_.judge != nullptr,
            "[allocation] {}: expected validation samples to measure on (--validation above 0), got none",
            name_of(options_.allocation));
    tolerated_.assign(layers_.size(), 0);
  }
  if (options_.allocation.rule == Allocation::erk)
    for (const Parameter* W : layers_)
      require(options_.geometry.contains(W->name()), "[pruner] erk: expected the geometry of {}, got none", W->name());
}

std::vector<Scored> shapes_of(std::span<Parameter* const> layers, const PrunerOptions& options) {
  std::vector<Scored> shapes;
  for (const Parameter* W : layers) {
    Scored& shape = shapes.emplace_back(Scored{W, {}});
    const auto geometry = options.geometry.find(W->name());
    if (geometry != options.geometry.end() && geometry->second.window) shape.window = &*geometry->second.window;
  }
  return shapes;
}

std::vector<Scored> Pruner::scored(std::span<const std::vector<Real>> scores) const {
  std::vector<Scored> layers = shapes_of(layers_, options_);
  for (std::size_t l = 0; l < scores.size(); ++l) layers[l].scores = scores[l];
  return layers;
}

std::vector<PruneEvent> Pruner::after_step(Index step, Index steps) {
  if (!options_.schedule.due(step, steps)) return {};
  const double density = options_.schedule.density_at(step, steps);
  return density < 1 ? prune_to(density, step) : std::vector<PruneEvent>{};
}

void Pruner::require_possible(double density) const {
  if (!options_.allocation.looks_at_scores()) {
    const std::vector<Index> keep = allocate(options_.allocation, scored(), density);
    for (std::size_t l = 0; l < layers_.size(); ++l)
      require(keep[l] >= fewest(options_.structure, *layers_[l]),
              "[pruner] {}: expected at least {} weights to keep in {} ({} x {}), got {} at density {}; ask for more",
              name_of(options_.structure), fewest(options_.structure, *layers_[l]), layers_[l]->name(),
              layers_[l]->rows(), layers_[l]->cols(), keep[l], density);
    return;
  }
  Index positions = 0, needed = 0;
  for (const Parameter* W : layers_) positions += W->positions(), needed += fewest(options_.structure, *W);
  require(density * static_cast<double>(positions) >= static_cast<double>(needed),
          "[pruner] density {} of {} weights would leave some of {} layers without a single weight; ask for more",
          density, positions, layers_.size());
}

std::vector<PruneEvent> Pruner::prune_to(double density, Index step) {
  const double before = density_of(layers_);
  const auto rounds = static_cast<double>(criterion_->rounds());
  std::vector<PruneEvent> first;
  for (double round = 1; round < rounds; ++round) {
    std::vector<PruneEvent> events = prune_once(before * std::pow(density / before, round / rounds), step);
    if (first.empty()) first = std::move(events);
  }
  std::vector<PruneEvent> events = prune_once(density, step);
  for (std::size_t l = 0; l < first.size(); ++l) {  // one event for all rounds
    events[l].before = first[l].before;
    if (first[l].histogram) {
      events[l].histogram = first[l].histogram;
      events[l].histogram->after = {};
      events[l].histogram->add_after(*layers_[l]);
    }
  }
  return events;
}

std::vector<NamedNumbers> Pruner::state() {
  if (tolerated_.empty()) return {};
  return {{"pruner.tolerated", tolerated_}};
}

void Pruner::know_sensitivity(std::span<const std::vector<Real>> scores, Index step) {
  if (std::ranges::any_of(tolerated_, [](Real d) { return !(d > 0 && d <= 1); })) {
    const Evaluation before = options_.judge();
    tolerated_ = tolerated_densities(
        layers_, scores,
        {.drop = options_.allocation.drop, .structure = options_.structure, .storage = options_.storage}, before,
        options_.judge, options_.measuring);
    say_sensitivity(before, step);
  }
  for (std::size_t l = 0; l < layers_.size(); ++l)
    options_.allocation.density_of[layer_of(layers_[l]->name())] = static_cast<double>(tolerated_[l]);
}

void Pruner::say_sensitivity(const Evaluation& before, Index step) const {
  if (!options_.measured) return;
  std::string text;
  double live = 0, positions = 0;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    text += fmt::format("{}{} {:g}", l ? ", " : "", layer_of(layers_[l]->name()), static_cast<float>(tolerated_[l]));
    live += static_cast<double>(tolerated_[l]) * static_cast<double>(layers_[l]->positions());
    positions += static_cast<double>(layers_[l]->positions());
  }
  const std::string unit = before.classes > 0 ? "points of accuracy" : "% of the RMSE";
  options_.measured(fmt::format(
      "sensitivity, measured after step {} on {} validation samples: losing at most {:g} {}, each layer alone may keep "
      "as "
      "little as: {}; together that is density {:.4g}, and {:g} was asked for: {}",
      step, before.samples, options_.allocation.drop, unit, text, live / positions, options_.schedule.density,
      live / positions <= options_.schedule.density ? "each keeps more" : "each keeps less"));
}

std::vector<PruneEvent> Pruner::prune_once(double density, Index step) {
  const CriterionContext context{options_.seed, static_cast<std::uint64_t>(step), evidence_};
  if (evidence_) evidence_->begin(step);
  // Score everything, then decide, then change: `become` moves weights, and scores speak of where they were.
  std::vector<std::vector<Real>> scores;
  for (const Parameter* W : layers_) {
    scores.emplace_back(static_cast<std::size_t>(W->nonzeros()));
    criterion_->score(*W, context, scores.back());
    share_scores(options_.structure, *W, scores.back());
  }
  if (!tolerated_.empty()) know_sensitivity(scores, step);
  const std::vector<Index> keep = allocate(options_.allocation, scored(scores), density);
  std::vector<std::vector<std::uint32_t>> kept(layers_.size());
  const auto each_layer = [&](auto&& work) {
    parallel_for(static_cast<Index>(layers_.size()), options_.threads,
                 [&](Index l) { work(static_cast<std::size_t>(l)); });
  };
  each_layer([&](std::size_t l) { kept[l] = select(options_.structure, *layers_[l], scores[l], keep[l]); });
  for (std::size_t l = 0; l < layers_.size(); ++l) criterion_->compensate(*layers_[l], kept[l], context);

  std::vector<PruneEvent> events(layers_.size());
  each_layer([&](std::size_t l) {
    Parameter& W = *layers_[l];
    events[l] = options_.storage.apply(W, keep_live(W, kept[l]), step);
  });
  return events;
}

}  // namespace espalier
