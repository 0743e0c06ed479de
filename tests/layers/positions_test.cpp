// What positions promise besides the contract.
#include "espalier/layers/positions.h"

#include <gtest/gtest.h>

#include <cmath>

#include "espalier/core/error.h"
#include "support/batch_pass.h"

namespace espalier {
namespace {

TEST(Positions, SinusoidalOnesAreSinesAndCosinesOfFallingFrequency) {
  Positions layer({.steps = 3, .features = 5, .kind = PositionKind::sinusoidal});
  EXPECT_TRUE(parameters_of(layer).empty());
  Tile tile;
  tile.input = Tensor({3, 5}, {16, 16});
  Tape tape;
  const Tensor y = layer.forward(tape.begin(tile, {})).value();
  for (Index t = 0; t < 3; ++t) {
    const double second = t / std::pow(10000, 2.0 / 5), third = t / std::pow(10000, 4.0 / 5);
    const double expected[] = {std::sin(t), std::cos(t), std::sin(second), std::cos(second), std::sin(third)};
    for (Index i = 0; i < 5; ++i) EXPECT_NEAR(y.row(t * 5 + i)[3], expected[i], 1e-6);
  }
}

TEST(Positions, LearntOnesBeginAtZeroAndEachStepLearnsItsOwn) {
  Positions layer({.steps = 2, .features = 3});
  const std::vector<Tile> tiles = testing::make_tiles({2, 3}, 5, 16, testing::nan);
  const testing::Pass pass = testing::run_batch(layer, tiles);
  for (Index sample = 0; sample < 5; ++sample)
    for (Index i = 0; i < 6; ++i) EXPECT_EQ(pass.output[sample][i], tiles[0].input.row(i)[sample]);
  for (Index i = 0; i < 6; ++i) {
    Real sum = 0;
    for (Index sample = 0; sample < 5; ++sample) sum += testing::functional_weight(sample, i) / 5;
    EXPECT_NEAR(pass.gradient[0][i], sum, 8 * testing::epsilon);
  }
  EXPECT_THROW(Positions({.steps = 0, .features = 3}), UsageError);
}

}  // namespace
}  // namespace espalier
