#include "espalier/pruning/group_criterion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/models.h"
#include "espalier/layers/sequential.h"

namespace espalier {
namespace {

// x: 2 -> fc1: 3 -> norm -> fc2: 1. Of unit u in comes (in_u, 0), out goes out_u; gamma is scale_u.
struct Net {
  std::vector<Real> in{3, -1, 2}, out{-4, 1, 0}, scale{Real{0.5}, -2, 1};
  Sequential model;
  std::vector<Width> widths;
  Net() {
    model.add<Linear>(LinearOptions{.name = "fc1", .in = 2, .out = 3}, 1)
        .add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 3})
        .add<Linear>(LinearOptions{.name = "fc2", .in = 3, .out = 1}, 1);
    model.visit_parameters([&](Parameter& W) {
      for (Index u = 0; u < 3; ++u) {
        if (W.name() == "fc1.weight") W.value()[2 * u] = in[u], W.value()[2 * u + 1] = 0;
        if (W.name() == "fc2.weight") W.value()[u] = out[u];
        if (W.name() == "norm.gamma") W.value()[u] = scale[u];
      }
    });
    widths = widths_of(model, {2});
  }
  std::vector<double> scores(const std::string& criterion, GroupQuestion asked) const {
    return group_criteria().named(criterion).scores(asked);
  }
  std::vector<double> scores(const std::string& criterion) const {
    return scores(criterion, {.model = model, .width = width_named(widths, "fc1")});
  }
};

TEST(GroupCriterion, LooksAtAllThatIsCoupled) {
  const Net net;
  EXPECT_EQ(net.scores("l1"), (std::vector<double>{7, 2, 2}));
  EXPECT_EQ(net.scores("l2"), (std::vector<double>{5, std::sqrt(2.0), 2}));
  EXPECT_EQ(net.scores("norm-scale"), (std::vector<double>{0.5, 2, 1}));
  // (3, -4), (-1, 1), (2, 0): distances sqrt(41), sqrt(17), sqrt(10)
  const std::vector<double> fpgm = net.scores("fpgm");
  EXPECT_NEAR(fpgm[0], std::sqrt(41.0) + std::sqrt(17.0), 1e-9);
  EXPECT_NEAR(fpgm[1], std::sqrt(41.0) + std::sqrt(10.0), 1e-9);
  EXPECT_NEAR(fpgm[2], std::sqrt(17.0) + std::sqrt(10.0), 1e-9);
}

TEST(GroupCriterion, TaylorIsTheFirstOrderChangeOfTheLossWithoutTheGroup) {
  const Net net;
  std::map<std::string, std::vector<Real>> gradients;
  for (const Parameter* W : parameters_of(net.model))
    gradients[W->name()].assign(W->value().size(), W->name() == "fc2.weight" ? 2 : W->name() == "fc1.weight" ? 1 : 0);
  const std::vector<double> scores = net.scores(
      "taylor", {.model = net.model,
                 .width = width_named(net.widths, "fc1"),
                 .gradient = [&](const Parameter& W) -> std::span<const Real> { return gradients[W.name()]; }});
  EXPECT_EQ(scores, (std::vector<double>{std::abs(3 - 8.0), std::abs(-1 + 2.0), 2}));
  EXPECT_THROW(net.scores("taylor"), UsageError) << "without gradients";
}

TEST(GroupCriterion, SaysWhichWidthHasNoNormalisation) {
  const ModulePtr model = make_model("mlp:3-4-2", {.input = {3}, .outputs = 2});
  const auto widths = widths_of(*model, {3});
  try {
    group_criteria().named("norm-scale").scores({.model = *model, .width = width_named(widths, "fc1")});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "[norm-scale] fc1: expected a normalisation behind it, found none");
  }
}

TEST(GroupCriterion, TheBestStayWithinTheirGuards) {
  const ModulePtr model = make_model("mlp:3-8-4-2", {.input = {3}, .outputs = 2});
  const auto widths = widths_of(*model, {3});
  std::vector<std::vector<double>> scores(widths.size());
  const auto place = [&](const char* name) { return &width_named(widths, name) - widths.data(); };
  scores[place("fc1")] = {1, 1, 1, 1, 9, 9, 9, 9};  // means 5
  scores[place("fc2")] = {40, 30, 20, 10};          // mean 25: relative 1.6, 1.2, 0.8, 0.4
  const auto kept = [&](const GroupShare& share) {
    const Kept all = keep_best(widths, scores, share);
    EXPECT_EQ(std::ssize(all[place("output")]), 2);
    return std::pair(all[place("fc1")], all[place("fc2")]);
  };
  using Groups = std::vector<Index>;
  EXPECT_EQ(kept({.fraction = 0.5}), std::pair(Groups({4, 5, 6, 7}), Groups({0, 1})));
  EXPECT_EQ(kept({.fraction = 0.25, .global = false}), std::pair(Groups({4, 5}), Groups({0})));
  EXPECT_EQ(kept({.fraction = 0.01}), std::pair(Groups({4}), Groups({0}))) << "a layer keeps one";
  EXPECT_EQ(kept({.fraction = 0.25, .guards = {.minimum = 3}}), std::pair(Groups({4, 5, 6}), Groups({0, 1, 2})));
  EXPECT_EQ(kept({.fraction = 0.25, .global = false, .round_to = 4}),
            std::pair(Groups({4, 5, 6, 7}), Groups({0, 1, 2, 3})));
  EXPECT_EQ(kept({.fraction = 0.5, .guards = {.protect = {"fc2"}}}).second, Groups({0, 1, 2, 3}));
  EXPECT_THROW(kept({.fraction = 0}), UsageError);
  EXPECT_THROW(kept({.guards = {.protect = {"fc9"}}}), UsageError);
}

TEST(GroupCriterion, SharesAreOfWhatThereWasAtFirstAndScoresMayCountAsTheyAre) {
  const ModulePtr model = make_model("mlp:3-8-4-2", {.input = {3}, .outputs = 2});
  const auto widths = widths_of(*model, {3});
  std::vector<std::vector<double>> scores(widths.size());
  std::vector<Index> whole;
  for (const Width& width : widths) whole.push_back(width.name == "fc1" ? 20 : width.name == "fc2" ? 10 : width.groups);
  const auto place = [&](const char* name) { return &width_named(widths, name) - widths.data(); };
  scores[place("fc1")] = {1, 2, 3, 4, 5, 6, 7, 8};
  scores[place("fc2")] = {40, 30, 20, 10};
  const auto kept = [&](const GroupShare& share) {
    const Kept all = keep_best(widths, scores, share);
    return std::pair(std::ssize(all[place("fc1")]), std::ssize(all[place("fc2")]));
  };
  using Counts = std::pair<std::ptrdiff_t, std::ptrdiff_t>;
  EXPECT_EQ(kept({.fraction = 0.2, .global = false, .whole = whole}), Counts(4, 2));
  EXPECT_EQ(kept({.fraction = 0.9, .global = false, .whole = whole}), Counts(8, 4)) << "what is gone stays so";
  const Counts six = kept({.fraction = 0.2, .whole = whole});
  EXPECT_EQ(six.first + six.second, 6);
  EXPECT_EQ(kept({.fraction = 0.2, .whole = whole, .relative = false}), Counts(2, 4)) << "8, 7 and all of fc2";
}

TEST(GroupCriterion, WhatStaysIsTakenOutOfAModelThatStillFits) {
  for (const char* criterion : {"l1", "l2", "fpgm", "random"}) {
    const ModulePtr model = make_model("lenet-5", {.input = {1, 16, 16}, .outputs = 10});
    const auto widths = widths_of(*model, {1, 16, 16});
    std::vector<std::vector<double>> scores;
    for (const Width& width : widths)
      scores.push_back(group_criteria().named(criterion).scores({.model = *model, .width = width}));
    narrow(*model, widths, keep_best(widths, scores, {.fraction = 0.3}));
    EXPECT_EQ(model->output_shape({1, 16, 16}), Shape{10}) << criterion;
    EXPECT_LT(census_of(*model).positions, 20 * 25 + 50 * 500 + 50 * 500 + 5000) << criterion;
  }
}

}  // namespace
}  // namespace espalier
