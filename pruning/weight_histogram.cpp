#include "espalier/pruning/weight_histogram.h"

#include <algorithm>
#include <cmath>

namespace espalier {
namespace {

void count_weights(std::span<const Real> w, double limit, std::array<Index, WeightHistogram::bins>& counts) {
  constexpr auto half = static_cast<Real>(WeightHistogram::bins) / 2;
  if (limit == 0) return;
  const Real scale = half / static_cast<Real>(limit);
  for (const Real value : w)
    if (value !=
        0)  // scale * value is within -half and half, but for rounding; of what is not finite, nothing is known
      if (const Real place = scale * value + half; place >= 0 && place < 2 * half + 1)
        ++counts[std::min(static_cast<std::size_t>(place), WeightHistogram::bins - 1)];
}

}  // namespace

WeightHistogram::WeightHistogram(const Parameter& W) {
  seconds += seconds_of([&] {
    Real largest = 0;
    for (const Real w : W.value()) largest = std::max(largest, std::abs(w));
    limit = std::isfinite(largest) ? static_cast<double>(largest) : 0;
    count_weights(W.value(), limit, before);
  });
}

void WeightHistogram::add_after(const Parameter& W) {
  seconds += seconds_of([&] { count_weights(W.value(), limit, after); });
}

}  // namespace espalier
