// What is saved is what was measured: the file of every recipe for tables gives the run's figures again.
#include "espalier/experiment/predictor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <ostream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/experiment/recipes.h"
#include "espalier/experiment/run_folder.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {

void PrintTo(const Recipe& recipe, std::ostream* out) {
  *out << recipe.name;
}

namespace {

// Trains on one generated file and tests on another; the figures of the run and of its saved model must be the same.
void expect_the_same_figures(const std::string& arguments, bool regression) {
  const testing::TemporaryFolder folder;
  const auto file = [&](const char* name) { return (folder.path() / name).string(); };
  write_file_atomically(file("train.csv"), synthetic_table_csv({.rows = 600, .regression = regression}));
  write_file_atomically(file("test.csv"), synthetic_table_csv({.rows = 200, .first = 600, .regression = regression}));
  const testing::Ran ran =
      testing::tool(fmt::format("train --data {} --test-data {} --epochs 3 --no-dense --threads 2 --out {} {}",
                                file("train.csv"), file("test.csv"), file("run"), arguments));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const Metrics measured = *RunFolder(file("run"), Begin::where_it_stopped).result()->sparse.test;
  Predictor predictor(file("run"), 1);
  Index rows = 0;
  const Predictor::Report report = predictor.predict({.file = file("test.csv")}, [&](const Answer&) { ++rows; });
  EXPECT_EQ(rows, 200);
  ASSERT_TRUE(report.known);
  for (const auto metric : {&Metrics::accuracy, &Metrics::balanced_accuracy, &Metrics::auc, &Metrics::log_loss,
                            &Metrics::rmse, &Metrics::mae, &Metrics::r2}) {
    const double run = measured.*metric, again = (*report.known).*metric;
    EXPECT_TRUE(run == again || (std::isnan(run) && std::isnan(again))) << run << " and " << again;
  }
}

class SavedIsMeasured : public ::testing::TestWithParam<Recipe> {};

TEST_P(SavedIsMeasured, OfEveryRecipeForTables) {
  expect_the_same_figures("--recipe " + GetParam().name, GetParam().kind == "regression-table");
}

std::vector<Recipe> recipes_for_tables() {
  std::vector<Recipe> recipes;
  for (const Recipe& recipe : shipped_recipes())
    if (recipe.kind.ends_with("-table")) recipes.push_back(recipe);
  return recipes;
}

INSTANTIATE_TEST_SUITE_P(Recipes, SavedIsMeasured, ::testing::ValuesIn(recipes_for_tables()),
                         [](const auto& recipe) { return testing::test_name(recipe.param.name); });

TEST(Predictor, AModelOfEveryScalingAnswersAsItWasMeasured) {
  for (const bool regression : {false, true})
    for (const char* scaling : {"none", "robust", "quantile", "piecewise", "piecewise:5"})
      expect_the_same_figures(fmt::format("--density 0.3 --model tabular:16-16 --scaling {}", scaling), regression);
}

TEST(Predictor, AModelWithBatchNormAnswersAsItWasMeasured) {
  for (const char* model : {"tabular:64-64+norm", "tabular:32+norm+dropout=0.2", "tabular-resnet:24x2+norm"})
    for (const char* method : {"magnitude", "rigl", "lottery --rounds 1"})
      expect_the_same_figures(fmt::format("--model {} --method {} --density 0.5", model, method), false);
}

}  // namespace
}  // namespace espalier
