#include "espalier/pruning/dead_units.h"

#include <gtest/gtest.h>

#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/models.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"
#include "support/narrowing.h"
#include "support/two_matrices.h"

namespace espalier {
namespace {

// Keeps these positions (row * cols + column) of the weight of that name.
void keep(Module& model, const std::string& name, std::vector<Index> positions) {
  bool found = false;
  model.visit_parameters([&](Parameter& W) {
    if (W.name() != name) return;
    found = true;
    W.become(Pattern::from_positions(W.rows(), W.cols(), positions), Storage::csr);
  });
  ASSERT_TRUE(found) << name;
}

constexpr Window one_by_one{};

TEST(EffectiveNonzeros, OfAFullNetAreAllOfThem) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 2, .out = 3, .max_pool = true}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 12, .out = 4}, 1);
  EXPECT_EQ(effective_nonzeros(model, {2, 4, 4}), census_of(model).nonzeros());
}

TEST(EffectiveNonzeros, AChannelThatNobodyReadsTakesItsWeightsWithIt) {
  // c1: 1 -> 2 channels, c2: 2 -> 1, which reads channel 0 only; so channel 1's weight and bias lead nowhere.
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c1", .in = 1, .out = 2, .window = one_by_one}, 1)
      .add<Conv2d>(Conv2dOptions{.name = "c2", .in = 2, .out = 1, .window = one_by_one}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 4, .out = 1, .bias = false}, 1);
  keep(model, "c2.weight", {0});
  EXPECT_EQ(census_of(model).nonzeros(), 2 + 2 + 1 + 1 + 4);
  EXPECT_EQ(effective_nonzeros(model, {1, 2, 2}), 1 + 1 + 1 + 1 + 4);
}

TEST(EffectiveNonzeros, AChannelThatNoInputReachesLeadsNothingOn) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c1", .in = 1, .out = 2, .window = one_by_one, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 8, .out = 1, .bias = false}, 1);
  keep(model, "c1.weight", {1});  // channel 1 only; fc reads four pixels of each
  EXPECT_EQ(effective_nonzeros(model, {1, 2, 2}), 1 + 4);
}

TEST(EffectiveNonzeros, OfAFlattenedImageCountByItsChannels) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c1", .in = 1, .out = 2, .window = one_by_one, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 8, .out = 1, .bias = false}, 1);
  keep(model, "fc.weight", {5});  // a pixel of channel 1
  EXPECT_EQ(effective_nonzeros(model, {1, 2, 2}), 1 + 1);
}

TEST(EffectiveNonzeros, GroupsReadTheirOwnChannels) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "c1", .in = 2, .out = 2, .window = {.groups = 2}, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 2, .out = 1, .bias = false}, 1);
  keep(model, "fc.weight", {1});
  EXPECT_EQ(effective_nonzeros(model, {2, 1, 1}), 1 + 1);
}

TEST(EffectiveNonzeros, OneSideOfAResidualSumIsEnough) {
  Sequential model;
  auto body = std::make_unique<Sequential>("body");
  body->add<Conv2d>(Conv2dOptions{.name = "b", .in = 2, .out = 2, .window = one_by_one, .bias = false}, 1)
      .add<BatchNorm>(BatchNormOptions{.name = "n", .channels = 2});
  model.add<Residual>("r", std::move(body))
      .add<GlobalAveragePool>()
      .add<Linear>(LinearOptions{.name = "fc", .in = 2, .out = 1, .bias = false}, 1);
  keep(model, "b.weight", {0});
  // b's weight, gamma and beta of both channels, fc's two weights: channel 1 comes through the shortcut.
  EXPECT_EQ(effective_nonzeros(model, {2, 2, 2}), 1 + 4 + 2);
  keep(model, "fc.weight", {1});
  EXPECT_EQ(effective_nonzeros(model, {2, 2, 2}), 0 + 2 + 1);
}

TEST(EffectiveNonzeros, AFeatureOfASequenceIsOneUnitAtAllSteps) {
  // c: 1 -> 2 features, at 3 steps; fc reads feature 1, at step 2 only. Feature 0 leads nowhere.
  Sequential model;
  model.add<Conv1d>(Conv1dOptions{.name = "c", .in = 1, .out = 2, .window = {}, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "fc", .in = 6, .out = 1, .bias = false}, 1);
  keep(model, "fc.weight", {5});
  EXPECT_EQ(effective_nonzeros(model, {3, 1}), 1 + 1);
}

TEST(EffectiveNonzeros, OfARecurrentLayerAreAllOfThem) {
  Sequential model;
  model.add<Gru>(GruOptions{.name = "g", .in = 1, .units = 2}, 1)
      .add<LastStep>()
      .add<Linear>(LinearOptions{.name = "fc", .in = 2, .out = 1, .bias = false}, 1);
  keep(model, "fc.weight", {1});
  EXPECT_EQ(effective_nonzeros(model, {3, 1}), census_of(model).nonzeros());
}

// --- taking them out -------------------------------------------------------------------------------------------------

std::vector<Real> outputs_of(Module& model, const Shape& input) {
  return testing::flat(testing::run_batch(model, testing::make_tiles(input, 9, 16), {.mode = Mode::evaluation}).output);
}

// Takes dead units out and expects the same outputs, and that none are left.
DeadUnits take_out(Module& model, const Shape& input, const WidthGuards& guards = {}) {
  const std::vector<Real> before = outputs_of(model, input);
  const Index effective = effective_nonzeros(model, input);
  DeadUnits dead = remove_dead_units(model, input, guards);
  testing::expect_close(before, outputs_of(model, input), static_cast<Real>(1e-5), "output");
  if (guards.minimum == 1 && guards.protect.empty()) {
    EXPECT_EQ(find_dead_units(model, input).removed(), 0);
    EXPECT_LE(effective_nonzeros(model, input), effective) << "biases of constants are gone, too";
  }
  return dead;
}

Index units_in(Module& model, const std::string& weight) {
  Index rows = 0;
  model.visit_parameters([&](Parameter& W) {
    if (W.name() == weight) rows = W.rows();
  });
  return rows;
}

TEST(DeadUnits, GoAndTheOutputsStayInSparseNetworksOfEveryKind) {
  struct Net {
    const char* model;
    Shape input;
    double density;
  };
  for (const Net& net :
       {Net{"mlp:40-30-20-5", {40}, 0.04}, Net{"lenet-5", {1, 16, 16}, 0.01}, Net{"conv-2", {3, 8, 8}, 0.01},
        Net{"resnet-20", {3, 8, 8}, 0.02}, Net{"tabular:30-20", {12}, 0.05}, Net{"tabular:30-20+norm", {12}, 0.05},
        Net{"tabular-resnet:12x2", {7}, 0.05}, Net{"cnn-1d", {24, 3}, 0.02}, Net{"gru:9", {6, 3}, 0.1},
        Net{"attention:12x4x2", {4, 3}, 0.05}, Net{"average:2xtabular:20-10", {9}, 0.08}})
    for (const std::uint64_t seed : {1, 2}) {
      SCOPED_TRACE(net.model);
      const ModulePtr model = testing::with_numbers_everywhere(
          make_model(net.model, {.input = net.input, .outputs = 5, .seed = seed, .density = net.density}));
      const DeadUnits dead = take_out(*model, net.input);
      EXPECT_EQ(model->output_shape(net.input), Shape{5});
      if (std::string(net.model).starts_with("mlp") || std::string(net.model).starts_with("lenet")) {
        EXPECT_GT(dead.without_effect, 0);
      }
    }
}

TEST(DeadUnits, ThatAreConstantsAreAddedToTheNextBias) {
  const ModulePtr model = testing::with_numbers_everywhere(make_model("mlp:3-4-2", {.input = {3}, .outputs = 2}));
  keep(*model, "fc1.weight", {0, 1, 6, 10});  // unit 1 reads nothing
  const DeadUnits dead = take_out(*model, {3});
  EXPECT_EQ(dead.folded, 1);
  EXPECT_EQ(dead.without_effect, 0);
  EXPECT_EQ(units_in(*model, "fc1.weight"), 3);
  EXPECT_EQ(dead.inputs, (std::vector<Index>{0, 1}));
}

TEST(DeadUnits, ThatAreConstantsStayWhereAConvolutionPads) {
  const auto stacked = [](Index padding, bool bias) {
    auto model = std::make_unique<Sequential>("stacked");
    model->add<Conv2d>(Conv2dOptions{.name = "c1", .in = 1, .out = 3, .window = one_by_one}, 1)
        .add<Conv2d>(
            Conv2dOptions{
                .name = "c2",
                .in = 3,
                .out = 2,
                .window = {.kernel_height = 3, .kernel_width = 3, .padding_height = padding, .padding_width = padding},
                .bias = bias},
            1)
        .add<GlobalAveragePool>()
        .add<Linear>(LinearOptions{.name = "fc", .in = 2, .out = 2}, 1);
    ModulePtr made = testing::with_numbers_everywhere(std::move(model));
    keep(*made, "c1.weight", {0, 2});  // channel 1 is its bias everywhere
    return made;
  };
  const auto plain = stacked(0, true), padded = stacked(1, true), no_bias = stacked(0, false);
  EXPECT_EQ(take_out(*plain, {1, 5, 5}).folded, 1);
  EXPECT_EQ(units_in(*plain, "c1.weight"), 2);
  for (const auto& stays : {&padded, &no_bias}) {
    const DeadUnits dead = take_out(**stays, {1, 5, 5});
    EXPECT_EQ(dead.removed(), 0);
    EXPECT_EQ(dead.constants_stay, 1);
    EXPECT_EQ(units_in(**stays, "c1.weight"), 3);
  }
}

TEST(DeadUnits, OfASumGoWhenNoSummandIsNeeded) {
  Sequential model;
  auto body = std::make_unique<Sequential>("body");
  body->add<Linear>(LinearOptions{.name = "b", .in = 3, .out = 3}, 1);
  model.add<Linear>(LinearOptions{.name = "in", .in = 2, .out = 3}, 1)
      .add<Residual>("r", std::move(body))
      .add<Linear>(LinearOptions{.name = "out", .in = 3, .out = 1}, 1);
  keep(model, "out.weight", {0});
  keep(model, "b.weight", {1, 8});  // b0 reads x1; b2 reads x2, for nothing
  const DeadUnits dead = take_out(model, {2});
  EXPECT_EQ(dead.without_effect, 1);
  EXPECT_EQ(units_in(model, "in.weight"), 2) << "in 0 is read by the sum, in 1 by b";
  EXPECT_EQ(units_in(model, "b.weight"), 2);
}

TEST(DeadUnits, AreNotLookedForInsideANode) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "in", .in = 4, .out = 5}, 1)
      .add<testing::TwoMatrices>(5, 3, 6, 1)
      .add<Linear>(LinearOptions{.name = "out", .in = 6, .out = 2}, 1);
  keep(model, "out.weight", {0, 7});
  EXPECT_EQ(take_out(model, {4}).removed(), 0);
}

TEST(DeadUnits, StayWhereTheyAreGuardedAndALayerKeepsOne) {
  const auto dead_net = [] {
    ModulePtr model = make_model("mlp:4-6-5-2", {.input = {4}, .outputs = 2});
    keep(*model, "fc2.weight", {0});     // of fc1 only unit 0 is read, by unit 0 of fc2
    keep(*model, "output.weight", {1});  // which is read by nothing: unit 1 is
    return model;
  };
  const auto units = [&](const WidthGuards& guards) {
    const ModulePtr model = dead_net();
    take_out(*model, {4}, guards);
    return std::pair(units_in(*model, "fc1.weight"), units_in(*model, "fc2.weight"));
  };
  EXPECT_EQ(units({}), std::pair(Index{1}, Index{1}));
  EXPECT_EQ(units({.minimum = 3}), std::pair(Index{3}, Index{3}));
  EXPECT_EQ(units({.protect = {"fc1"}}), std::pair(Index{6}, Index{1}));
  EXPECT_THROW(units({.minimum = 0}), UsageError);
  EXPECT_THROW(units({.protect = {"fc3"}}), UsageError);
}

}  // namespace
}  // namespace espalier
