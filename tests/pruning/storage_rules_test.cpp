#include "espalier/pruning/storage_rules.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <utility>
#include <vector>

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

TEST(StorageRules, GiveAParameterThePatternInTheStorageOfItsDensityAndSayWhatHappened) {
  const StorageRules rules{.csr_below = 0.4};
  Parameter W("W", 6, 10);
  std::iota(W.value().begin(), W.value().end(), Real{1});
  const auto expect = [&](const PruneEvent& event, Index step, Index kept, Storage storage) {
    EXPECT_EQ(event.step, step);
    EXPECT_EQ(event.layer, "W");
    EXPECT_EQ(event.kept, kept);
    EXPECT_EQ(event.density, static_cast<double>(kept) / 60);
    EXPECT_EQ(event.storage, storage);
    EXPECT_EQ(W.storage(), storage);
    EXPECT_EQ(W.nonzeros(), kept);
    W.for_each_weight([&](Index r, Index c, Index at) { EXPECT_EQ(std::as_const(W).value()[at], r * 10 + c + 1); });
  };
  const PatternPtr half = Pattern::random(6, 10, 30, Random(1, "half"));
  expect(rules.apply(W, Pattern::full(6, 10), 1), 1, 60, Storage::dense);
  EXPECT_EQ(W.pattern(), nullptr);
  expect(rules.apply(W, half, 2), 2, 30, Storage::masked);
  EXPECT_EQ(W.pattern(), half);
  std::vector<Index> tenth;  // of those that live
  W.for_each_weight([&](Index, Index, Index at) {
    if (tenth.size() < 6) tenth.push_back(at);
  });
  expect(rules.apply(W, Pattern::from_positions(6, 10, tenth), 3), 3, 6, Storage::csr);
  EXPECT_EQ(rules.apply(W, nullptr, 4).density, 1);
  EXPECT_EQ(W.storage(), Storage::dense);
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
