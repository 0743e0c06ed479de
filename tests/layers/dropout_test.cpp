#include "espalier/layers/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "espalier/core/error.h"
#include "support/batch_pass.h"

namespace espalier {
namespace {

using testing::make_tiles;

constexpr Index features = 100, samples = 256;

// [sample][feature] of dropout(x), however the batch is cut.
std::vector<std::vector<Real>> dropped(const Dropout& dropout, Index lanes, TapeOptions options) {
  std::vector<std::vector<Real>> outputs;
  for (const Tile& tile : make_tiles({features}, samples, lanes)) {
    Tape tape(/*poison=*/true);
    testing::append_samples(dropout.forward(tape.begin(tile, options)).value(), outputs);
  }
  return outputs;
}

std::vector<std::vector<Real>> inputs() {
  std::vector<std::vector<Real>> all;
  for (const Tile& tile : make_tiles({features}, samples, 16)) testing::append_samples(tile.input, all);
  return all;
}

TEST(Dropout, KeepsAFractionOneMinusPAndScalesItUp) {
  const auto x = inputs();
  for (const Real p : {Real{0.125}, Real{0.5}, Real{0.75}}) {
    const auto y = dropped(Dropout("drop", p), 16, {.seed = 1});
    const Real scale = 1 / (1 - p);
    Index kept = 0;
    for (std::size_t s = 0; s < y.size(); ++s)
      for (std::size_t i = 0; i < y[s].size(); ++i) {
        EXPECT_TRUE(y[s][i] == 0 || y[s][i] == scale * x[s][i]) << y[s][i] << " from " << x[s][i];
        kept += y[s][i] != 0;
      }
    const double n = features * samples, keep = 1 - static_cast<double>(p);
    EXPECT_NEAR(static_cast<double>(kept) / n, keep, 5 * std::sqrt(keep * (1 - keep) / n));
  }
}

TEST(Dropout, IsKeyedByTheSampleSoTilingChangesNoBit) {
  const Dropout dropout("drop", Real{0.5});
  const auto expected = dropped(dropout, 16, {.seed = 1, .step = 2});
  for (const Index lanes : {1, 48, 64, 128}) EXPECT_EQ(dropped(dropout, lanes, {.seed = 1, .step = 2}), expected);
}

TEST(Dropout, SeedStepAndNameAllChangeWhatIsDropped) {
  const Dropout dropout("drop", Real{0.5});
  const auto one = dropped(dropout, 16, {.seed = 1, .step = 1});
  EXPECT_EQ(one, dropped(dropout, 16, {.seed = 1, .step = 1}));
  EXPECT_NE(one, dropped(dropout, 16, {.seed = 2, .step = 1}));
  EXPECT_NE(one, dropped(dropout, 16, {.seed = 1, .step = 2}));
  EXPECT_NE(one, dropped(Dropout("another", Real{0.5}), 16, {.seed = 1, .step = 1}));
}

TEST(Dropout, SamplesAreDroppedIndependently) {
  const auto y = dropped(Dropout("drop", Real{0.5}), 64, {.seed = 1});
  Index same = 0;
  for (std::size_t s = 0; s + 1 < y.size(); ++s)
    for (std::size_t i = 0; i < y[s].size(); ++i) same += (y[s][i] == 0) == (y[s + 1][i] == 0);
  const double n = features * (samples - 1);
  EXPECT_NEAR(static_cast<double>(same) / n, 0.5, 5 * std::sqrt(0.25 / n));
}

TEST(Dropout, IsTheIdentityOutsideTraining) {
  const Dropout dropout("drop", Real{0.5});
  for (const Mode mode : {Mode::evaluation, Mode::inference}) EXPECT_EQ(dropped(dropout, 16, {.mode = mode}), inputs());
}

TEST(Dropout, OfProbabilityZeroIsTheIdentity) {
  EXPECT_EQ(dropped(Dropout("drop", 0), 16, {.seed = 1}), inputs());
}

TEST(Dropout, RefusesWhatIsNoProbabilityOrDropsEverything) {
  for (const Real p : {Real{-0.1}, Real{1}, Real{2}, std::numeric_limits<Real>::quiet_NaN()})
    EXPECT_THROW(Dropout("drop", p), UsageError) << p;
}

}  // namespace
}  // namespace espalier
