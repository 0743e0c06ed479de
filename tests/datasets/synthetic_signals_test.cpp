#include "datasets/synthetic_signals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "support/text.h"

namespace espalier {
namespace {

const Memory& memory(const DatasetPtr& data) {
  return dynamic_cast<const Memory&>(*data);
}

bool same_samples(const DatasetPtr& a, const DatasetPtr& b, Index count) {
  for (Index i = 0; i < count; ++i)
    if (a->label(i) != b->label(i) || !std::ranges::equal(memory(a).bytes(i), memory(b).bytes(i))) return false;
  return true;
}

TEST(SyntheticSignals, AreSequencesOfThreeSensorsAndSayWhatTheyAreNot) {
  const TrainTest data = synthetic_signals(20, 10);
  EXPECT_EQ(data.train->samples(), 20);
  EXPECT_EQ(data.test->samples(), 10);
  EXPECT_EQ(data.train->shape(), (Shape{64, 3})) << "time in front";
  EXPECT_EQ(data.test->classes(), 8);
  EXPECT_PRED2(testing::contains, data.provenance, "measured by nobody");
}

TEST(SyntheticSignals, AreAFunctionOfSeedPartAndNumber) {
  const TrainTest one = synthetic_signals(200, 50, 7, 1), three = synthetic_signals(250, 60, 7, 3);
  EXPECT_TRUE(same_samples(one.train, three.train, 200)) << "whoever draws, and however many";
  EXPECT_TRUE(same_samples(one.test, three.test, 50));
  EXPECT_FALSE(same_samples(one.train, one.test, 50));
  EXPECT_FALSE(same_samples(one.train, synthetic_signals(50, 1, 8).train, 50));
}

TEST(SyntheticSignals, HaveAboutEquallyManyOfEachClass) {
  const TrainTest data = synthetic_signals(4000, 1);
  std::array<int, 8> count{};
  for (Index i = 0; i < 4000; ++i) ++count.at(static_cast<std::size_t>(data.train->label(i)));
  for (const int c : count) {  // 500 expected, a deviation of 21
    EXPECT_GT(c, 400);
    EXPECT_LT(c, 600);
  }
}

TEST(SyntheticSignals, AreHardlyEverClipped) {
  const TrainTest data = synthetic_signals(500, 1);
  int clipped = 0;
  for (Index i = 0; i < 500; ++i)
    for (const std::uint8_t byte : memory(data.train).bytes(i)) clipped += byte == 0 || byte == 255;
  EXPECT_LT(clipped, 500 * 192 / 1000);
}

TEST(SyntheticSignals, NoClassShowsInItsMean) {
  // Nearest class mean, which knows of places and not of shapes, is hardly better than chance, 1 in 8.
  const TrainTest data = synthetic_signals(2000, 500);
  constexpr std::size_t features = 192;
  std::array<std::vector<double>, 8> mean;
  std::array<double, 8> count{};
  for (auto& m : mean) m.resize(features);
  for (Index i = 0; i < 2000; ++i) {
    const auto signal = memory(data.train).bytes(i);
    const auto label = static_cast<std::size_t>(data.train->label(i));
    ++count[label];
    for (std::size_t f = 0; f < features; ++f) mean[label][f] += signal[f];
  }
  int right = 0;
  for (Index i = 0; i < 500; ++i) {
    const auto signal = memory(data.test).bytes(i);
    std::array<double, 8> distance{};
    for (std::size_t c = 0; c < 8; ++c)
      for (std::size_t f = 0; f < features; ++f) distance[c] += std::pow(signal[f] - mean[c][f] / count[c], 2);
    right += std::ranges::min_element(distance) - distance.begin() == data.test->label(i);
  }
  EXPECT_LT(right, 175);
}

TEST(SyntheticSignals, RejectEmptyParts) {
  EXPECT_THROW(synthetic_signals(0, 1), UsageError);
  EXPECT_THROW(synthetic_signals(1, -1), UsageError);
}

}  // namespace
}  // namespace espalier
