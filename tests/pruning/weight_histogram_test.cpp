#include "espalier/pruning/weight_histogram.h"

#include <gtest/gtest.h>

#include <numeric>

#include "espalier/pruning/storage_rules.h"

namespace espalier {
namespace {

Index sum(const std::array<Index, WeightHistogram::bins>& counts) {
  return std::accumulate(counts.begin(), counts.end(), Index{0});
}

TEST(WeightHistogram, CountsEveryWeightThatIsNotZeroOnce) {
  Parameter W("w", 3, 4);
  const std::vector<Real> values{-1, 0.999F, 1, -0.5F, 0.01F, -0.01F, 0, 0.5F, 0.25F, -0.25F, 0.75F, -0.999F};
  std::ranges::copy(values, W.value().begin());
  const StorageRules rules{.histograms = true};
  const PruneEvent event = rules.apply(W, Pattern::from_positions(3, 4, std::vector<Index>{0, 2, 4}), 1);
  const WeightHistogram& h = event.histogram.value();
  EXPECT_EQ(h.limit, 1);
  EXPECT_EQ(sum(h.before), 11);
  EXPECT_EQ(sum(h.after), 3);
  EXPECT_EQ(h.after[0], 1);                          // -1
  EXPECT_EQ(h.after[WeightHistogram::bins - 1], 1);  // 1: the last bin has its end
  EXPECT_EQ(h.after[WeightHistogram::bins / 2], 1);  // 0.01
  EXPECT_EQ(h.before[WeightHistogram::bins / 2 - 1], 1);
}

TEST(WeightHistogram, OfALargeLayerIsThatOfASample) {
  Parameter W("w", 400, 1000);
  for (Index i = 0; i < W.positions(); ++i)
    W.value()[static_cast<std::size_t>(i)] = static_cast<Real>(i % 7 == 0 ? -1 : 1);
  const WeightHistogram h(W);
  EXPECT_NEAR(static_cast<double>(sum(h.before)), 400'000, 20);
  EXPECT_NEAR(static_cast<double>(h.before[0]), 400'000.0 / 7, 600);
}

TEST(WeightHistogram, OfWeightsThatAreAllZeroIsEmpty) {
  const Parameter W("w", 3, 4);
  const WeightHistogram h(W);
  EXPECT_EQ(sum(h.before), 0);
}

TEST(PruneEvents, KnowThePatternsBeforeAndAfter) {
  Parameter W("w", 2, 3);
  const PatternPtr first = Pattern::from_positions(2, 3, std::vector<Index>{0, 1, 4}),
                   second = Pattern::from_positions(2, 3, std::vector<Index>{1});
  const StorageRules rules;
  const PruneEvent one = rules.apply(W, first, 1), two = rules.apply(W, second, 2);
  EXPECT_EQ(one.before, nullptr);
  EXPECT_EQ(one.after, first);
  EXPECT_EQ(two.before, first);
  EXPECT_EQ(two.after, second);
  EXPECT_FALSE(two.histogram.has_value()) << "it was not asked for";
}

}  // namespace
}  // namespace espalier
