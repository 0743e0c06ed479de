#include "espalier/datasets/table/floats.h"

#include <span>

namespace espalier::table {
namespace {

// Whether floats leave less than 16 bits for this range.
bool crowds_floats(long double low, long double high, bool whole) {
  constexpr long double enough = 256, floats_hold_below = 16777216;  // 2^24 whole numbers
  const long double size = std::max(std::abs(low), std::abs(high)), range = high - low;
  return range > 0 && size > enough * range && !(whole && size <= floats_hold_below);
}

// Where most of these numbers are: the shortest range that half of them are in, and all that are not much farther from
// it than it is long. Different ones are asked, so that one that stands in most rows (0 for missing) counts once.
std::span<const long double> without_outliers(std::span<const long double> sorted) {
  const std::size_t half = (sorted.size() + 1) / 2;
  if (half < 2) return sorted;
  const auto length_from = [&](std::size_t i) { return sorted[i + half - 1] - sorted[i]; };
  std::size_t first = 0;
  for (std::size_t i = 1; i + half <= sorted.size(); ++i)
    if (length_from(i) < length_from(first)) first = i;
  constexpr long double far = 16;
  const long double margin = far * length_from(first);
  const auto begin = std::ranges::lower_bound(sorted, sorted[first] - margin);
  return {begin, std::ranges::upper_bound(sorted, sorted[first + half - 1] + margin)};
}

}  // namespace

void EvenSample::keep(std::uint64_t part, long double x) {
  kept_.push_back({part, x});
  while (kept_.size() > most_) {
    limit_ /= 2;
    std::erase_if(kept_, [&](const Kept& each) { return each.part > limit_; });
  }
}

std::vector<long double> EvenSample::different() const {
  std::vector<long double> numbers;
  for (const Kept& each : kept_) numbers.push_back(each.x);
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

FloatFit float_fit(const NumberRange& range, const EvenSample& sample) {
  FloatFit fit;
  const std::vector<long double> sorted = sample.different();
  if (sorted.empty()) return fit;
  if (crowds_floats(range.low(), range.high(), range.whole())) {
    fit.offset = static_cast<double>(range.low());
  } else if (const auto most = without_outliers(sorted); crowds_floats(most.front(), most.back(), range.whole())) {
    fit = {.offset = static_cast<double>(most.front()), .outliers = true, .low = most.front(), .high = most.back()};
    fit.farthest = fit.low - range.low() > range.high() - fit.high ? range.low() : range.high();
  }
  std::vector<float> floats;
  for (const long double x : sorted)
    floats.push_back(static_cast<float>(static_cast<double>(x - static_cast<long double>(fit.offset))));
  fit.different = sorted.size();
  fit.different_floats = static_cast<std::size_t>(std::unique(floats.begin(), floats.end()) - floats.begin());
  return fit;
}

}  // namespace espalier::table
