// What only a linear layer promises. What every layer promises is in contract_test.cpp.
#include "espalier/layers/linear.h"

#include <gtest/gtest.h>

#include "espalier/core/error.h"
#include "support/batch_pass.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::Density;
using testing::make_tiles;
using testing::pattern_of;

TEST(Linear, IsWeightsTimesInputsPlusBias) {
  Parameter W("W", 2, 3), b("b", 2, 1, Role::bias);
  const Real weights[] = {1, 2, 3, -4, 5, -6}, biases[] = {10, 20};
  std::copy_n(weights, 6, W.value().data());
  std::copy_n(biases, 2, b.value().data());
  Tile tile;
  tile.input = Tensor({3}, {16, 16});
  for (Index i = 0; i < 3; ++i)
    for (Index lane = 0; lane < 16; ++lane) tile.input.row(i)[lane] = static_cast<Real>(100 * i + lane);
  Tape tape;
  const Var x = tape.begin(tile, {}), y = linear(x, W, &b), z = linear(x, W, &b, Activation::relu);
  for (Index lane = 0; lane < 16; ++lane) {
    const auto v = static_cast<Real>(lane);
    EXPECT_EQ(y.value().row(0)[lane], 10 + v + 2 * (100 + v) + 3 * (200 + v));
    EXPECT_EQ(y.value().row(1)[lane], 20 - 4 * v + 5 * (100 + v) - 6 * (200 + v));
    EXPECT_EQ(z.value().row(0)[lane], y.value().row(0)[lane]);
    EXPECT_EQ(z.value().row(1)[lane], 0);
  }
}

TEST(Linear, CostsTwoFlopsPerStoredWeightAndLane) {
  constexpr Index lanes = 16, samples = 37, padded = 48;
  for (const Density density : {Density::full, Density::half, Density::tenth, Density::nothing}) {
    const PatternPtr pattern = pattern_of(9, 14, density);
    Linear layer({.name = "fc", .in = 14, .out = 9, .pattern = pattern}, 1);
    const Flops flops = testing::run_batch(layer, make_tiles({14}, samples, lanes)).forward;
    EXPECT_EQ(flops.executed, static_cast<std::uint64_t>(2 * pattern->nonzeros() * padded));
    EXPECT_EQ(flops.useful, static_cast<std::uint64_t>(2 * pattern->nonzeros() * samples));
  }
}

TEST(Linear, BornSparseIsCsrFromTheFirstMoment) {
  const PatternPtr pattern = Pattern::random(65536, 65536, 500, Random(1, "huge"));
  Linear layer({.name = "fc", .in = 65536, .out = 65536, .bias = false, .pattern = pattern}, 1);
  const std::vector<Parameter*> parameters = parameters_of(layer);
  ASSERT_EQ(parameters.size(), 1u);
  EXPECT_EQ(parameters[0]->storage(), Storage::csr);
  EXPECT_EQ(parameters[0]->value().size(), 500u);
  EXPECT_EQ(parameters[0]->pattern(), pattern);
}

TEST(Linear, RefusesExtentsAndPatternsThatDoNotFit) {
  EXPECT_THROW(Linear({.in = 0, .out = 3}, 1), UsageError);
  EXPECT_THROW(Linear({.in = 3, .out = -1}, 1), UsageError);
  EXPECT_THROW(Linear({.in = 3, .out = 4, .pattern = Pattern::full(3, 4)}, 1), UsageError);
}

TEST(Linear, ForwardRefusesAnInputOfAnotherWidth) {
  const Linear layer({.name = "fc", .in = 3, .out = 4}, 1);
  const std::vector<Tile> tiles = make_tiles({5}, 16, 16);
  Tape tape;
  EXPECT_THROW(layer.forward(tape.begin(tiles[0], {})), UsageError);
}

}  // namespace
}  // namespace espalier
