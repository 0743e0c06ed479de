#include "espalier/pruning/storage_rules.h"

#include <gtest/gtest.h>

#include <set>

#include "espalier/layers/models.h"
#include "support/training.h"

namespace espalier {
namespace {

TEST(StorageRules, AreDenseWhenFullMaskedAboveTheBreakEvenAndCsrAtAndBelowIt) {
  const Parameter W("W", 4, 4);
  const StorageRules rules{.csr_below = 0.4};
  EXPECT_EQ(rules.storage_for(W, 1), Storage::dense);
  EXPECT_EQ(rules.storage_for(W, 0.999), Storage::masked);
  EXPECT_EQ(rules.storage_for(W, 0.41), Storage::masked);
  EXPECT_EQ(rules.storage_for(W, 0.4), Storage::csr);
  EXPECT_EQ(rules.storage_for(W, 0.01), Storage::csr);
}

TEST(StorageRules, OfAParameterOverrideTheRuleForAll) {
  const Parameter W("W", 4, 4), V("V", 4, 4);
  const StorageRules rules{.csr_below = 0.4, .csr_below_of = {{"W", 0.1}}};
  EXPECT_EQ(rules.storage_for(W, 0.2), Storage::masked);
  EXPECT_EQ(rules.storage_for(W, 0.1), Storage::csr);
  EXPECT_EQ(rules.storage_for(V, 0.2), Storage::csr);
}

TEST(StorageRules, CanForbidCsrOrAllowItAlways) {
  const Parameter W("W", 4, 4);
  EXPECT_EQ((StorageRules{.csr_below = 0}.storage_for(W, 1e-9)), Storage::masked);
  EXPECT_EQ((StorageRules{.csr_below = 1}.storage_for(W, 0.999)), Storage::csr);
}

TEST(Tune, FindsADensityForEveryWeightAndForNothingElseAndLeavesTheModelAlone) {
  const ModulePtr model = make_model("mlp:24-32-32-5", {.input = {24}, .outputs = 5});
  const std::vector<Parameter*> parameters = parameters_of(*model);
  const auto before = testing::bits_of(parameters);
  const StorageRules rules = tune(*model, {24}, 16, 1);
  EXPECT_TRUE(before == testing::bits_of(parameters));

  std::set<std::string> found;
  for (const auto& [name, density] : rules.csr_below_of) {
    found.insert(name);
    EXPECT_GE(density, 0) << name;
    EXPECT_LE(density, 1) << name;
  }
  EXPECT_EQ(found, (std::set<std::string>{"fc1.weight", "fc2.weight", "output.weight"}));
}

TEST(Tune, KnowsWhatAConvolutionReads) {
  const ModulePtr model = make_model("lenet-5", {.input = {1, 28, 28}, .outputs = 10});
  const auto layers = geometries_of(*model, {1, 28, 28});
  ASSERT_EQ(layers.size(), 4u);
  const LayerGeometry& conv2 = layers.at("conv2.weight");
  ASSERT_TRUE(conv2.window);
  EXPECT_EQ(conv2.input, (Shape{20, 12, 12}));
  EXPECT_EQ(conv2.window->kernel_width, 5);
  EXPECT_EQ(conv2.window->padding_height, 0);
  EXPECT_EQ(conv2.cols, 500);
  EXPECT_FALSE(layers.at("fc1.weight").window);
}

}  // namespace
}  // namespace espalier
