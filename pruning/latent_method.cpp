#include "espalier/pruning/latent_method.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/core/error.h"

namespace espalier {

LatentMethod::LatentMethod(const MethodContext& context)
    : trainer_(context.trainer),
      name_(context.method),
      options_(context.options),
      settings_(context.settings),
      layers_(pruned_layers(context.trainer.parameters(), context.options.protect)),
      steps_(context.steps) {
  require(options_.allocation.rule != Allocation::lamp,
          "[{}] expected uniform, er, erk, global or densities by layer as allocation, got lamp", name_);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    require(layers_[l]->storage() == Storage::dense, "[{}] {}: expected dense weights to begin with, got {}", name_,
            layers_[l]->name(), name_of(layers_[l]->storage()));
    index_[layers_[l]] = l;
    live_.emplace_back(static_cast<std::size_t>(layers_[l]->positions()), 1);
  }
  trainer_.derive_weights(this);
}

LatentMethod::~LatentMethod() {
  trainer_.derive_weights(nullptr);
}

Parameter LatentMethod::latent_like(std::size_t l, const std::string& what, Role role) const {
  Parameter latent(layer(l).name() + "/" + what, layer(l).rows(), layer(l).cols(), role);
  optimizer().prepare(latent);
  return latent;
}

void LatentMethod::derive(Mode mode, Index step) {
  if (is_frozen()) return;
  before_derive(mode, step);
  struct Task {
    std::size_t layer;
    const RowBlock* block;
  };
  std::vector<Task> tasks;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layers_[l]->unpack();  // here, while no other thread reads
    for (const RowBlock& block : layers_[l]->blocks()) tasks.push_back({l, &block});
  }
  parallel_for(static_cast<Index>(tasks.size()), trainer_.threads(), [&](Index i) {
    const auto& [l, block] = tasks[i];
    derive_block(l, *block, mode, step, of_block(layers_[l]->value(), *block),
                 of_block(std::span<std::uint8_t>(live_[l]), *block));
  });
}

void LatentMethod::derive_block(std::size_t l, const RowBlock& block, Mode mode, Index step, std::span<Real>,
                                std::span<std::uint8_t>) {
  if (block.first == 0) derive_layer(l, mode, step, layers_[l]->value(), live_[l]);
}

bool LatentMethod::update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) {
  const auto found = index_.find(&W);
  if (found == index_.end()) return never_trained(W);
  if (is_frozen()) return false;
  update_layer(found->second, block, G, rate, step);
  return true;
}

std::vector<PruneEvent> LatentMethod::after_step(Index step, Index steps) {
  steps_ = steps;
  if (is_frozen()) return {};
  const double until = learns_until();
  if (until < 1 && step >= std::llround(until * static_cast<double>(steps))) return freeze(step);
  decide(step, options_.schedule.density_at(step, steps));
  return {};
}

std::vector<PruneEvent> LatentMethod::finish(Index step) {
  return is_frozen() ? std::vector<PruneEvent>{} : freeze(step);
}

std::vector<PruneEvent> LatentMethod::freeze(Index step) {
  conclude();
  derive(Mode::evaluation, trainer_.steps());
  cut_to_density();
  trainer_.derive_weights(nullptr);
  frozen_ = 1;
  std::vector<PruneEvent> events;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Parameter& W = *layers_[l];
    PatternPtr pattern = Pattern::from_mask(W.rows(), W.cols(), live_[l]);
    require(pattern->nonzeros() > 0, "[{}] {}: expected a weight to stay, got none at step {}", name_, W.name(), step);
    if (const Parameter* theta = source(l))
      for (const std::string& slot : W.slot_names()) std::ranges::copy(theta->slot(slot), W.slot(slot).begin());
    events.push_back(options_.storage.apply(W, std::move(pattern), step));
  }
  return events;
}

void LatentMethod::cut_to_density() {
  constexpr Real infinity = std::numeric_limits<Real>::infinity();
  std::vector<std::vector<Real>> scores(layers_.size());
  std::vector<Scored> scored = shapes_of(layers_, options_);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    scores[l].resize(live_[l].size());
    if (!score_layer(l, scores[l])) return;
    const auto best = std::ranges::max_element(scores[l]);
    for (std::size_t i = 0; i < scores[l].size(); ++i)
      if (!live_[l][i]) scores[l][i] = -infinity;
    *best = infinity;
    scored[l].scores = scores[l];
  }
  const std::vector<Index> keep = allocate(options_.allocation, scored, options_.schedule.density);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    std::ranges::fill(live_[l], std::uint8_t{0});
    for (const std::uint32_t n : top_k(scores[l], keep[l])) live_[l][n] = scores[l][n] > -infinity;
  }
}

std::vector<Real> LatentMethod::thresholds(double density) const {
  std::vector<std::vector<Real>> scores(layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    scores[l].resize(live_[l].size());
    score_layer(l, scores[l]);
  }
  const auto best = [](const std::vector<Real>& all, Index k) {
    return kth_highest(all, std::clamp<Index>(k, 1, static_cast<Index>(all.size()))).score;
  };
  if (options_.allocation == Allocation::global) {
    std::vector<Real> pooled;
    for (const auto& s : scores) pooled.insert(pooled.end(), s.begin(), s.end());
    const auto k = static_cast<Index>(std::llround(density * static_cast<double>(pooled.size())));
    return std::vector<Real>(layers_.size(), best(pooled, k));
  }
  const std::vector<Index> keep = allocate(options_.allocation, shapes_of(layers_, options_), density);
  std::vector<Real> result;
  for (std::size_t l = 0; l < layers_.size(); ++l) result.push_back(best(scores[l], keep[l]));
  return result;
}

void LatentMethod::require_possible(double density) const {
  Index positions = 0;
  for (const Parameter* W : layers_) positions += W->positions();
  if (options_.allocation != Allocation::global) allocate(options_.allocation, shapes_of(layers_, options_), density);
  require(density * static_cast<double>(positions) >= static_cast<double>(layers_.size()),
          "[{}] density {} of {} weights would leave some of {} layers without a single weight; ask for more", name_,
          density, positions, layers_.size());
}

double LatentMethod::density() const {
  if (is_frozen()) return density_of(layers_);
  Index live = 0, positions = 0;
  for (const auto& mask : live_) {
    live += std::ranges::count(mask, std::uint8_t{1});
    positions += static_cast<Index>(mask.size());
  }
  return positions ? static_cast<double>(live) / static_cast<double>(positions) : 1;
}

std::vector<NamedNumbers> LatentMethod::state() {
  return {{"latent-method/frozen", {&frozen_, 1}}};
}

LatentWeights::LatentWeights(const MethodContext& context, const std::string& what, Role role) : LatentMethod(context) {
  for (std::size_t l = 0; l < layers(); ++l) {
    w_.push_back(latent_like(l, what, role));
    std::ranges::copy(layer(l).value(), w_.back().value().begin());
  }
}

std::vector<Parameter*> LatentWeights::latents() {
  std::vector<Parameter*> all;
  for (std::size_t l = 0; l < layers(); ++l) {
    all.push_back(&w_[l]);
    if (Parameter* other = beside(l)) all.push_back(other);
  }
  return all;
}

Steering::Steering(double pressure, double gain, double integral_gain)
    : integral_(static_cast<Real>(std::log(pressure))), gain_(gain), integral_gain_(integral_gain) {
  require(pressure > 0 && gain >= 0 && integral_gain >= 0,
          "[steering] expected a pressure above 0 and gains of at least 0, got {}, {} and {}", pressure, gain,
          integral_gain);
}

void Steering::observe(double density, double target) {
  const double e = std::clamp(std::log(std::max(density, 1e-9) / target), -1.0, 1.0);
  integral_ += static_cast<Real>(integral_gain_ * e);
  pressure_ = static_cast<Real>(std::exp(static_cast<double>(integral_) + gain_ * e));
}

std::span<Real> latent_scratch(std::size_t count) {
  thread_local AlignedVector<Real> scratch;
  if (scratch.size() < count) scratch.resize(count);
  return std::span(scratch).first(count);
}

}  // namespace espalier
