// What each kind of read means to all that ask for it: networks so small that every number is known by hand.
#include "espalier/pruning/evidence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/pruning/dead_units.h"
#include "espalier/pruning/measure.h"
#include "espalier/pruning/storage_rules.h"
#include "support/asked.h"
#include "support/two_matrices.h"

namespace espalier {
namespace {

using Numbers = std::vector<double>;

using testing::set_values;

// Flow as parts of the sum: it has a factor that all weights share.
struct Asked : testing::Asked {
  using testing::Asked::Asked;
  const Parameter& parameter(const std::string& name) { return testing::parameter_of(model, name); }
  Numbers flow(const std::string& name) { return testing::parts_of(testing::Asked::flow(name)); }
};

void expect_numbers(const Numbers& expected, const Numbers& got) {
  ASSERT_EQ(expected.size(), got.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(expected[i], got[i], 1e-5 * std::abs(expected[i])) << i;
}

// --- features --------------------------------------------------------------------------------------------------------

TEST(ReadsFeatures, SquaresAndProductsAreThoseOfTheInput) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc", .in = 3, .out = 2, .activation = Activation::relu}, 1);
  Asked asked(model, {3}, {{1, 2, 0}, {3, -1, 1}});
  expect_numbers({5, 2.5, 0.5}, asked.squares("fc.weight"));
  expect_numbers({5, -0.5, 1.5, -0.5, 2.5, -0.5, 1.5, -0.5, 0.5}, asked.products("fc.weight"));
}

TEST(ReadsFeatures, FlowIsThePartOfEachPath) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc1", .in = 2, .out = 2}, 1)
      .add<Linear>(LinearOptions{.name = "fc2", .in = 2, .out = 1}, 1);
  set_values(model, "fc1.weight", {1, -2, 3, 0});
  set_values(model, "fc2.weight", {-4, 1});
  Asked asked(model, {2}, {{7, 8}});
  expect_numbers({4.0 / 15, 8.0 / 15, 3.0 / 15, 0}, asked.flow("fc1.weight"));
  expect_numbers({12.0 / 15, 3.0 / 15}, asked.flow("fc2.weight"));
}

// --- patches ---------------------------------------------------------------------------------------------------------

constexpr Window pairs{.kernel_height = 1, .kernel_width = 2};  // of an image of 2 x 2 pixels: one for each line

TEST(ReadsPatches, SquaresAreSummedOverPatchesAndProductsAreNone) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 1, .out = 2, .window = pairs}, 1);
  Asked asked(model, {1, 2, 2}, {{1, 2, 3, 4}});
  expect_numbers({1 + 9, 4 + 16}, asked.squares("c.weight"));
  EXPECT_TRUE(asked.products("c.weight").empty());
}

TEST(ReadsPatches, EachGroupHasTheSquaresOfItsOwnChannels) {
  Window window = pairs;
  window.groups = 2;
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 2, .out = 4, .window = window}, 1);
  Asked asked(model, {2, 2, 2}, {{1, 2, 3, 4, 5, 6, 7, 8}});
  expect_numbers({1 + 9, 4 + 16, 25 + 49, 36 + 64}, asked.squares("c.weight"));
}

TEST(ReadsPatches, FusedPoolingDoesNotHideAPatch) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 1, .out = 1, .window = {}, .max_pool = true}, 1);
  Asked asked(model, {1, 2, 2}, {{1, 2, 3, 4}});
  expect_numbers({1 + 4 + 9 + 16}, asked.squares("c.weight"));
}

TEST(ReadsPatches, FlowCountsEveryPatch) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 1, .out = 1, .window = pairs}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 2, .out = 1}, 1);
  set_values(model, "c.weight", {2, -3});
  set_values(model, "fc.weight", {1, -5});
  Asked asked(model, {1, 2, 2}, {{1, 2, 3, 4}});
  expect_numbers({0.4, 0.6}, asked.flow("c.weight"));
  expect_numbers({1.0 / 6, 5.0 / 6}, asked.flow("fc.weight"));
}

TEST(ReadsPatches, FlowStaysInItsGroup) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 2, .out = 2, .window = {.groups = 2}, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 2, .out = 1}, 1);
  set_values(model, "c.weight", {2, 3});
  set_values(model, "fc.weight", {5, 1});
  Asked asked(model, {2, 1, 1}, {{1, 1}});
  expect_numbers({10.0 / 13, 3.0 / 13}, asked.flow("c.weight"));
}

TEST(ReadsPatches, GeometryIsWindowAndImage) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 1, .out = 2, .window = pairs, .max_pool = false}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 12, .out = 1}, 1);
  const auto layers = geometries_of(model, {1, 3, 3});
  ASSERT_TRUE(layers.at("c.weight").window);
  EXPECT_EQ(*layers.at("c.weight").window, pairs);
  EXPECT_EQ(layers.at("c.weight").input, (Shape{1, 3, 3}));
  EXPECT_EQ(layers.at("c.weight").rows, 2);
  EXPECT_EQ(layers.at("c.weight").cols, 2);
  EXPECT_FALSE(layers.at("fc.weight").window);
}

// --- steps -----------------------------------------------------------------------------------------------------------

TEST(ReadsSteps, SquaresAreSummedAndProductsMeanedOverSteps) {
  Sequential model;
  model.add<Conv1d>(Conv1dOptions{.name = "c", .in = 1, .out = 2, .window = {.kernel = 2}}, 1);
  Asked asked(model, {3, 1}, {{1, 2, 3}});
  expect_numbers({1 + 4, 4 + 9}, asked.squares("c.weight"));
  expect_numbers({2.5, 4, 4, 6.5}, asked.products("c.weight"));
}

TEST(ReadsSteps, FlowCountsEveryStepButNoPadding) {
  Sequential model;
  model.add<Conv1d>(Conv1dOptions{.name = "c", .in = 1, .out = 1, .window = {.kernel = 2, .padding = 1}}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 4, .out = 1}, 1);
  set_values(model, "c.weight", {1, -4});
  set_values(model, "fc.weight", {10, 1, 1, 1});  // step 0 sees padding and x_0: through the second weight only
  Asked asked(model, {3, 1}, {{1, 2, 3}});
  expect_numbers({3.0 / 51, 48.0 / 51}, asked.flow("c.weight"));
}

TEST(ReadsSteps, GeometryIsThatOfAMatrix) {
  Sequential model;
  model.add<Conv1d>(Conv1dOptions{.name = "c", .in = 3, .out = 2}, 1);
  const LayerGeometry layer = geometries_of(model, {5, 3}).at("c.weight");
  EXPECT_FALSE(layer.window);
  EXPECT_EQ(layer.cols, 9);
}

// --- states ----------------------------------------------------------------------------------------------------------

// One unit; without weights for what comes in, h_1 = (1 - z) n = tanh(1) / 2 at two steps.
TEST(ReadsStates, SquaresAndProductsAreThoseOfTheStatesBefore) {
  Sequential model;
  model.add<Gru>(GruOptions{.name = "g", .in = 1, .units = 1}, 1);
  set_values(model, "g.input.weight", {0, 0, 0});
  set_values(model, "g.hidden.weight", {0, 0, 0});
  set_values(model, "g.input.bias", {0, 0, 1});
  Asked asked(model, {2, 1}, {{3, 4}});
  const double h = std::tanh(1.0) / 2;
  expect_numbers({h * h}, asked.squares("g.hidden.weight"));
  expect_numbers({h * h / 2}, asked.products("g.hidden.weight"));
  expect_numbers({9 + 16}, asked.squares("g.input.weight"));
  expect_numbers({12.5}, asked.products("g.input.weight"));
}

// At a single step h = (1 - sigmoid(w_z)) tanh(w_n): the hidden matrix has seen nothing, the reset gate does nothing.
TEST(ReadsStates, FlowIsWeightTimesDerivative) {
  Sequential model;
  model.add<Gru>(GruOptions{.name = "g", .in = 1, .units = 1}, 1);
  set_values(model, "g.input.weight", {0.25, -0.5, 0.75});  // rows between 1/2 and 1 at most: flow keeps their scale
  set_values(model, "g.hidden.weight", {0.5, 0.5, 0.5});
  Asked asked(model, {1, 1}, {{3}});
  const double z = 1 / (1 + std::exp(-0.5)), n = std::tanh(0.75);
  const auto input = asked.evidence.flow(asked.parameter("g.input.weight"));
  expect_numbers({0, -0.5 * z * (1 - z) * n, 0.75 * (1 - z) * (1 - n * n)}, {input.begin(), input.end()});
  const auto hidden = asked.evidence.flow(asked.parameter("g.hidden.weight"));
  expect_numbers({0, 0, 0}, {hidden.begin(), hidden.end()});
}

TEST(ReadsStates, WhatComesInFromADeadFeatureIsNotEffective) {
  // c makes two features, of which the second has no weights; g has 3 gates of 2 units.
  Sequential model;
  model.add<Conv1d>(Conv1dOptions{.name = "c", .in = 1, .out = 2, .window = {}, .bias = false}, 1)
      .add<Gru>(GruOptions{.name = "g", .in = 2, .units = 2}, 1);
  EXPECT_EQ(effective_nonzeros(model, {3, 1}), census_of(model).nonzeros());
  model.visit_parameters([](Parameter& W) {
    if (W.name() == "c.weight") W.become(Pattern::from_positions(2, 1, std::vector<Index>{0}), Storage::csr);
  });
  EXPECT_EQ(effective_nonzeros(model, {3, 1}), 1 + 6 * 1 + 6 + 6 * 2 + 6);
}

// --- nodes that only a test records ----------------------------------------------------------------------------------

// A layer of one matrix that says what it reads, and makes zeros.
class Says final : public Module {
 public:
  Says(Index rows, Index cols, Shape output, Reads reads) : W_("W", rows, cols), output_(output), reads_(reads) {
    std::ranges::fill(W_.value(), Real{1});
    reads_.W = &W_;
  }
  Var forward(const Var& x) const override {
    Tensor y = x.tape().make(output_);
    y.fill(0);
    return x.tape().record({.operation = "says", .inputs = {x}, .parameters = {&W_}, .reads = {reads_}}, y,
                           [](Tape&, Tensor&) {});
  }
  Shape output_shape(const Shape&) const override { return output_; }
  void visit_parameters(const std::function<void(Parameter&)>& visit) override { visit(W_); }
  std::string name() const override { return "says"; }

 private:
  Parameter W_;
  Shape output_;
  Reads reads_;
};

// Two channels of two pixels, each read by a row of W; a tap that ends in the padding reads nothing.
TEST(ReadsTransposed, SquaresOfAConvolutionGoByRowAndTap) {
  const Window window{.kernel_height = 1, .kernel_width = 2, .padding_width = 1};
  Says model(2, 2, {1, 1, 1}, {.kind = Patches{window}, .transposed = true});
  Asked asked(model, {2, 1, 2}, {{1, 2, 3, 4}});
  expect_numbers({4, 1, 16, 9}, asked.squares("W"));
  EXPECT_TRUE(asked.products("W").empty());
  const LayerGeometry layer = geometries_of(model, {2, 1, 2}).at("W");
  EXPECT_EQ(layer.input, (Shape{1, 1, 1})) << "the window slides on the result";
  EXPECT_EQ(*layer.window, window);
}

TEST(ReadsTransposed, PathsGoFromRowsToColumns) {
  const Window window{.kernel_height = 1, .kernel_width = 2, .stride = 2};
  Sequential model;
  model.add<Says>(2, 4, Shape{2, 1, 4}, Reads{.kind = Patches{window}, .transposed = true})
      .add<Linear>(LinearOptions{.name = "fc", .in = 8, .out = 1, .bias = false}, 1);
  model.visit_parameters([](Parameter& W) {  // a pixel of the second channel only, that two taps of two rows lead to
    if (W.name() == "fc.weight") W.become(Pattern::from_positions(1, 8, std::vector<Index>{6}), Storage::csr);
  });
  EXPECT_EQ(effective_nonzeros(model, {2, 1, 2}), 4 + 1);
}

TEST(ReadsTokens, SquaresCountHowOftenEachTokenCame) {
  Says table(4, 3, {2, 3}, {.kind = Tokens{}, .transposed = true});
  Asked asked(table, {2}, {{0, 3}, {3, 3}});
  expect_numbers({0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0, 1.5, 1.5, 1.5}, asked.squares("W"));
  EXPECT_EQ(effective_nonzeros(table, {2}), 12);
  Says columns(3, 4, {2, 3}, {.kind = Tokens{}});
  Asked other(columns, {2}, {{0, 3}, {3, 3}});
  expect_numbers({0.5, 0, 0, 1.5}, other.squares("W"));
}

// --- several matrices in one node ------------------------------------------------------------------------------------

TEST(TwoMatrices, EachHasItsOwnInputs) {
  testing::TwoMatrices model(2, 2, 1, 1);
  set_values(model, "W", {1, 2, 0, 3});
  Asked asked(model, {2}, {{1, 0}, {1, 1}});
  expect_numbers({1, 0.5}, asked.squares("W"));
  expect_numbers({(1 + 9) / 2.0, 9 / 2.0}, asked.squares("U"));
  expect_numbers({5, 4.5, 4.5, 4.5}, asked.products("U"));
}

TEST(TwoMatrices, AreBothTunedCountedAndMeasured) {
  testing::TwoMatrices model(4, 3, 2, 1);
  EXPECT_EQ(geometries_of(model, {4}).size(), 2u);
  EXPECT_EQ(effective_nonzeros(model, {4}), 12 + 6);
  const auto optimizer = make_optimizer({});
  const DatasetPtr data =
      std::make_shared<testing::WrittenSamples>(Shape{4}, 2, std::vector<std::vector<Real>>(16, {1, 2, 3, 4}));
  const auto all =
      measure({&model}, data, mean_squared_error, *optimizer, {.batch = 16, .lanes = 16, .repetitions = 1});
  const ModelMeasurement& m = all[0];
  EXPECT_EQ(m.forward_flops.executed, 2u * (12 + 6)) << "a node is counted once";
  ASSERT_EQ(m.layers.size(), 2u);
  EXPECT_EQ(m.layers[0].name, "W");
  EXPECT_EQ(m.layers[0].forward_flops.executed, 2u * 12);
  EXPECT_EQ(m.layers[1].name, "U");
  EXPECT_EQ(m.layers[1].forward_flops.executed, 2u * 6);
}

}  // namespace
}  // namespace espalier
