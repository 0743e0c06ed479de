#include "espalier/layers/residual.h"

#include <gtest/gtest.h>

#include "espalier/core/error.h"
#include "espalier/layers/activations.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "support/batch_pass.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::make_tiles;

// Wishes for a halo around what it reads, as a convolution does.
class Wisher final : public Module {
 public:
  Var forward(const Var& x) const override { return activate(x, Activation::tanh); }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string name() const override { return "wisher"; }
  Halo input_halo() const override { return {2, 1}; }
};

TEST(Residual, AddsItsInputToItsBody) {
  const std::vector<Tile> tiles = make_tiles({2, 3, 2}, 16, 16);
  const Residual residual("r", std::make_unique<Activate>(Activation::tanh), nullptr, Activation::relu);
  Tape tape;
  const Var x = tape.begin(tiles[0], {});
  const Var y = residual.forward(x);
  for (Index i = 0; i < 12; ++i)
    for (Index lane = 0; lane < 16; ++lane) {
      const Real v = x.value().row(i)[lane];
      EXPECT_EQ(y.value().row(i)[lane], std::max(std::tanh(v) + v, Real{0}));
    }
}

TEST(Residual, BranchesOfDifferentShapesAreAUsageErrorThatNamesBoth) {
  const Residual residual("block2", std::make_unique<Linear>(LinearOptions{.name = "fc", .in = 4, .out = 3}, 1));
  try {
    residual.output_shape({4});
    ADD_FAILURE() << "expected a UsageError";
  } catch (const UsageError& error) {
    EXPECT_PRED2(testing::contains, error.what(), "block2");
    EXPECT_PRED2(testing::contains, error.what(), "[3]");
    EXPECT_PRED2(testing::contains, error.what(), "[4]");
  }
  EXPECT_THROW(Residual("r", nullptr), UsageError);
}

TEST(Residual, WishesForTheHaloOfItsBodyAndWritesTheOneThatIsWishedFor) {
  Residual residual("r", std::make_unique<Wisher>());
  EXPECT_EQ(residual.input_halo(), (Halo{2, 1}));
  residual.set_output_halo({1, 1});
  const std::vector<Tile> tiles = make_tiles({2, 3, 2}, 16, 16);
  Tape tape;
  EXPECT_EQ(residual.forward(tape.begin(tiles[0], {})).value().halo(), (Halo{1, 1}));
}

TEST(Add, OfAVarToItselfIsItsDouble) {
  const std::vector<Tile> tiles = make_tiles({5}, 9, 16);
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  const Var y = add(x, x);
  tape.backward(testing::linear_functional(y), 1);
  for (Index i = 0; i < 5; ++i)
    for (Index lane = 0; lane < 9; ++lane) {
      EXPECT_EQ(y.value().row(i)[lane], 2 * x.value().row(i)[lane]);
      EXPECT_EQ(testing::input_gradient(tape).row(i)[lane], 2 * testing::functional_weight(lane, i));
    }
}

}  // namespace
}  // namespace espalier
