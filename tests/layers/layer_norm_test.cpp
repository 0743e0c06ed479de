// What layer normalisation promises besides the contract; the arithmetic is in tests/core/lanewise_test.cpp.
#include "espalier/layers/layer_norm.h"

#include <gtest/gtest.h>

#include "espalier/core/error.h"
#include "support/batch_pass.h"

namespace espalier {
namespace {

using testing::make_tiles;

TEST(LayerNorm, EveryStepOfASampleHasMeanZeroAndVarianceOne) {
  LayerNorm layer({.features = 12});
  const testing::Pass pass = testing::run_batch(layer, make_tiles({3, 12}, 21, 16, testing::nan));
  for (const std::vector<Real>& sample : pass.output)
    for (Index t = 0; t < 3; ++t) {
      Real sum = 0, squares = 0;
      for (Index j = 0; j < 12; ++j) sum += sample[t * 12 + j], squares += sample[t * 12 + j] * sample[t * 12 + j];
      EXPECT_NEAR(sum / 12, 0, 1e-6);
      EXPECT_NEAR(squares / 12, 1, 1e-3);
    }
}

TEST(LayerNorm, NeitherScaleNorShiftOfASampleMatters) {
  const LayerNorm layer({.features = 9});
  std::vector<Tile> tiles = make_tiles({9}, 16, 16), other = make_tiles({9}, 16, 16);
  for (Index i = 0; i < 9; ++i)
    for (Index lane = 0; lane < 16; ++lane)
      other[0].input.row(i)[lane] = 8 * tiles[0].input.row(i)[lane] + static_cast<Real>(lane);
  Tape a, b;
  const Var x = layer.forward(a.begin(tiles[0], {})), y = layer.forward(b.begin(other[0], {}));
  testing::expect_close(testing::valid_numbers(x.value()), testing::valid_numbers(y.value()), Real{1e-4}, "y");
}

TEST(LayerNorm, ScaleAndShiftHaveTheirRolesAndAreNotPrunable) {
  LayerNorm layer({.name = "norm", .features = 4});
  const std::vector<Parameter*> parameters = parameters_of(layer);
  ASSERT_EQ(parameters.size(), 2u);
  EXPECT_EQ(parameters[0]->role(), Role::scale);
  EXPECT_EQ(parameters[1]->role(), Role::bias);
  EXPECT_EQ(parameters[0]->value()[3], 1);
  EXPECT_THROW(LayerNorm({.features = 4, .epsilon = 0}), UsageError);
}

}  // namespace
}  // namespace espalier
