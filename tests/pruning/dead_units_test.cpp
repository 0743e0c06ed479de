#include "espalier/pruning/dead_units.h"

#include <gtest/gtest.h>

#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"

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

}  // namespace
}  // namespace espalier
