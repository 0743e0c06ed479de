#include "espalier/core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace espalier {
namespace {

constexpr std::uint64_t draws = 100'000;

TEST(Random, TheSameKeyGivesTheSameBits) {
  const Random a(7, "shuffle", 3, 5), b(7, "shuffle", 3, 5);
  for (std::uint64_t n = 0; n < 1000; ++n) EXPECT_EQ(a.bits(n), b.bits(n));
}

TEST(Random, ADrawDoesNotDependOnTheDrawsBefore) {
  const Random random(7, "shuffle");
  const std::uint64_t tenth = random.bits(10);
  for (std::uint64_t n = 0; n < 10; ++n) random.bits(n);
  EXPECT_EQ(random.bits(10), tenth);
}

TEST(Random, AnyDifferenceInTheKeyGivesAnotherStream) {
  const std::array streams{Random(7, "shuffle", 3, 5), Random(8, "shuffle", 3, 5), Random(7, "dropout", 3, 5),
                           Random(7, "shuffle", 4, 5), Random(7, "shuffle", 3, 6), Random(7, "shuffle", 5, 3)};
  std::set<std::uint64_t> seen;
  for (const Random& stream : streams)
    for (std::uint64_t n = 0; n < 1000; ++n) seen.insert(stream.bits(n));
  EXPECT_EQ(seen.size(), 1000 * streams.size());
}

TEST(Random, NeighbouringStreamsAreUncorrelated) {
  const Random a(1, "x", 0, 0), b(1, "x", 0, 1);
  double covariance = 0;
  for (std::uint64_t n = 0; n < draws; ++n) covariance += (a.uniform(n) - 0.5) * (b.uniform(n) - 0.5);
  // The mean of products of two independent uniforms has standard deviation 1/12 / sqrt(draws).
  EXPECT_NEAR(covariance / draws, 0, 5.0 / 12 / std::sqrt(draws));
}

TEST(Random, UniformHasTheMeanAndVarianceOfTheUnitInterval) {
  const Random random(1, "uniform");
  double sum = 0, squares = 0;
  for (std::uint64_t n = 0; n < draws; ++n) {
    const double u = random.uniform(n);
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
    squares += (u - 0.5) * (u - 0.5);
  }
  EXPECT_NEAR(sum / draws, 0.5, 5 * std::sqrt(1.0 / 12 / draws));
  EXPECT_NEAR(squares / draws, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / draws));
}

TEST(Random, NormalHasMeanZeroVarianceOneAndNormalTails) {
  const Random random(1, "normal");
  double sum = 0, squares = 0;
  std::uint64_t beyond_two = 0;
  for (std::uint64_t n = 0; n < draws; ++n) {
    const double z = random.normal(n);
    ASSERT_TRUE(std::isfinite(z));
    sum += z;
    squares += z * z;
    beyond_two += std::abs(z) > 2;
  }
  EXPECT_NEAR(sum / draws, 0, 5 / std::sqrt(draws));
  EXPECT_NEAR(squares / draws, 1, 5 * std::sqrt(2.0 / draws));
  EXPECT_NEAR(static_cast<double>(beyond_two) / draws, 0.0455, 5 * std::sqrt(0.0455 / draws));
}

TEST(Random, BelowReachesEveryNumberBelowItsBoundEvenly) {
  const Random random(1, "below");
  std::array<std::uint64_t, 7> count{};
  for (std::uint64_t n = 0; n < draws; ++n) {
    const std::uint64_t k = random.below(n, count.size());
    ASSERT_LT(k, count.size());
    ++count[k];
  }
  for (const std::uint64_t c : count)
    EXPECT_NEAR(static_cast<double>(c) / draws, 1.0 / 7, 5 * std::sqrt(1.0 / 7 / draws));
}

TEST(Random, BelowOneIsZeroAndBelowTwoToThe62StaysInRange) {
  const Random random(1, "below");
  constexpr std::uint64_t huge = 1ull << 62;
  for (std::uint64_t n = 0; n < 1000; ++n) {
    EXPECT_EQ(random.below(n, 1), 0u);
    EXPECT_LT(random.below(n, huge), huge);
  }
}

TEST(Random, ShuffleIsAPermutation) {
  for (const std::size_t size : {0u, 1u, 2u, 1000u}) {
    std::vector<int> items(size);
    std::iota(items.begin(), items.end(), 0);
    const std::vector<int> sorted = items;
    Random(1, "shuffle").shuffle(std::span(items));
    if (size == 1000) {
      EXPECT_NE(items, sorted);
    }
    std::ranges::sort(items);
    EXPECT_EQ(items, sorted);
  }
}

TEST(Random, ShuffleGivesEveryOrderOfThreeEquallyOften) {
  std::array<int, 6> count{};
  constexpr int rounds = 60'000;
  for (std::uint64_t seed = 0; seed < rounds; ++seed) {
    std::array<int, 3> items{0, 1, 2};
    Random(seed, "shuffle").shuffle(std::span<int>(items));
    ++count[2 * items[0] + (items[1] > items[2])];
  }
  for (const int c : count) EXPECT_NEAR(c, rounds / 6.0, 5 * std::sqrt(rounds / 6.0));
}

}  // namespace
}  // namespace espalier
