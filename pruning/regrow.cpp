#include "espalier/pruning/regrow.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// W's live positions without the `drop` of smallest |w|, ascending.
std::vector<Index> kept_positions(const Parameter& W, Index drop) {
  std::vector<Real> magnitude;
  std::vector<Index> position;
  magnitude.reserve(W.nonzeros());
  position.reserve(W.nonzeros());
  W.for_each_weight([&](Index row, Index column, Index at) {
    magnitude.push_back(std::abs(W.value()[at]));
    position.push_back(row * W.cols() + column);
  });
  std::vector<Index> kept;
  kept.reserve(position.size());
  for (const std::uint32_t n : top_k(magnitude, W.nonzeros() - drop)) kept.push_back(position[n]);
  return kept;
}

// The positions of these ranks among those that are not live: rank 0 is the first dead position. All ascending.
std::vector<Index> dead_positions(std::span<const Index> live, std::span<const std::uint32_t> ranks) {
  std::vector<Index> positions;
  positions.reserve(ranks.size());
  std::size_t below = 0;  // live positions below the one looked for
  for (const std::uint32_t rank : ranks) {
    while (below < live.size() && live[below] <= static_cast<Index>(rank + below)) ++below;
    positions.push_back(static_cast<Index>(rank + below));
  }
  return positions;
}

}  // namespace

Grow grow_largest(std::span<const Real> scores) {
  return [scores](std::span<const Index> live, Index count) {
    std::vector<Real> dead(scores.size() - live.size());
    auto to = dead.begin();
    std::size_t from = 0;
    const auto copy_until = [&](std::size_t end) {
      for (; from < end; ++from) *to++ = std::abs(scores[from]);
      ++from;  // and leave out the live one at `end`
    };
    for (const Index position : live) copy_until(static_cast<std::size_t>(position));
    copy_until(scores.size());
    return dead_positions(live, top_k(dead, count));
  };
}

Grow grow_at_random(Index positions, const Random& random) {
  return [positions, random](std::span<const Index> live, Index count) {
    const Index dead = positions - static_cast<Index>(live.size());
    if (count == 0) return std::vector<Index>{};
    return dead_positions(live, Pattern::random(1, dead, count, random)->column());
  };
}

PatternPtr drop_and_grow(const Parameter& W, Index drop, Index grow, const Grow& choose) {
  require(drop >= 0 && drop <= W.nonzeros(), "[regrow] {}: expected to drop 0 to {} weights, got {}", W.name(),
          W.nonzeros(), drop);
  const Index room = W.positions() - W.nonzeros() + drop;
  require(grow >= 0 && grow <= room, "[regrow] {}: expected to grow 0 to {} weights, got {}", W.name(), room, grow);
  const std::vector<Index> kept = kept_positions(W, drop), born = choose(kept, grow);
  std::vector<Index> live;
  live.reserve(kept.size() + born.size());
  std::ranges::merge(kept, born, std::back_inserter(live));
  return Pattern::from_positions(W.rows(), W.cols(), live);
}

SparseTraining::SparseTraining(const MethodContext& context)
    : name_(context.method),
      options_(context.options),
      settings_(context.settings),
      layers_(pruned_layers(context.trainer.parameters(), context.options.protect)),
      threads_(context.trainer.threads()) {
  options_.schedule = settled(options_.schedule);
  require(!options_.allocation.looks_at_scores(),
          "[{}] expected an allocation by shape, such as er or uniform: before training there are no scores to compare "
          "layers by; got {}",
          name_, name_of(options_.allocation));
  if (const auto drop = settings_.find("drop"); drop != settings_.end())
    require(drop->second > 0 && drop->second < 1, "[{}] expected to drop a fraction in (0, 1), got drop={}", name_,
            drop->second);
}

Setting SparseTraining::rescale_setting(double value) {
  return {"rescale", value,
          "1: initial weights are larger by 1 / sqrt(density of the layer), for fewer inputs; 0: not"};
}

Setting SparseTraining::drop_setting() {
  return {"drop", 0.3, "fraction of a layer's weights that is exchanged at first; falls to 0 by a cosine"};
}

MethodDefaults SparseTraining::defaults() {
  return {.allocation = Allocation::er, .schedule = {.begin = 0, .end = 0.75}};
}

std::vector<Index> SparseTraining::counts(double density) const {
  return allocate(options_.allocation, shapes_of(layers_, options_), density);
}

void SparseTraining::require_possible(double density) const {
  counts(density);
}

std::vector<PruneEvent> SparseTraining::after_step(Index step, Index steps) {
  if (step == 0) return begin();
  return due(step, steps) ? exchange(step, steps) : std::vector<PruneEvent>{};
}

std::vector<PruneEvent> SparseTraining::begin() {
  for (const Parameter* W : layers_)
    require(W->storage() == Storage::dense, "[{}] {}: expected dense weights to begin with, got {}", name_, W->name(),
            name_of(W->storage()));
  const std::vector<Index> live = counts(options_.schedule.density);
  std::vector<PruneEvent> events;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Parameter& W = *layers_[l];
    const auto scale = static_cast<Real>(std::sqrt(static_cast<double>(W.positions()) / static_cast<double>(live[l])));
    if (setting("rescale") != 0)
      for (Real& w : W.value()) w *= scale;
    const Random random(options_.seed, "sparse-from-the-start/" + W.name());
    events.push_back(take(W, Pattern::random(W.rows(), W.cols(), live[l], random), 0));
  }
  return events;
}

std::vector<PruneEvent> SparseTraining::exchange_in_each(Index step, Index steps,
                                                         const std::function<Grow(const Parameter& W)>& growth) {
  const double f = fraction(step, steps);
  std::vector<Grow> grow;
  for (const Parameter* W : layers_) grow.push_back(growth(*W));
  std::vector<PruneEvent> events(layers_.size());
  parallel_for(static_cast<Index>(layers_.size()), threads_, [&](Index i) {
    const auto l = static_cast<std::size_t>(i);
    Parameter& W = *layers_[l];
    const Index moving = std::llround(f * static_cast<double>(W.nonzeros()));
    events[l] = take(W, drop_and_grow(W, moving, moving, grow[l]), step);
  });
  return events;
}

double SparseTraining::fraction(Index step, Index steps) const {
  const double end = options_.schedule.end * static_cast<double>(steps);
  return setting("drop") / 2 * (1 + std::cos(std::numbers::pi * std::min(1.0, static_cast<double>(step) / end)));
}

bool SparseTraining::due(Index step, Index steps) const {
  const Index first = std::llround(options_.schedule.begin * static_cast<double>(steps));
  return step > 0 && step >= first && !over(step, steps) && (step - first) % options_.schedule.interval == 0;
}

bool SparseTraining::idle(Index steps) const {
  for (Index step = 1; step <= steps; ++step)
    if (due(step, steps)) return false;
  return true;
}

bool SparseTraining::over(Index step, Index steps) const {
  return static_cast<double>(step) >= options_.schedule.end * static_cast<double>(steps);
}

}  // namespace espalier
