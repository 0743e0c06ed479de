#include "espalier/layers/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
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
std::vector<Real> lane_losses(const Loss& loss, const Tile& tile) {
  Tape tape(/*poison=*/true);
  const Var l = loss(tape.begin(tile, {}), tile);
  EXPECT_EQ(l.shape(), Shape{1});
  return {l.value().row(0), l.value().row(0) + l.value().lanes()};
}

// d(sum of valid losses / denominator) / d(output), every lane.
Tensor gradient(const Loss& loss, const Tile& tile) {
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
      EXPECT_NEAR(lane_losses(softmax_cross_entropy, tile)[lane], std::log(Real{classes}),
                  2 * epsilon * std::max(std::abs(logit), Real{2}));
  }
}

TEST(SoftmaxCrossEntropy, IsMinusTheLogOfTheLabelsProbability) {
  const Tile tile = classification();
  const std::vector<Real> losses = lane_losses(softmax_cross_entropy, tile);
  for (Index lane = 0; lane < valid; ++lane) {
    double total = 0;
    for (Index c = 0; c < classes; ++c) total += std::exp(static_cast<double>(tile.input.row(c)[lane]));
    const Index label = tile.label[lane];
    EXPECT_NEAR(losses[lane], std::log(total) - static_cast<double>(tile.input.row(label)[lane]),
                8 * static_cast<double>(epsilon));
  }
}

TEST(SoftmaxCrossEntropy, OfHugeLogitsStaysFinite) {
  Tile tile = classification();
  tile.input.fill(Real{-1e4f});
  for (Index lane = 0; lane < valid; ++lane) tile.input.row(3)[lane] = Real{1e4f};
  const std::vector<Real> losses = lane_losses(softmax_cross_entropy, tile);
  const Tensor dX = gradient(softmax_cross_entropy, tile);
  for (Index lane = 0; lane < valid; ++lane) {
    const bool right = tile.label[lane] == 3;
    EXPECT_EQ(losses[lane], right ? 0 : Real{2e4f});
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

TEST(ClassWeights, MultiplyALaneAndItsGradient) {
  std::vector<double> weights(classes, 1);
  weights[2] = 3;
  weights[4] = 0;
  const Tile tile = classification();
  const Loss weighted = class_weighted_cross_entropy(weights);
  const std::vector<Real> plain = lane_losses(softmax_cross_entropy, tile), losses = lane_losses(weighted, tile);
  const Tensor dX = gradient(softmax_cross_entropy, tile), other = gradient(weighted, tile);
  for (Index lane = 0; lane < valid; ++lane) {
    const Real w = static_cast<Real>(weights[tile.label[lane]]);
    EXPECT_EQ(losses[lane], w * plain[lane]);
    for (Index c = 0; c < classes; ++c) EXPECT_NEAR(other.row(c)[lane], w * dX.row(c)[lane], epsilon);
  }
}

TEST(ClassWeights, BalancedOnesMakeAllClassesEquallyHeavyAndTheMeanSampleWeighOne) {
  const std::vector<Index> counts{90, 10, 0};
  const std::vector<double> weights = balanced_weights(counts);
  EXPECT_DOUBLE_EQ(weights[0], 100.0 / (2 * 90));
  EXPECT_DOUBLE_EQ(weights[1], 100.0 / (2 * 10));
  EXPECT_DOUBLE_EQ(weights[2], 1) << "never seen";
  EXPECT_DOUBLE_EQ(90 * weights[0], 10 * weights[1]);
  EXPECT_DOUBLE_EQ((90 * weights[0] + 10 * weights[1]) / 100, 1);
}

TEST(ClassWeights, AreRefusedWhereTheySayNothing) {
  EXPECT_THROW(class_weighted_cross_entropy({1, -1}), UsageError);
  EXPECT_THROW(class_weighted_cross_entropy({0, 0}), UsageError);
  EXPECT_THROW(class_weighted_cross_entropy({1, std::nan("")}), UsageError);
  EXPECT_THROW(balanced_weights(std::vector<Index>{0, 0}), UsageError);
  EXPECT_THROW(lane_losses(class_weighted_cross_entropy({1, 1}), classification()), UsageError) << "of 7 classes";
}

// The loss, and its slope times the denominator, of one output at y - target = error.
std::pair<Real, Real> at_error(const Loss& loss, Real error) {
  Tile tile;
  tile.input = Tensor({1}, {lanes, valid});
  tile.target = Tensor({1}, {lanes, valid});
  tile.input.fill(2 + error);
  tile.target.fill(2);
  tile.denominator = denominator;
  return {lane_losses(loss, tile)[0], gradient(loss, tile).row(0)[0] * denominator};
}

TEST(Huber, IsQuadraticUpToDeltaAndThenAStraightLine) {
  const Loss loss = huber(0.5);
  const std::pair<Real, std::pair<Real, Real>> known[] = {
      {0, {0, 0}}, {0.25, {0.03125, 0.25}}, {-0.5, {0.125, -0.5}}, {2, {0.5 * (2 - 0.25), 0.5}}, {-3, {1.375, -0.5}}};
  for (const auto& [error, expected] : known) {
    const auto [value, slope] = at_error(loss, error);
    EXPECT_NEAR(value, expected.first, 4 * epsilon) << error;
    EXPECT_NEAR(slope, expected.second, 4 * epsilon) << error;
  }
}

TEST(Quantile, CountsAnErrorBelowTheTargetTauAndOneAboveOneMinusTau) {
  const Loss loss = quantile(0.75);
  const std::pair<Real, std::pair<Real, Real>> known[] = {{0, {0, 0}}, {2, {0.5, 0.25}}, {-2, {1.5, -0.75}}};
  for (const auto& [error, expected] : known) {
    const auto [value, slope] = at_error(loss, error);
    EXPECT_NEAR(value, expected.first, 4 * epsilon) << error;
    EXPECT_NEAR(slope, expected.second, 4 * epsilon) << error;
  }
}

TEST(Quantile, IsLeastAtTheQuantile) {
  // Targets 0 ... 10: at 3/4 the sum is least at the 9th of 11, 8.
  Tile tile;
  tile.input = Tensor({1}, {lanes, valid});
  tile.target = Tensor({1}, {lanes, valid});
  for (Index lane = 0; lane < valid; ++lane) tile.target.row(0)[lane] = static_cast<Real>(lane);
  double least = 1e30;
  Index best = -1;
  for (Index y = 0; y < valid; ++y) {
    tile.input.fill(static_cast<Real>(y));
    double sum = 0;
    for (const Real loss : lane_losses(quantile(0.75), tile)) sum += static_cast<double>(loss);
    if (sum < least) least = sum, best = y;
  }
  EXPECT_EQ(best, 8);
}

TEST(Loss, OfANanIsANanSoThatADivergedTrainingIsNoticed) {
  for (const Loss& loss : {Loss(mean_squared_error), huber(1), quantile(0.3)})
    EXPECT_TRUE(std::isnan(at_error(loss, nan).first));
}

TEST(Loss, RefusesADeltaOrAQuantileThatIsNone) {
  for (const double delta : {0.0, -1.0, std::nan("")}) EXPECT_THROW(huber(delta), UsageError) << delta;
  for (const double tau : {0.0, 1.0, -0.5, std::nan("")}) EXPECT_THROW(quantile(tau), UsageError) << tau;
}

// --- by name ---------------------------------------------------------------------------------------------------------

TEST(Losses, AreThoseOfTheirNames) {
  const Tile classes_tile = classification(), numbers_tile = regression();
  const LossOptions options{.huber_delta = 0.7, .quantile = 0.2};
  const auto of = [&](const char* name, const Tile& tile) {
    return lane_losses(losses().named(name).make(options), tile);
  };
  EXPECT_EQ(of("cross-entropy", classes_tile), lane_losses(softmax_cross_entropy, classes_tile));
  EXPECT_EQ(of("mse", numbers_tile), lane_losses(mean_squared_error, numbers_tile));
  EXPECT_EQ(of("huber", numbers_tile), lane_losses(huber(0.7), numbers_tile));
  EXPECT_EQ(of("quantile", numbers_tile), lane_losses(quantile(0.2), numbers_tile));
  const std::vector<double> weights{0.5, 2, 1, 0, 3, 1, 0.25};
  EXPECT_EQ(lane_losses(losses().named("cross-entropy").make({.class_weights = weights}), classes_tile),
            lane_losses(class_weighted_cross_entropy(weights), classes_tile));
}

TEST(Losses, SayWhetherTheyAreForClassesAndWorkOnSuchData) {
  for (const LossEntry& entry : losses().entries()) {
    const Tile tile = entry.classification ? classification() : regression();
    for (Index lane = 0; lane < valid; ++lane)
      EXPECT_TRUE(std::isfinite(lane_losses(entry.make({}), tile)[lane])) << entry.name;
    EXPECT_FALSE(entry.line.empty()) << entry.name;
  }
}

TEST(Losses, AnUnknownNameListsAll) {
  try {
    losses().named("hinge");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_EQ(std::string(error.what()), "[loss] expected " + losses().names() + ", got \"hinge\"");
  }
}

TEST(Losses, OneFromOutsideTheTreeIsFoundByNameAndLeavesTheOthersWhereTheyAre) {
  const LossEntry* const mse_before = &losses().named("mse");
  if (!losses().find("half-mse"))  // if the test is repeated
    losses().add({.name = "half-mse",
                  .line = "the squared error under another name, for a test",
                  .make = [](const LossOptions&) { return Loss(mean_squared_error); }});
  EXPECT_EQ(&losses().named("mse"), mse_before);
  EXPECT_EQ(lane_losses(losses().named("half-mse").make({}), regression()),
            lane_losses(mean_squared_error, regression()));
  EXPECT_THROW(losses().add({.name = "mse"}), UsageError);
}

TEST(Losses, OptionsAreSettledUnlessANumberIsImpossible) {
  const double not_a_number = std::nan("");
  const LossOptions wrong[] = {{.huber_delta = 0},         {.huber_delta = not_a_number}, {.quantile = 1},
                               {.quantile = not_a_number}, {.class_weights = {0, 0}},     {.class_weights = {1, -1}}};
  for (const LossOptions& options : wrong) EXPECT_THROW(settled(options), UsageError);
  EXPECT_EQ(settled(LossOptions{.quantile = 0.25}).quantile, 0.25);
}

// --- all -------------------------------------------------------------------------------------------------------------

struct LossCase {
  const char* name;
  Loss loss;
  Tile (*tile)(Real padding);
};

class LossContract : public ::testing::TestWithParam<LossCase> {};

INSTANTIATE_TEST_SUITE_P(EveryLoss, LossContract,
                         ::testing::Values(LossCase{"SoftmaxCrossEntropy", softmax_cross_entropy, classification},
                                           LossCase{"ClassWeighted",
                                                    class_weighted_cross_entropy({0.5, 2, 1, 0, 3, 1, 0.25}),
                                                    classification},
                                           LossCase{"MeanSquaredError", mean_squared_error, regression},
                                           LossCase{"Huber", huber(0.7), regression},
                                           LossCase{"Quantile", quantile(0.2), regression}),
                         [](const auto& of) { return of.param.name; });

TEST_P(LossContract, WhatStandsInThePaddingChangesNoBitAndCostsNothing) {
  const auto& [name, loss, make] = GetParam();
  const std::vector<Real> losses = lane_losses(loss, make(0));
  for (Index lane = valid; lane < lanes; ++lane) EXPECT_EQ(losses[lane], 0);
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
