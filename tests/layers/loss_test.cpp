#include "layers/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "support/numbers.h"

namespace espalier {
namespace {

using testing::epsilon;
using testing::fill_padding;
using testing::nan;
using testing::normal_tensor;
using testing::same_bits;

constexpr Index classes = 7, lanes = 16, valid = 11;
constexpr Real denominator = 30;  // this tile is a part of its batch

Tile classification(Real padding = 0) {
  Tile tile;
  tile.input = normal_tensor({classes}, {lanes, valid}, "logits");
  tile.denominator = denominator;
  fill_padding(tile.input, padding);
  for (Index lane = 0; lane < valid; ++lane) tile.label.push_back(static_cast<std::int32_t>(lane % classes));
  return tile;
}

Tile regression(Real padding = 0) {
  Tile tile;
  tile.input = normal_tensor({classes}, {lanes, valid}, "y");
  tile.target = normal_tensor({classes}, {lanes, valid}, "target");
  tile.denominator = denominator;
  fill_padding(tile.input, padding);
  fill_padding(tile.target, padding);
  return tile;
}

// The loss of each lane, padding included.
std::vector<Real> lane_losses(Loss loss, const Tile& tile) {
  Tape tape(/*poison=*/true);
  const Var l = loss(tape.begin(tile, {}), tile);
  EXPECT_EQ(l.shape(), Shape{1});
  return {l.value().row(0), l.value().row(0) + l.value().lanes()};
}

// d(sum of valid losses / denominator) / d(output), every lane.
Tensor gradient(Loss loss, const Tile& tile) {
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tile, {.input_gradient = true});
  tape.backward(loss(x, tile), tile.denominator);
  Tensor copy(x.shape(), tile.input.lane_counts());
  for (Index i = 0; i < copy.features(); ++i) std::copy_n(tape.node(0).gradient.row(i), copy.lanes(), copy.row(i));
  return copy;
}

// --- known values ----------------------------------------------------------------------------------------------------

TEST(SoftmaxCrossEntropy, OfUniformLogitsIsTheLogarithmOfTheClasses) {
  for (const Real logit : {Real{0}, Real{-3}, Real{1e4f}}) {
    Tile tile = classification();
    tile.input.fill(logit);
    for (Index lane = 0; lane < valid; ++lane)
      EXPECT_NEAR(lane_losses(softmax_cross_entropy, tile)[static_cast<std::size_t>(lane)], std::log(Real{classes}),
                  2 * epsilon * std::max(std::abs(logit), Real{2}));
  }
}

TEST(SoftmaxCrossEntropy, IsMinusTheLogOfTheLabelsProbability) {
  const Tile tile = classification();
  const std::vector<Real> losses = lane_losses(softmax_cross_entropy, tile);
  for (Index lane = 0; lane < valid; ++lane) {
    double total = 0;
    for (Index c = 0; c < classes; ++c) total += std::exp(static_cast<double>(tile.input.row(c)[lane]));
    const Index label = tile.label[static_cast<std::size_t>(lane)];
    EXPECT_NEAR(losses[static_cast<std::size_t>(lane)],
                std::log(total) - static_cast<double>(tile.input.row(label)[lane]), 8 * static_cast<double>(epsilon));
  }
}

TEST(SoftmaxCrossEntropy, OfHugeLogitsStaysFinite) {
  Tile tile = classification();
  tile.input.fill(Real{-1e4f});
  for (Index lane = 0; lane < valid; ++lane) tile.input.row(3)[lane] = Real{1e4f};
  const std::vector<Real> losses = lane_losses(softmax_cross_entropy, tile);
  const Tensor dX = gradient(softmax_cross_entropy, tile);
  for (Index lane = 0; lane < valid; ++lane) {
    const bool right = tile.label[static_cast<std::size_t>(lane)] == 3;
    EXPECT_EQ(losses[static_cast<std::size_t>(lane)], right ? 0 : Real{2e4f});
    EXPECT_EQ(dX.row(3)[lane], right ? 0 : 1 / denominator);
  }
}

TEST(MeanSquaredError, IsTheMeanOverOutputsOfTheSquaredDifference) {
  Tile tile = regression();
  tile.input.fill(3);
  tile.target.fill(1);
  tile.target.row(0)[2] = 10;
  const std::vector<Real> losses = lane_losses(mean_squared_error, tile);
  EXPECT_NEAR(losses[0], 4, 8 * epsilon);
  EXPECT_NEAR(losses[2], (6 * 4 + 49) / Real{7}, 32 * epsilon);
}

TEST(MeanSquaredError, IsZeroWhereOutputEqualsTarget) {
  Tile tile = regression();
  tile.target = tile.input;
  for (const Real loss : lane_losses(mean_squared_error, tile)) EXPECT_EQ(loss, 0);
}

// --- both ------------------------------------------------------------------------------------------------------------

struct LossCase {
  const char* name;
  Loss loss;
  Tile (*tile)(Real padding);
};

class LossContract : public ::testing::TestWithParam<LossCase> {};

INSTANTIATE_TEST_SUITE_P(EveryLoss, LossContract,
                         ::testing::Values(LossCase{"SoftmaxCrossEntropy", softmax_cross_entropy, classification},
                                           LossCase{"MeanSquaredError", mean_squared_error, regression}),
                         [](const auto& of) { return of.param.name; });

TEST_P(LossContract, WhatStandsInThePaddingChangesNoBitAndCostsNothing) {
  const auto& [name, loss, make] = GetParam();
  const std::vector<Real> losses = lane_losses(loss, make(0));
  for (Index lane = valid; lane < lanes; ++lane) EXPECT_EQ(losses[static_cast<std::size_t>(lane)], 0);
  const Tensor dX = gradient(loss, make(0));
  for (Index i = 0; i < classes; ++i)
    for (Index lane = valid; lane < lanes; ++lane) EXPECT_EQ(dX.row(i)[lane], 0);
  for (const Real padding : {nan, Real{1e30f}}) {
    EXPECT_TRUE(same_bits(lane_losses(loss, make(padding)), losses));
    const Tensor other = gradient(loss, make(padding));
    EXPECT_TRUE(same_bits({other.data(), classes * lanes}, {dX.data(), classes * lanes}));
  }
}

TEST_P(LossContract, AddsToAGradientThatIsThereAlready) {
  const Tile tile = GetParam().tile(0);
  const Tensor once = gradient(GetParam().loss, tile);
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tile, {.input_gradient = true});
  tape.give_gradient(x, normal_tensor({classes}, {lanes, valid}, "already"));
  tape.backward(GetParam().loss(x, tile), tile.denominator);
  const Tensor already = normal_tensor({classes}, {lanes, valid}, "already");
  for (Index i = 0; i < classes; ++i)
    for (Index lane = 0; lane < valid; ++lane)
      EXPECT_NEAR(tape.node(0).gradient.row(i)[lane], already.row(i)[lane] + once.row(i)[lane], 4 * epsilon);
}

#ifdef ESPALIER_REAL_DOUBLE
TEST_P(LossContract, GradientsAreThoseOfFiniteDifferences) {
  constexpr Real h = 1e-5;
  Tile tile = GetParam().tile(0);
  const Tensor dX = gradient(GetParam().loss, tile);
  const auto total = [&] {
    Real sum = 0;
    for (const Real loss : lane_losses(GetParam().loss, tile)) sum += loss / tile.denominator;
    return sum;
  };
  for (Index i = 0; i < classes; ++i)
    for (Index lane = 0; lane < valid; ++lane) {
      Real& number = tile.input.row(i)[lane];
      const Real centre = number;
      number = centre + h;
      const Real above = total();
      number = centre - h;
      const Real below = total();
      number = centre;
      EXPECT_NEAR(dX.row(i)[lane], (above - below) / (2 * h), 1e-9);
    }
}
#endif

// --- at the door -----------------------------------------------------------------------------------------------------

TEST(SoftmaxCrossEntropy, RefusesLabelsOutOfRangeAndTooFew) {
  for (const std::int32_t label : {-1, 7, 1000}) {
    Tile tile = classification();
    tile.label[4] = label;
    EXPECT_THROW(lane_losses(softmax_cross_entropy, tile), UsageError) << label;
  }
  Tile tile = classification();
  tile.label.pop_back();
  EXPECT_THROW(lane_losses(softmax_cross_entropy, tile), UsageError);
}

TEST(MeanSquaredError, RefusesTargetsOfAnotherShape) {
  Tile tile = regression();
  tile.target = Tensor({classes + 1}, {lanes, valid});
  EXPECT_THROW(lane_losses(mean_squared_error, tile), UsageError);
  tile.target = {};
  EXPECT_THROW(lane_losses(mean_squared_error, tile), UsageError);
  tile.target = Tensor({classes}, {1, 1});
  EXPECT_THROW(lane_losses(mean_squared_error, tile), UsageError) << "fewer lanes than the output has";
}

}  // namespace
}  // namespace espalier
