#include "espalier/pruning/controls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/method.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::dense_values;

constexpr Control with_pattern[] = {Control::reinit, Control::random_pattern, Control::shuffled_mask};

// An mlp as its seed makes it; `pruned` by magnitude, unevenly: a layer in csr, one masked, one dense.
ModulePtr net(std::uint64_t seed, bool pruned = false) {
  ModulePtr model = make_model("mlp:20-12-8-3", {.input = {20}, .outputs = 3, .seed = seed});
  if (!pruned) return model;
  const std::vector<Parameter*> all = parameters_of(*model);
  all[0]->become(testing::pattern_of(12, 20, testing::Density::tenth), Storage::csr);
  all[2]->become(testing::pattern_of(8, 12, testing::Density::half), Storage::masked);
  return model;
}

// How many live weights each row has, and each column, in ascending order.
std::pair<std::vector<Index>, std::vector<Index>> degrees(const Pattern& pattern) {
  std::vector<Index> rows(pattern.rows()), columns(static_cast<std::size_t>(pattern.cols()));
  for (Index r = 0; r < pattern.rows(); ++r)
    for (const std::uint32_t c : pattern.row(r)) ++rows[r], ++columns[c];
  std::ranges::sort(rows);
  std::ranges::sort(columns);
  return {rows, columns};
}

TEST(Controls, KeepEachLayersCountAndStorage) {
  const ModulePtr found = net(1, true);
  for (const Control control : with_pattern) {
    const ModulePtr fresh = net(initial_seed(control, 1));
    apply_pattern(control, parameters_of(*found), parameters_of(*fresh), 1);
    for (std::size_t i = 0; i < parameters_of(*found).size(); ++i) {
      const Parameter &theirs = *parameters_of(*found)[i], &ours = *parameters_of(*fresh)[i];
      EXPECT_EQ(ours.nonzeros(), theirs.nonzeros()) << ours.name();
      EXPECT_EQ(ours.storage(), theirs.storage()) << ours.name();
    }
  }
}

TEST(Controls, DifferInPatternAndInitialValuesAsTheTableSays) {
  const ModulePtr found = net(1, true), original = net(1);
  for (const Control control : with_pattern) {
    const ModulePtr fresh = net(initial_seed(control, 1));
    apply_pattern(control, parameters_of(*found), parameters_of(*fresh), 1);
    const Parameter &theirs = *parameters_of(*found)[0], &W = *parameters_of(*fresh)[0];
    EXPECT_EQ(*W.pattern() == *theirs.pattern(), control == Control::reinit);
    const std::vector<Real> early = dense_values(*parameters_of(*original)[0]), values = dense_values(W);
    Index as_before = 0;
    W.for_each_weight([&](Index r, Index c, Index) {
      const auto at = static_cast<std::size_t>(r * W.cols() + c);
      as_before += values[at] == early[at];
    });
    EXPECT_EQ(as_before, control == Control::reinit ? 0 : W.nonzeros());
  }
}

TEST(Controls, AreAFunctionOfTheSeed) {
  const ModulePtr found = net(1, true);
  for (const Control control : {Control::random_pattern, Control::shuffled_mask}) {
    const auto pattern_with = [&](std::uint64_t seed) {
      const ModulePtr fresh = net(1);
      apply_pattern(control, parameters_of(*found), parameters_of(*fresh), seed);
      return parameters_of(*fresh)[0]->pattern()->mask();
    };
    EXPECT_EQ(pattern_with(1), pattern_with(1));
    EXPECT_NE(pattern_with(1), pattern_with(2));
  }
  EXPECT_EQ(initial_seed(Control::reinit, 1), initial_seed(Control::reinit, 1));
  EXPECT_NE(initial_seed(Control::reinit, 1), initial_seed(Control::reinit, 2));
}

TEST(Controls, AShuffledMaskHasTheDegreesOfTheFoundOneAndARandomPatternHasOthers) {
  const PatternPtr found = Pattern::from_positions(6, 6, std::vector<Index>{0, 1, 2, 3, 4, 5, 6, 12, 14, 18});
  const PatternPtr shuffled = shuffled_mask(*found, Random(1, "test"));
  EXPECT_EQ(degrees(*shuffled), degrees(*found));
  EXPECT_FALSE(*shuffled == *found);
  EXPECT_NE(degrees(*Pattern::random(6, 6, found->nonzeros(), Random(1, "test"))), degrees(*found));
  // Rows and columns go different ways: a diagonal does not stay one.
  const PatternPtr diagonal = Pattern::from_positions(6, 6, std::vector<Index>{0, 7, 14, 21, 28, 35});
  EXPECT_FALSE(*shuffled_mask(*diagonal, Random(1, "test")) == *diagonal);
}

TEST(Controls, RefuseOtherParametersAndControlsWithoutAPattern) {
  const ModulePtr found = net(1, true), fresh = net(1),
                  other = make_model("mlp:20-12-7-3", {.input = {20}, .outputs = 3});
  EXPECT_THROW(apply_pattern(Control::reinit, parameters_of(*found), parameters_of(*other), 1), UsageError);
  EXPECT_THROW(apply_pattern(Control::small_dense, parameters_of(*found), parameters_of(*fresh), 1), UsageError);
  EXPECT_THROW(control_named("placebo"), UsageError);
  EXPECT_EQ(control_named("shuffled-mask"), Control::shuffled_mask);
}

TEST(Controls, ASmallDenseNetHasTheShapeAndAboutTheParametersItShould) {
  const ModulePtr model = make_model("lenet-300-100", {.input = {784}, .outputs = 10});
  const auto parameters = [](const std::string& name) {
    const ModulePtr small = make_model(name, {.input = {784}, .outputs = 10});
    return census_of(*small).parameters();
  };
  EXPECT_EQ(small_dense("lenet-300-100", *model, 266610), "mlp:784-300-100-10");
  // 4 units: 785 * 4 + 5 * 1 + 2 * 10 = 3165 of the 3072 wanted; 3 would be 2379.
  EXPECT_EQ(small_dense("lenet-300-100", *model, 3072), "mlp:784-4-1-10");
  for (const Index wanted : {60000, 30000, 13720})
    EXPECT_NEAR(static_cast<double>(parameters(small_dense("lenet-300-100", *model, wanted))),
                static_cast<double>(wanted), 0.5 * 785 + 50);
}

TEST(Controls, ASmallDenseNetForTablesKeepsItsSuffixes) {
  const std::string name = "tabular:64-32+norm+dropout=0.1";
  const ModulePtr model = make_model(name, {.input = {20}, .outputs = 3});
  const auto parameters = [](const std::string& of) {
    return census_of(*make_model(of, {.input = {20}, .outputs = 3})).parameters();
  };
  EXPECT_EQ(parameters(name), 20 * 64 + 64 * 32 + 32 * 3 + 2 * (64 + 32) + 3);
  EXPECT_EQ(small_dense(name, *model, parameters(name)), name);
  EXPECT_EQ(small_dense(name, *model, parameters("tabular:16-8+norm")), "tabular:16-8+norm+dropout=0.1");
  EXPECT_EQ(small_dense("tabular:64-32", *make_model("tabular:64-32", {.input = {20}, .outputs = 3}),
                        parameters("tabular:16-8")),
            "tabular:16-8");
}

TEST(Controls, ASmallDenseNetIsRefusedWhereThereIsNone) {
  const auto says = [](const std::string& name, Shape input, Index parameters) -> std::string {
    const ModulePtr model = make_model(name, {.input = input, .outputs = 10});
    try {
      small_dense(name, *model, parameters);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_PRED2(testing::contains, says("lenet-5", {1, 28, 28}, 10000), "got lenet-5");
  EXPECT_PRED2(testing::contains, says("mlp:784-10", {784}, 1000), "hidden layers");
  EXPECT_PRED2(testing::contains, says("linear", {784}, 1000), "hidden layers");
  EXPECT_PRED2(testing::contains, says("tabular-resnet:8x2", {784}, 1000), "got tabular-resnet:8x2");
  EXPECT_PRED2(testing::contains, says("lenet-300-100", {784}, 500), "one unit in each");
}

TEST(Lottery, ScoresAsMagnitudeDoesAndRewindsInRoundsOfWholeTrainings) {
  Parameter W("W", 1, 4);
  std::ranges::copy(std::vector<Real>{-3, 1, 0, 2}, W.value().begin());
  std::vector<Real> scores(4);
  criterion_named("lottery")->score(W, {}, scores);
  EXPECT_EQ(scores, (std::vector<Real>{3, 1, 0, 2}));
  const MethodDefaults& own = methods().named("lottery").defaults;
  EXPECT_EQ(own.schedule.kind, Schedule::Kind::iterative);
  EXPECT_EQ(own.rewind, rewind_named("init"));
}

}  // namespace
}  // namespace espalier
