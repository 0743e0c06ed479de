#include "pruning/latent_method.h"

#include <algorithm>

#include "core/error.h"

namespace espalier {

LatentMethod::LatentMethod(const MethodContext& context)
    : trainer_(context.trainer),
      options_(context.options),
      layers_(pruned_layers(context.trainer.parameters(), context.options.protect)) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    require(layers_[l]->storage() == Storage::dense, "[{}] {}: expected dense weights to begin with, got {}",
            options_.method, layers_[l]->name(), name_of(layers_[l]->storage()));
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
  before_derive(mode, step);
  parallel_for(static_cast<Index>(layers_.size()), trainer_.threads(), [&](Index i) {
    const auto l = static_cast<std::size_t>(i);
    derive_layer(l, mode, step, layers_[l]->value(), live_[l]);
  });
}

bool LatentMethod::update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) {
  const auto found = index_.find(&W);
  if (found == index_.end()) return frozen(W);
  update_layer(found->second, block, G, rate, step);
  return true;
}

std::vector<PruneEvent> LatentMethod::finish(Index step) {
  derive(Mode::evaluation, trainer_.steps());
  trainer_.derive_weights(nullptr);
  std::vector<PruneEvent> events;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Parameter& W = *layers_[l];
    const PatternPtr pattern = Pattern::from_mask(W.rows(), W.cols(), live_[l]);
    require(pattern->nonzeros() > 0, "[{}] {}: expected a weight to stay, got none at step {}", options_.method,
            W.name(), step);
    const Storage storage = options_.storage.storage_for(W, pattern->density());
    W.become(storage == Storage::dense ? nullptr : pattern, storage);
    events.push_back({step, W.name(), pattern->nonzeros(), pattern->density(), storage});
  }
  return events;
}

void LatentMethod::require_possible(double density) const {
  Index positions = 0;
  for (const Parameter* W : layers_) positions += W->positions();
  require(density * static_cast<double>(positions) >= static_cast<double>(layers_.size()),
          "[{}] density {} of {} weights would leave some of {} layers without a single weight; ask for more",
          options_.method, density, positions, layers_.size());
}

double LatentMethod::density() const {
  Index live = 0, positions = 0;
  for (const auto& mask : live_) {
    live += std::ranges::count(mask, std::uint8_t{1});
    positions += static_cast<Index>(mask.size());
  }
  return positions ? static_cast<double>(live) / static_cast<double>(positions) : 1;
}

std::span<Real> latent_scratch(std::size_t count) {
  thread_local AlignedVector<Real> scratch;
  if (scratch.size() < count) scratch.resize(count);
  return std::span(scratch).first(count);
}

}  // namespace espalier
