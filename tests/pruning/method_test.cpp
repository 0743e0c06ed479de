// What a program outside the tree may do: bring a criterion, bring a method, add one to the catalogue.
#include "espalier/pruning/method.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::contains;

// Keeps the first columns of every row.
class FirstColumns final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext&, std::span<Real> scores) const override {
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index column, Index) { scores[n++] = -static_cast<Real>(column); });
  }
  std::string name() const override { return "first-columns"; }
};

struct Training {
  ModulePtr model = make_model("mlp:12-8-6-3", {.input = {12}, .outputs = 3});
  std::unique_ptr<Optimizer> optimizer = make_optimizer({});
  Trainer trainer{*model, softmax_cross_entropy, *optimizer, {.threads = 1}};
  Loader loader{testing::blobs(96), {.batch = 32, .lanes = 16}};
  const Parameter& W() { return *trainer.parameters()[0]; }
};

void expect_first_columns(const Parameter& W, Index columns) {
  ASSERT_EQ(W.nonzeros(), W.rows() * columns);
  W.for_each_weight([&](Index, Index column, Index) { EXPECT_LT(column, columns); });
}

MethodInfo first_columns() {
  return {.name = "first-columns", .settings = {{"unused", 3, "nothing"}}, .criterion = [](const Settings&) {
            return std::make_unique<FirstColumns>();
          }};
}

TEST(Pruner, TakesACriterionOfTheProgramsOwn) {
  Training run;
  Pruner pruner(run.trainer.parameters(), std::make_shared<FirstColumns>(), {.allocation = Allocation::uniform});
  pruner.prune_to(0.5, 0);
  expect_first_columns(run.W(), 6);
}

TEST(MakeMethod, TakesAMethodThatTheCatalogueDoesNotHave) {
  Training run;
  ASSERT_EQ(methods().find("first-columns"), nullptr);
  const auto method = make_method(
      first_columns(), {.trainer = run.trainer,
                        .train = run.loader,
                        .options = {.allocation = Allocation::uniform,
                                    .schedule = {.kind = Schedule::Kind::one_shot, .density = 0.25, .begin = 0}}});
  EXPECT_EQ(method->after_step(0, 10).size(), 3u);
  expect_first_columns(run.W(), 3);
}

TEST(MakeMethod, GivesAMethodItsSettingsAndRefusesOthers) {
  Training run;
  MethodInfo info{.name = "of-numbers", .settings = {{"a", 1, "one"}, {"b", 2, "two"}}, .make = nullptr};
  Settings got;
  std::string name;
  info.make = [&](const MethodContext& context) {
    got = context.settings, name = context.method;
    EXPECT_THROW(context.setting("c"), UsageError);
    return std::unique_ptr<Method>();
  };
  make_method(info, {.trainer = run.trainer, .train = run.loader, .settings = {{"b", 5}}});
  EXPECT_EQ(got, (Settings{{"a", 1}, {"b", 5}}));
  EXPECT_EQ(name, "of-numbers");
  try {
    make_method(info, {.trainer = run.trainer, .train = run.loader, .settings = {{"c", 5}}});
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(contains, error.what(), "[of-numbers] expected a or b, got a setting \"c\"");
  }
}

TEST(MakeMethod, RefusesAMethodWithBothACriterionAndAHookOrWithNeither) {
  Training run;
  MethodInfo both = first_columns();
  both.make = [](const MethodContext&) { return std::unique_ptr<Method>(); };
  for (const MethodInfo& wrong : {both, MethodInfo{.name = "nothing"}})
    EXPECT_THROW(make_method(wrong, {.trainer = run.trainer, .train = run.loader}), UsageError) << wrong.name;
}

TEST(Methods, CanBeAddedAndAreThenFoundByName) {
  MethodInfo added = first_columns();
  added.name = "added-from-outside";
  if (!methods().find(added.name)) methods().add(added);  // once, however often the test is repeated
  EXPECT_EQ(criterion_named("added-from-outside")->name(), "first-columns");
  EXPECT_PRED2(contains, methods().names(), "added-from-outside");
  EXPECT_THROW(methods().add(added), UsageError);
  EXPECT_THROW(methods().add({.name = "magnitude"}), UsageError);
  try {
    methods().named("guesswork");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(contains, error.what(), "[method] expected random, magnitude, ");
    EXPECT_PRED2(contains, error.what(), "got \"guesswork\"");
  }
}

TEST(CriterionNamed, RefusesAMethodThatDoesNotPruneByScores) {
  EXPECT_THROW(criterion_named("rigl"), UsageError);
}

}  // namespace
}  // namespace espalier
