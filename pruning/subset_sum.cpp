#include "espalier/pruning/subset_sum.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// All 2^h sums of h candidates in ascending order; of equal sums only the one of the smallest `members`.
std::vector<SubsetSum> sorted_sums(std::span<const double> candidates) {
  std::vector<SubsetSum> sums{{}}, with, merged;
  for (std::size_t u = 0; u < candidates.size(); ++u) {
    // Adding the same number to all of an ascending list leaves it ascending: merging takes the place of sorting.
    with = sums;
    for (SubsetSum& s : with) s = {s.members | 1u << u, s.sum + candidates[u]};
    merged.clear();
    std::ranges::merge(sums, with, std::back_inserter(merged), {}, &SubsetSum::sum, &SubsetSum::sum);
    sums.clear();
    for (const SubsetSum& s : merged) {
      if (sums.empty() || sums.back().sum != s.sum)
        sums.push_back(s);
      else
        sums.back().members = std::min(sums.back().members, s.members);
    }
  }
  return sums;
}

void require_few(std::size_t candidates) {
  require(candidates <= subset_sum_limit, "[subset sum] expected at most {} candidates, got {}", subset_sum_limit,
          candidates);
}

}  // namespace

SubsetSum nearest_subset(std::span<const double> candidates, double target) {
  require_few(candidates.size());
  const std::size_t half = candidates.size() / 2;
  const std::vector<SubsetSum> low = sorted_sums(candidates.first(half)), high = sorted_sums(candidates.subspan(half));
  SubsetSum best{};
  double nearest = std::abs(target);  // of the empty subset
  // From the smallest of one list and the largest of the other: a sum above the target calls for a smaller `high`, one
  // below it for a larger `low`. No pair that is passed over in this way can be nearer than the one that was seen.
  for (std::size_t l = 0, h = high.size(); l < low.size() && h > 0;) {
    const SubsetSum both{low[l].members | high[h - 1].members << half, low[l].sum + high[h - 1].sum};
    const double error = std::abs(both.sum - target);
    if (error < nearest || (error == nearest && both.members < best.members)) {
      best = both;
      nearest = error;
    }
    if (both.sum > target)
      --h;
    else
      ++l;
  }
  return best;
}

SubsetSum nearest_single(std::span<const double> candidates, double target) {
  require_few(candidates.size());
  SubsetSum best{};
  for (std::size_t u = 0; u < candidates.size(); ++u)
    if (std::abs(candidates[u] - target) < std::abs(best.sum - target)) best = {1u << u, candidates[u]};
  return best;
}

}  // namespace espalier
