#include "espalier/pruning/weight_histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace espalier {
namespace {

// Of large layers a sample shows the same picture: each of its weights stands for so many. They are from all columns.
Index weights_for_one(const Parameter& W) {
  constexpr Index enough = 1 << 15;
  Index step = std::max<Index>(1, W.stored() / enough);
  while (step > 1 && std::gcd(step, W.cols()) > 1) ++step;
  return step;
}

void count_weights(const Parameter& W, double limit, std::array<Index, WeightHistogram::bins>& counts) {
  if (limit == 0) return;
  const std::span<const Real> w = W.value();
  constexpr Real last = WeightHistogram::bins - 1, half = static_cast<Real>(WeightHistogram::bins) / 2;
  const Real scale = half / static_cast<Real>(limit);
  const auto step = static_cast<std::size_t>(weights_for_one(W));
  for (std::size_t i = 0; i < w.size(); i += step)
    if (w[i] != 0 && std::isfinite(w[i]))
      counts[static_cast<std::size_t>(std::clamp<Real>(scale * w[i] + half, 0, last))] += static_cast<Index>(step);
}

}  // namespace

WeightHistogram::WeightHistogram(const Parameter& W) {
  seconds += seconds_of([&] {
    const std::span<const Real> w = W.value();
    const auto step = static_cast<std::size_t>(weights_for_one(W));
    for (std::size_t i = 0; i < w.size(); i += step)
      if (std::isfinite(w[i])) limit = std::max(limit, static_cast<double>(std::abs(w[i])));
    count_weights(W, limit, before);
  });
}

void WeightHistogram::add_after(const Parameter& W) {
  seconds += seconds_of([&] { count_weights(W, limit, after); });
}

}  // namespace espalier
