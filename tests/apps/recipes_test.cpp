#include "espalier/experiment/recipes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/recommend.h"
#include "espalier/layers/models.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;

using testing::megabyte;

// --- files -----------------------------------------------------------------------------------------------------------

TEST(Recipes, AllOfTheFolderAreInTheProgram) {
  std::set<std::string> in_folder, shipped;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(ESPALIER_SOURCE_DIR) / "apps" / "recipes"))
    if (entry.path().extension() == ".toml") {
      const std::string text = read_file(entry.path(), megabyte), name = entry.path().stem().string();
      if (contains(text, "[[experiment]]")) continue;  // those that justify the recipes
      in_folder.insert(name);
      EXPECT_EQ(recipe_named(name).text, text) << name;
    }
  for (const Recipe& recipe : shipped_recipes()) shipped.insert(recipe.name);
  EXPECT_EQ(shipped, in_folder);
}

TEST(Recipes, EachSettlesAndSaysWhatForAndWhy) {
  std::set<std::string> kinds;
  for (const Recipe& recipe : shipped_recipes()) {
    EXPECT_TRUE(recipe.text.starts_with("# ")) << recipe.name;
    EXPECT_PRED2(contains, recipe.text, "# Why: ");
    kinds.insert(recipe.kind);
    RunConfig config{.data = "synthetic-digits"};
    apply(recipe, config);
    EXPECT_NO_THROW(settled(config)) << recipe.name;
  }
  EXPECT_EQ(kinds.size(), 5u);
}

const std::string some = R"(
[recipe]
kind = "image-flat"
summary = "for a test"
min_rows = 100
max_rows = 1000
max_zeros = 0.5

[run]
model = "mlp:784-16-10"

[training]
epochs = 3
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(Recipes, ARecipeSetsWhatItGivesAndNothingElse) {
  RunConfig config{.model = "lenet-5", .seed = 7, .epochs = 40, .batch = 17};
  apply(read_recipe(some, "folder/some.toml"), config);
  EXPECT_EQ(config.model, "mlp:784-16-10");
  EXPECT_EQ(config.epochs, 3);
  EXPECT_EQ(config.batch, 17);
  EXPECT_EQ(config.seed, 7u);
  EXPECT_EQ(read_recipe(some, "folder/some.toml").name, "some");
}

TEST(Recipes, FitWithinTheirBoundsAndOfTheirKind) {
  const Recipe recipe = read_recipe(some, "some.toml");
  const DataProfile good{
      .shape = {1, 28, 28}, .rows = 100, .validation_rows = 10, .features = 784, .classes = 10, .zeros = 0.5};
  EXPECT_TRUE(fits(recipe, good));
  for (auto* change : {+[](DataProfile& p) { p.rows = 99; }, +[](DataProfile& p) { p.rows = 1001; },
                       +[](DataProfile& p) { p.zeros = 0.51; }, +[](DataProfile& p) { p.shape = {784}; },
                       +[](DataProfile& p) {
                         p.shape = {28, 28};
                       },
                       +[](DataProfile& p) { p.classes = 0; }}) {
    DataProfile bad = good;
    change(bad);
    EXPECT_FALSE(fits(recipe, bad));
  }
}

TEST(Recipes, WhatIsNoRecipeIsNamedWithItsLine) {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      read_recipe(text, "bad.toml");
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of(some), "");
  EXPECT_PRED2(contains, error_of("[run]\n"), "bad.toml: expected a [recipe] section");
  EXPECT_PRED2(contains, error_of("nonsense"), "bad.toml: line 1");
  EXPECT_PRED2(contains, error_of(replaced(some, "image-flat", "music")), "line 3: expected recipe.kind to be one of");
  EXPECT_PRED2(contains, error_of(replaced(some, "min_rows", "some_rows")), "line 5: unknown key recipe.some_rows");
  EXPECT_PRED2(contains, error_of(replaced(some, "100", "\"100\"")), "line 5: expected recipe.min_rows to be a number");
  EXPECT_PRED2(contains, error_of(replaced(some, "epochs = 3", "epoch = 3")), "unknown key training.epoch");
  EXPECT_PRED2(contains, error_of(replaced(some, "epochs = 3", "epochs = \"3\"")), "training.epochs");
  EXPECT_PRED2(contains, error_of(replaced(some, "summary = \"for a test\"", "")), "expected recipe.kind and");
  EXPECT_PRED2(contains, error_of(some + "[data]\nname = \"mnist\"\n"), "data.name is not a recipe's to set");
  EXPECT_PRED2(contains, error_of(replaced(some, "[run]", "[run]\nseed = 3")), "run.seed is not a recipe's to set");
  EXPECT_THROW(recipe_named("no-such-recipe"), UsageError);
  EXPECT_THROW(recipe_named("no-such-recipe.toml"), FileError);
  const testing::TemporaryFolder empty;
  EXPECT_THROW(recipes_in(empty.path()), FileError);
}

// --- profiles -------------------------------------------------------------------------------------------------------

// Twelve rows. Column 0 counts, column 1 is `background` but for every sixth row, column 2 is constant.
class Rows final : public Dataset {
 public:
  Rows(Index classes, Real background) : classes_(classes), background_(background) {}
  std::string name() const override { return "rows"; }
  Index samples() const override { return 12; }
  Shape shape() const override { return {3}; }
  Index classes() const override { return classes_; }
  Index outputs() const override { return classes_ ? 0 : 1; }
  void read(Index i, std::span<Real> x) const override {
    x[0] = static_cast<Real>(i);
    x[1] = i % 6 ? background_ : static_cast<Real>(i) + 1;
    x[2] = 5;
  }
  std::int32_t label(Index i) const override { return i % 4 == 0; }
  void target(Index i, std::span<Real> y) const override { y[0] = static_cast<Real>(i); }

 private:
  Index classes_;
  Real background_;
};

DataParts data_of(const DatasetPtr& set) {
  return {"rows", set, std::make_shared<Subset>(set, std::vector<Index>{0, 1}), set, ""};
}

TEST(Recipes, AProfileSaysWhatIsInTheData) {
  for (const Real background : {Real(0), Real(-0.7)}) {  // zeros, and what standardising makes of them
    const DataProfile p = profile_of(data_of(std::make_shared<Rows>(2, background)));
    EXPECT_EQ(p.rows, 12);
    EXPECT_EQ(p.validation_rows, 2);
    EXPECT_EQ(p.features, 3);
    EXPECT_EQ(p.classes, 2);
    EXPECT_EQ(p.largest_class, 0.75);
    EXPECT_EQ(p.smallest_class, 0.25);
    EXPECT_DOUBLE_EQ(p.zeros, (1 + 10 + 12) / 36.0);
    EXPECT_EQ(p.kinds(), std::vector<std::string>{"classification-table"});
  }
  const DataProfile p = profile_of(data_of(std::make_shared<Rows>(0, Real(0))));
  EXPECT_EQ(p.kinds(), std::vector<std::string>{"regression-table"});
  EXPECT_PRED2(contains, text_of(p), "a number to predict");
}

// --- the race and what comes of it ----------------------------------------------------------------------------------

class Recommend : public ::testing::Test {
 protected:
  void TearDown() override { interrupt_after(-1); }
  void recipe(const std::string& name, const std::string& model, const std::string& pruning = "") const {
    write_file_atomically(recipes() / (name + ".toml"),
                          "[recipe]\nkind = \"image-flat\"\nsummary = \"a test\"\n[run]\nmodel = \"" + model +
                              "\"\n[training]\nepochs = 2\nbatch = 512\n[pruning]\ninterval = 5\n" + pruning);
  }
  std::filesystem::path recipes() const { return folder_.path(); }
  int run(const std::string& line) {
    const testing::Ran ran = testing::tool(line);
    out_ = ran.out;
    err_ = ran.err;
    return ran.code;
  }
  std::string race(const std::string& flags) const {
    return "recommend synthetic-digits --recipes " + recipes().string() + " " + flags;
  }
  // Seconds are the machine's.
  std::string without_seconds() const {
    std::istringstream lines(out_);
    std::string text;
    for (std::string line; std::getline(lines, line);)
      text += line.starts_with("  ") && line.size() >= 84 && line[82] == '.'
                  ? line.substr(0, 75) + line.substr(84) + "\n"
                  : line + "\n";
    return text;
  }

  testing::TemporaryFolder folder_;
  std::string out_, err_;
};

TEST_F(Recommend, GivenEpochsTheRaceIsTheSameAgainOnAnyNumberOfThreads) {
  recipe("good", "mlp:784-32-10", "density = 0.5");
  recipe("middling", "mlp:784-8-10", "density = 0.5");
  recipe("narrow", "mlp:784-2-10");
  recipe("unknown", "music");
  recipe("wild", "mlp:784-32-10", "[rate]\nrate = 1e6\n");
  const std::string written = (folder_.path() / "picked").string();
  ASSERT_EQ(run(race("--budget 2epochs --threads 1 --write " + written)), exit_done) << err_;
  const std::string first = without_seconds(), config = read_file(written, megabyte);
  EXPECT_PRED2(contains, first, "recommended: good");
  EXPECT_PRED2(contains, first, "rung 2 of at most 2");
  EXPECT_PRED2(contains, first, "diverged: ");
  EXPECT_PRED2(contains, first, "refused: [model]");
  ASSERT_EQ(run(race("--budget 2epochs --threads 2 --write " + written)), exit_done) << err_;
  EXPECT_EQ(without_seconds(), first);

  // What was written is complete: a training of it and one of the recipe have the same bits.
  const std::string by_config = (folder_.path() / "by-config").string(),
                    by_recipe = (folder_.path() / "by-recipe").string();
  ASSERT_EQ(run("train --no-dense --config " + written + " --out " + by_config), exit_done) << err_;
  ASSERT_EQ(run("train --no-dense --data synthetic-digits --recipe " + (recipes() / "good.toml").string() + " --out " +
                by_recipe),
            exit_done)
      << err_;
  EXPECT_EQ(read_file(by_config + "/model.safetensors", megabyte),
            read_file(by_recipe + "/model.safetensors", megabyte));
  EXPECT_PRED2(contains, config, "model = 'mlp:784-32-10'");
}

TEST_F(Recommend, AutoRacesAndTrainsTheWinnerWithTheFlagsGiven) {
  recipe("wide", "mlp:784-32-10", "density = 0.5");
  recipe("wild", "mlp:784-8-10", "[rate]\nrate = 1e6\n");
  const std::string out = (folder_.path() / "run").string();
  ASSERT_EQ(
      run("train --recipe auto --recipes " + recipes().string() +
          " --data synthetic-digits --budget 1 --epochs 1 --density 0.25 --seed 3 --no-dense --json --out " + out),
      exit_done)
      << err_;
  EXPECT_TRUE(out_.starts_with("{")) << "the race is told on stderr";
  EXPECT_PRED2(contains, err_, "recommended: wide");
  const RunConfig config = from_toml(out + "/config.toml");
  EXPECT_EQ(config.data, "synthetic-digits");
  EXPECT_EQ(config.model, "mlp:784-32-10");
  EXPECT_EQ(config.schedule.density, 0.25);
  EXPECT_EQ(config.seed, 3u);
  EXPECT_EQ(config.epochs, 1);
  const std::string again = (folder_.path() / "again").string();
  ASSERT_EQ(run("train --no-dense --config " + out + "/config.toml --out " + again), exit_done) << err_;
  EXPECT_EQ(read_file(out + "/model.safetensors", megabyte), read_file(again + "/model.safetensors", megabyte));
}

// What a race chose is what it had trained: the same epochs of the same recipe, to the bit.
TEST_F(Recommend, WhatIsTrainedIsWhatWasRaced) {
  recipe("good", "mlp:784-32-10", "density = 0.5");
  recipe("narrow", "mlp:784-2-10");
  const std::string out = (folder_.path() / "run").string(), again = (folder_.path() / "again").string();
  ASSERT_EQ(run("train --recipe auto --recipes " + recipes().string() +
                " --data synthetic-digits --budget 2epochs --no-dense --json --out " + out),
            exit_done)
      << err_;
  const RunConfig config = from_toml(out + "/config.toml");
  EXPECT_EQ(config.recipe, "good");
  EXPECT_EQ(config.epochs, 2);
  EXPECT_EQ(config.members, 1);
  const auto result = nlohmann::json::parse(out_);
  EXPECT_EQ(result.at("epochs"), 2);
  std::istringstream metrics(read_file(out + "/metrics.jsonl", megabyte));
  double accuracy = 0;  // of the last epoch
  for (std::string line; std::getline(metrics, line);)
    if (contains(line, "validation_accuracy")) accuracy = nlohmann::json::parse(line).at("validation_accuracy");
  const std::string reached =
      fmt::format("{:>9.2f} %{:>12}", 100 * accuracy, result.at("sparse").at("nonzeros").get<Index>());
  EXPECT_PRED2(contains, err_, reached);
  ASSERT_EQ(run("train --no-dense --config " + out + "/config.toml --out " + again), exit_done) << err_;
  EXPECT_EQ(read_file(out + "/model.safetensors", megabyte), read_file(again + "/model.safetensors", megabyte));
}

TEST_F(Recommend, SecondsThatAreLeftBuyMembers) {
  recipe("good", "mlp:784-8-10", "density = 0.5");
  const std::string out = (folder_.path() / "run").string(), again = (folder_.path() / "again").string();
  const std::string auto_run =
      "train --recipe auto --recipes " + recipes().string() + " --data synthetic-digits --no-dense --budget 20 --out ";
  ASSERT_EQ(run(auto_run + out), exit_done) << err_;
  const RunConfig config = from_toml(out + "/config.toml");
  EXPECT_GT(config.members, 1);
  EXPECT_PRED2(contains, out_, fmt::format("{} networks, of which the average is measured", config.members));
  ASSERT_EQ(run("train --no-dense --config " + out + "/config.toml --out " + again), exit_done) << err_;
  EXPECT_EQ(read_file(out + "/model.safetensors", megabyte), read_file(again + "/model.safetensors", megabyte));
  ASSERT_EQ(run(auto_run + out + " --overwrite --members 1"), exit_done) << err_;
  EXPECT_EQ(from_toml(out + "/config.toml").members, 1);
}

TEST_F(Recommend, FlagsOverrideARecipe) {
  recipe("one", "mlp:784-8-10", "density = 0.5");
  const std::string out = (folder_.path() / "run").string();
  ASSERT_EQ(run("train --no-dense --data synthetic-digits --batch 256 --density 0.25 --recipe " +
                (recipes() / "one.toml").string() + " --epochs 1 --out " + out),
            exit_done)
      << err_;
  const RunConfig config = from_toml(out + "/config.toml");
  EXPECT_EQ(config.model, "mlp:784-8-10");
  EXPECT_EQ(config.batch, 256);
  EXPECT_EQ(config.epochs, 1);
  EXPECT_EQ(config.schedule.density, 0.25);
  EXPECT_EQ(config.schedule.interval, 5);
  EXPECT_EQ(run("train --recipe no-such-recipe"), exit_usage);
  EXPECT_EQ(run("train --recipe auto --config " + out + "/config.toml"), exit_usage);
}

TEST_F(Recommend, AnExhaustiveRaceSaysHowFarTheRecommendedRecipeIsBehind) {
  recipe("good", "mlp:784-32-10", "density = 0.5");
  recipe("narrow", "mlp:784-2-10");
  ASSERT_EQ(run(race("--budget 1epochs --exhaustive")), exit_done) << err_;
  EXPECT_PRED2(contains, out_, "exhaustive: all recipes, up to 1 epoch");
  EXPECT_PRED2(contains, out_, "gap          0.00 % on validation data (within 2.00 %), 0.00 % on test data");
}

TEST_F(Recommend, InterruptedItNamesTheLeader) {
  recipe("good", "mlp:784-32-10", "density = 0.5");
  recipe("narrow", "mlp:784-2-10");
  interrupt_after(30);  // 22 steps a training of one epoch: in the second
  EXPECT_EQ(run(race("--budget 1epochs --rungs 1")), exit_interrupted);
  EXPECT_PRED2(contains, out_, "recommended: good");
  interrupt_after(5);
  EXPECT_EQ(run(race("--budget 1epochs --rungs 1")), exit_interrupted);
  EXPECT_FALSE(contains(out_, "recommended"));
  EXPECT_PRED2(contains, err_, "before any recipe was trained; it cannot be resumed");
}

TEST(RaceOfATraining, ThatIsInterruptedCannotBeResumedAndLeavesNothing) {
  const testing::TemporaryFolder folder;
  std::string csv = "x,label\n";
  for (int r = 0; r < 300; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no" : "yes");
  write_file_atomically(folder.path() / "rows.csv", csv);
  for (const Index steps : {Index{1}, Index{40}}) {
    interrupt_after(steps);
    const auto ran =
        testing::tool("train --recipe auto --budget 1epochs --threads 1 --no-dense --data " +
                      (folder.path() / "rows.csv").string() + " --out " + (folder.path() / "run").string());
    interrupt_after(-1);
    EXPECT_EQ(ran.code, exit_interrupted) << ran.err;
    EXPECT_PRED2(contains, ran.err, "it cannot be resumed");
    EXPECT_FALSE(contains(ran.err, "--resume"));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "run"));
  }
}

TEST_F(Recommend, RefusesWhatCannotBeRaced) {
  EXPECT_EQ(run(race("")), exit_file);  // no recipes
  write_file_atomically(recipes() / "table.toml", replaced(some, "image-flat", "regression-table"));
  EXPECT_EQ(run(race("")), exit_usage);
  EXPECT_PRED2(contains, err_, "expected data that a recipe fits");
  recipe("unknown", "music");
  EXPECT_EQ(run(race("")), exit_usage);
  EXPECT_EQ(run(race("--validation 0")), exit_usage);
  EXPECT_PRED2(contains, err_, "expected validation samples");
  EXPECT_EQ(run(race("--budget 0")), exit_usage);
  for (const char* budget : {"0epochs", "1.5epochs", "5minutes", "epochs", "-3", "nan", "1e400", "''"}) {
    EXPECT_EQ(run(race(std::string("--budget ").append(budget))), exit_usage) << budget;
    EXPECT_PRED2(contains, err_, "expected seconds above 0, such as 60, or epochs, such as 8epochs");
  }
}

TEST_F(Recommend, RecipesAreListedAndPrinted) {
  ASSERT_EQ(run("recipes"), exit_done);
  for (const Recipe& one : shipped_recipes()) EXPECT_PRED2(contains, out_, one.name);
  ASSERT_EQ(run("recipes " + shipped_recipes().front().name), exit_done);
  EXPECT_EQ(out_, shipped_recipes().front().text);
  EXPECT_EQ(run("recipes no-such-recipe"), exit_usage);
}

}  // namespace
}  // namespace espalier
