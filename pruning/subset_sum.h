// Subset sums: which of a few random numbers add up to a wanted one?
//
// With n candidates there are 2^n subsets, and their sums lie so densely that the nearest one misses a target in the
// middle of their range by about 2^-n (Lueker, "Exponentially small bounds on the expected optimum of the partition and
// subset sum problems", 1998). One candidate alone misses it by about 1/n. Between the two lies the whole difference
// between Malach et al. 2020 and Pensia et al. 2020: pruning/strong_ticket.h.
//
// Exact, by meeting in the middle (Horowitz & Sahni 1974): all sums of either half of the candidates in ascending
// order, then one walk over both lists. O(2^(n/2)) time and memory, not O(2^n): n = 24 takes 2 x 4,096 sums.
#pragma once

#include <cstdint>
#include <span>

namespace espalier {

inline constexpr int subset_sum_limit = 32;  // candidates: 2 x 65,536 sums, 2 MB

// Candidate u is in the subset if bit u of `members` is set.
struct SubsetSum {
  std::uint32_t members = 0;
  double sum = 0;  // (sum over the first half, in order) + (sum over the second half, in order)
};

// The subset whose sum is nearest the target; the empty one, of sum 0, is a subset, too. Of several that are equally
// near, the one whose `members` is the smallest number. Throws UsageError above subset_sum_limit candidates.
SubsetSum nearest_subset(std::span<const double> candidates, double target);

// The single candidate nearest the target, or none if 0 is nearer. Ties: none before any, then the lowest.
SubsetSum nearest_single(std::span<const double> candidates, double target);

}  // namespace espalier
