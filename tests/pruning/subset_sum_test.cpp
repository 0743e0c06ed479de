#include "espalier/pruning/subset_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

double sum_of(const std::vector<double>& candidates, std::uint32_t members) {
  double sum = 0;
  for (std::size_t u = 0; u < candidates.size(); ++u)
    if (members >> u & 1) sum += candidates[u];
  return sum;
}

// All 2^n subsets in ascending order of `members`: the first of the nearest.
SubsetSum by_brute_force(const std::vector<double>& candidates, double target) {
  SubsetSum best{};
  for (std::uint32_t members = 0; members < 1u << candidates.size(); ++members)
    if (const double sum = sum_of(candidates, members); std::abs(sum - target) < std::abs(best.sum - target))
      best = {members, sum};
  return best;
}

// Multiples of 1/16 in [-1, 1]: sums are exact and many of them tie.
std::vector<double> coarse(std::size_t count, std::uint64_t seed) {
  std::vector<double> candidates;
  for (std::size_t u = 0; u < count; ++u)
    candidates.push_back(static_cast<double>(Random(seed, "coarse").below(u, 33)) / 16 - 1);
  return candidates;
}

std::vector<double> fine(std::size_t count, std::uint64_t seed) {
  std::vector<double> candidates;
  for (std::size_t u = 0; u < count; ++u) candidates.push_back(2 * Random(seed, "fine").uniform(u) - 1);
  return candidates;
}

TEST(SubsetSum, IsTheNearestOfAllSubsetsAndTheLowestOfThoseThatTie) {
  for (std::size_t n = 0; n <= 12; ++n)
    for (std::uint64_t seed = 0; seed < 8; ++seed)
      for (const double target : {0.0, 0.25, 0.28125, -0.71875, 1.5, 40.0, -40.0}) {  // /32: midway between two sums
        const auto candidates = coarse(n, seed);
        const SubsetSum found = nearest_subset(candidates, target), expected = by_brute_force(candidates, target);
        EXPECT_EQ(found.sum, expected.sum) << n << " candidates, seed " << seed << ", target " << target;
        EXPECT_EQ(found.members, expected.members) << n << " candidates, seed " << seed << ", target " << target;
      }
}

TEST(SubsetSum, IsTheNearestOfAllSubsetsOfNumbersThatDoNotTie) {
  for (std::size_t n = 1; n <= 12; ++n)
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto candidates = fine(n, seed);
      const double target = Random(seed, "target").uniform(n) - 0.5;
      EXPECT_EQ(nearest_subset(candidates, target).members, by_brute_force(candidates, target).members);
    }
}

TEST(SubsetSum, SumsItsMembers) {
  for (const std::size_t n : {1, 5, 17, 24}) {
    const auto candidates = fine(n, 3);
    const SubsetSum found = nearest_subset(candidates, 0.3);
    EXPECT_NEAR(found.sum, sum_of(candidates, found.members), 1e-14);
    EXPECT_LT(found.members, std::uint64_t{1} << n);
  }
}

TEST(SubsetSum, OfZeroIsEmpty) {
  for (const std::size_t n : {0, 1, 9, 20}) {
    EXPECT_EQ(nearest_subset(fine(n, 5), 0).members, 0u);
    EXPECT_EQ(nearest_single(fine(n, 5), 0).members, 0u);
  }
}

TEST(SubsetSum, FindsTheOneSubsetThatHits) {
  std::vector<double> powers;  // every number below 2^32 has one subset: its bits
  for (int u = 0; u < subset_sum_limit; ++u) powers.push_back(std::ldexp(1, u));
  for (const std::uint32_t wanted : {0u, 1u, 0x80000001u, 0x12345678u, 0xffffffffu})
    EXPECT_EQ(nearest_subset(powers, wanted).members, wanted);
}

TEST(SubsetSum, ComesExponentiallyNearerWithMoreCandidatesWhereASingleOneDoesNot) {
  const auto worst = [](auto&& nearest, std::size_t n) {
    double error = 0;
    for (std::uint64_t seed = 0; seed < 50; ++seed)
      error = std::max(error, std::abs(nearest(fine(n, seed), 0.4).sum - 0.4));
    return error;
  };
  EXPECT_LT(worst(nearest_subset, 20), 1e-4);
  EXPECT_LT(100 * worst(nearest_subset, 20), worst(nearest_subset, 8));
  EXPECT_GT(worst(nearest_single, 20), 1e-2);
}

TEST(SubsetSum, OfOneMemberIsTheNearestCandidateOrNone) {
  const std::vector<double> candidates{0.5, -0.25, 0.75, 0.5};
  EXPECT_EQ(nearest_single(candidates, 0.55).members, 1u);  // the first of the two
  EXPECT_EQ(nearest_single(candidates, 0.9).sum, 0.75);
  EXPECT_EQ(nearest_single(candidates, -0.2).members, 2u);
  EXPECT_EQ(nearest_single(candidates, 0.25).members, 0u);  // as near as 0.5 is
  EXPECT_EQ(nearest_single({}, 0.25).members, 0u);
}

TEST(SubsetSum, RefusesMoreCandidatesThanFitIntoItsMemory) {
  EXPECT_THROW(nearest_subset(std::vector<double>(subset_sum_limit + 1), 0), UsageError);
  EXPECT_THROW(nearest_single(std::vector<double>(subset_sum_limit + 1), 0), UsageError);
}

}  // namespace
}  // namespace espalier
