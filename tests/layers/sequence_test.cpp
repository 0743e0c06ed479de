// What only layers over time promise: that they are the functions they say. The rest is in contract_test.cpp.
#include "espalier/layers/sequence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/gru.h"
#include "support/batch_pass.h"
#include "support/forced_target.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::make_tiles;

// W[row, column] times the numbers from `begin` on.
Real dot(const Parameter& W, Index row, const std::vector<Real>& x, std::size_t begin = 0) {
  Real sum = 0;
  for (Index c = 0; c < W.cols(); ++c) sum += W.value()[row * W.cols() + c] * x[begin + static_cast<std::size_t>(c)];
  return sum;
}

std::vector<Real> lane_of(const Tensor& x, Index lane) {
  std::vector<Real> numbers;
  for (Index i = 0; i < x.features(); ++i) numbers.push_back(x.row(i)[lane]);
  return numbers;
}

TEST(Conv1d, IsTheSumOverThePatchOfWeightsTimesInputs) {
  // Two features, a kernel of 3, a stride of 2, padding 1: y_0 sees zeros, x_0, x_1; y_1 sees x_1, x_2, x_3.
  Parameter W("W", 1, 6), b("b", 1, 1, Role::bias);
  const Real weights[] = {1, 10, 2, 20, 3, 30};
  std::copy_n(weights, 6, W.value().data());
  b.value()[0] = 1000;
  Tile tile;
  tile.input = Tensor({4, 2}, {16, 16});
  for (Index i = 0; i < 8; ++i) tile.input.row(i)[7] = static_cast<Real>(i + 1);  // (1, 2), (3, 4), (5, 6), (7, 8)
  Tape tape;
  const Var y = conv1d(tape.begin(tile, {}), W, &b, {.kernel = 3, .stride = 2, .padding = 1});
  ASSERT_EQ(y.shape(), (Shape{2, 1}));
  EXPECT_EQ(y.value().row(0)[7], 1000 + (2 * 1 + 20 * 2) + (3 * 3 + 30 * 4));
  EXPECT_EQ(y.value().row(1)[7], 1000 + (1 * 3 + 10 * 4) + (2 * 5 + 20 * 6) + (3 * 7 + 30 * 8));
  EXPECT_EQ(y.value().row(1)[0], 1000);
}

TEST(Conv1d, RefusesWindowsThatCannotBe) {
  for (const TimeWindow w : {TimeWindow{.kernel = 0}, TimeWindow{.stride = 0}, TimeWindow{.padding = -1}})
    EXPECT_THROW(Conv1d({.in = 2, .out = 3, .window = w}, 1), UsageError);
  const PatternPtr wrong = Pattern::full(3, 7);
  EXPECT_THROW(Conv1d({.in = 2, .out = 3, .pattern = wrong}, 1), UsageError);
}

TEST(Gru, IsItsFourEquationsAtEveryStep) {
  constexpr Index T = 6, F = 3, H = 5, gates = 3 * H;
  Gru layer({.name = "gru", .in = F, .units = H}, 1);
  const std::vector<Parameter*> p = parameters_of(layer);
  for (Parameter* parameter : p) testing::fill_normal(parameter->value(), *parameter, parameter->name());
  const Parameter &W = *p[0], &b = *p[1], &U = *p[2], &c = *p[3];
  const std::vector<Tile> tiles = make_tiles({T, F}, 16, 16);
  const auto sigmoid = [](Real x) { return 1 / (1 + std::exp(-x)); };
  for (const std::int64_t target : testing::targets()) {
    const testing::ForcedTarget forced(target);
    Tape tape;
    const Var y = layer.forward(tape.begin(tiles[0], {}));
    for (const Index lane : {0, 11}) {
      const std::vector<Real> x = lane_of(tiles[0].input, lane);
      std::vector<Real> h(H, 0);
      for (Index t = 0; t < T; ++t) {
        const std::vector<Real> before = h;
        for (Index j = 0; j < H; ++j) {
          const auto in = [&](Index row) { return dot(W, row, x, static_cast<std::size_t>(t * F)) + b.value()[row]; };
          const auto past = [&](Index row) { return dot(U, row, before) + c.value()[row]; };
          const Real r = sigmoid(in(j) + past(j)), z = sigmoid(in(H + j) + past(H + j));
          const Real n = std::tanh(in(2 * H + j) + r * past(2 * H + j));
          h[j] = (1 - z) * n + z * before[j];
          EXPECT_NEAR(y.value().row(t * H + j)[lane], h[j], 100 * testing::epsilon)
              << kernels::target_name(target) << ", step " << t << ", unit " << j;
        }
      }
    }
  }
  EXPECT_EQ(U.rows(), gates);
}

TEST(Gru, GoesBackAlikeOnEveryTarget) {
  Gru layer({.name = "gru", .in = 3, .units = 5}, 1);
  for (const Index lanes : {16, 1}) {
    const std::vector<Tile> tiles = make_tiles({6, 3}, lanes, lanes);
    const testing::Pass best = testing::run_batch(layer, tiles);
    for (const std::int64_t target : testing::targets()) {
      SCOPED_TRACE(kernels::target_name(target));
      const testing::ForcedTarget forced(target);
      testing::expect_close(best, testing::run_batch(layer, tiles), 100 * testing::epsilon);
    }
  }
}

TEST(Gru, ExtremeSumsSaturateAndNaNStays) {
  Real A[3] = {1e6f, -1e6f, 1e6f}, G[4] = {0, 0, 0, 0};
  const Real h = Real{0.25};
  Real next = 0;
  kernels::gru_step(A, G, &h, &next, 1);
  EXPECT_EQ(next, 1) << "z = 0: the candidate, tanh of a million";
  A[1] = 1e6f;
  G[1] = G[2] = 0;
  kernels::gru_step(A, G, &h, &next, 1);
  EXPECT_EQ(next, h) << "z = 1: the past";
  A[2] = testing::nan;
  G[0] = G[1] = G[2] = 0;
  kernels::gru_step(A, G, &h, &next, 1);
  EXPECT_TRUE(std::isnan(next));
}

TEST(Gru, WhatComesLaterDoesNotChangeWhatWas) {
  Gru layer({.name = "gru", .in = 2, .units = 4}, 1);
  std::vector<Tile> tiles = make_tiles({5, 2}, 16, 16);
  Tape tape, other;
  const Var before = layer.forward(tape.begin(tiles[0], {.mode = Mode::inference}));
  const std::vector<Real> first = testing::valid_numbers(before.value().slice(0, {3, 4}));
  Tensor later = tiles[0].input.slice(6, {2, 2});
  later.fill(9);
  const Var after = layer.forward(other.begin(tiles[0], {.mode = Mode::inference}));
  EXPECT_TRUE(testing::same_bits(first, testing::valid_numbers(after.value().slice(0, {3, 4}))));
  EXPECT_FALSE(testing::same_bits(testing::valid_numbers(before.value()), testing::valid_numbers(after.value())));
}

TEST(Gru, CostsThreeGatesOfBothMatricesAtEveryStep) {
  Gru layer({.name = "gru", .in = 2, .units = 4}, 1);
  const std::vector<Tile> tiles = make_tiles({5, 2}, 13, 16);
  const Flops forward = testing::run_batch(layer, tiles).forward;
  EXPECT_EQ(forward.executed, 2u * 5 * (12 * 2 + 12 * 4) * 16);
  EXPECT_EQ(forward.useful, 2u * 5 * (12 * 2 + 12 * 4) * 13);
}

TEST(Gru, RefusesPatternsOfAnotherShape) {
  EXPECT_THROW(Gru({.in = 2, .units = 4, .input_pattern = Pattern::full(12, 3)}, 1), UsageError);
  EXPECT_THROW(Gru({.in = 2, .units = 4, .hidden_pattern = Pattern::full(4, 4)}, 1), UsageError);
}

TEST(LayersOverTime, ShowEverythingTheirWeightsWereMultipliedBy) {
  const std::vector<Tile> tiles = make_tiles({4, 2}, 16, 16);
  Conv1d conv({.in = 2, .out = 3, .window = {.kernel = 3, .stride = 2, .padding = 1}}, 1);
  Gru gru({.in = 3, .units = 2}, 1);
  Tape tape;
  const Var y = conv.forward(tape.begin(tiles[0], {})), h = gru.forward(y);
  std::vector<std::vector<Real>> seen;
  const auto look = [&](const Var& of) {
    const Node& node = tape.node(of.node());
    ASSERT_EQ(node.reads.size(), 1u);
    for_each_operand(tape, node, node.reads[0], [&](const Operand& operand) {
      EXPECT_EQ(operand.position, std::ssize(seen));
      seen.push_back(lane_of(operand.x, 3));
    });
  };
  look(y);
  const std::vector<Real> x = lane_of(tiles[0].input, 3);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], (std::vector<Real>{0, 0, x[0], x[1], x[2], x[3]}));
  EXPECT_EQ(seen[1], (std::vector<Real>{x[2], x[3], x[4], x[5], x[6], x[7]}));
  seen.clear();
  look(h);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], (std::vector<Real>{0, 0}));
  EXPECT_EQ(seen[1], lane_of(h.value().slice(0, {2}), 3));
}

TEST(LayersOverTime, TheLastStepAndTheMean) {
  Tile tile;
  tile.input = Tensor({3, 2}, {1, 1});
  const Real numbers[] = {1, 10, 2, 20, 6, 60};
  std::copy_n(numbers, 6, tile.input.data());
  Tape tape;
  const Var x = tape.begin(tile, {}), last = last_step(x), mean = mean_over_time(x);
  EXPECT_EQ(lane_of(last.value(), 0), (std::vector<Real>{6, 60}));
  testing::expect_close(lane_of(mean.value(), 0), std::vector<Real>{3, 30}, testing::epsilon, "mean");
}

}  // namespace
}  // namespace espalier
