#include "espalier/experiment/reproduce.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/baselines.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/from_config.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;

using testing::megabyte;

// Two seeds of: dense, magnitude at two densities, a ticket. One epoch, few weights.
const std::string tiny = R"(
[defaults]
seeds = 2
data = { name = "synthetic-digits" }
run = { model = "mlp:784-8-10" }
training = { epochs = 1, batch = 512 }

[[experiment]]
name = "dense"
method = "dense"
published = 1.64
source = "Somebody 2015"
reason = "one epoch"

[[experiment]]
name = "magnitude"
method = "magnitude"
density = [0.5, 0.2]
published = { "0.2" = 2.5 }
source = "Somebody else 2017"

[[experiment]]
name = "ticket"
method = "lottery"
density = 0.3
pruning = { rounds = 1 }
published_gain = 0.3
)";

class Reproduce : public ::testing::Test {
 protected:
  void SetUp() override { experiments(tiny); }
  void TearDown() override { interrupt_after(-1); }
  void experiments(const std::string& text) { write_file_atomically(file(), text); }
  std::filesystem::path file() const { return folder_.path() / "table.toml"; }
  std::filesystem::path results() const { return folder_.path() / "results.jsonl"; }
  ReproduceResults finished() const { return read_results(results()); }

  int run(const std::string& flags) {
    const testing::Ran ran = testing::tool("reproduce --threads 1 --experiments " + file().string() + " " + flags);
    out_ = ran.out;
    err_ = ran.err;
    return ran.code;
  }
  std::string error_of(const std::string& text) {
    experiments(text);
    try {
      read_experiments(file());
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryFolder folder_;
  std::string out_, err_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST_F(Reproduce, AListOfDensitiesIsARowForEach) {
  const std::vector<ReproduceRow> rows = read_experiments(file());
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_TRUE(rows[0].dense);
  EXPECT_EQ(rows[1].label(), "magnitude@0.5");
  EXPECT_EQ(rows[2].label(), "magnitude@0.2");
  EXPECT_EQ(rows[2].config.epochs, 1);
  EXPECT_EQ(rows[2].published_error, 2.5);
  EXPECT_FALSE(rows[1].published_error);
  EXPECT_EQ(rows[3].config.rewind, "init");  // the method's own
  for (const ReproduceRow& row : rows) {
    EXPECT_EQ(row.seeds, 2u);
    EXPECT_EQ(row.twin, rows[0].digest) << row.label();
  }
}

TEST_F(Reproduce, OnSeveralTablesEveryExperimentIsARowOfEach) {
  experiments(tiny + R"(
[[dataset]]
name = "narrow"

[[dataset]]
name = "wide"
run = { model = "mlp:784-16-10" }

[[experiment]]
name = "own model"
density = 0.5
run = { model = "mlp:784-4-10" }
)");
  const std::vector<ReproduceRow> rows = read_experiments(file());
  ASSERT_EQ(rows.size(), 10u);
  EXPECT_EQ(rows[0].label(), "narrow: dense");
  EXPECT_EQ(rows[0].config.model, "mlp:784-8-10");
  EXPECT_EQ(rows[4].config.model, "mlp:784-4-10");
  EXPECT_EQ(rows[6].label(), "wide: magnitude@0.5");
  EXPECT_EQ(rows[6].config.model, "mlp:784-16-10");
  EXPECT_EQ(rows[6].twin, rows[5].digest);
  EXPECT_EQ(rows[9].config.model, "mlp:784-4-10");
}

TEST_F(Reproduce, ARowMayBeginWithARecipe) {
  const std::filesystem::path recipe = folder_.path() / "recipe.toml";
  write_file_atomically(recipe,
                        "[recipe]\nkind = \"image-flat\"\nsummary = \"a test\"\n[training]\nepochs = 7\nbatch = 64\n");
  experiments(replaced(tiny, "name = \"ticket\"",
                       "name = \"ticket\"\nrecipe = \"" + recipe.string() + "\"\ntraining = { batch = 32 }"));
  const std::vector<ReproduceRow> rows = read_experiments(file());
  EXPECT_EQ(rows[3].config.epochs, 7);
  EXPECT_EQ(rows[3].config.batch, 32);
  EXPECT_EQ(rows[2].config.epochs, 1);
}

TEST_F(Reproduce, TheExperimentsOnRecipesAreTheSameOnAllData) {
  const std::filesystem::path recipes = std::filesystem::path(ESPALIER_SOURCE_DIR) / "apps" / "recipes";
  EXPECT_EQ(read_experiments(recipes / "tables.toml").size(), 8u * 8u);
  EXPECT_EQ(read_experiments(recipes / "images_and_signals.toml").size(), 4u * 6u);
}

TEST_F(Reproduce, ARowIsAnotherOneWhenItsResultMayBeAnother) {
  const auto digest = [&](const std::string& from, const std::string& to) {
    experiments(replaced(tiny, from, to));
    return read_experiments(file())[3].digest;
  };
  const std::string before = read_experiments(file())[3].digest;
  EXPECT_NE(digest("rounds = 1", "rounds = 2"), before);
  EXPECT_NE(digest("epochs = 1", "epochs = 2"), before);
  EXPECT_EQ(digest("seeds = 2", "seeds = 3"), before);
  EXPECT_EQ(digest("run = {", "run = { threads = 2,"), before);
  EXPECT_EQ(digest("published_gain = 0.3", ""), before);
}

TEST_F(Reproduce, ControlsTakeTheNetworkThatTheirMethodFound) {
  const auto with_control = [](const std::string& name, const std::string& control) {
    return "[[experiment]]\nname = \"" + name + "\"\nmethod = \"lottery\"\ndensity = 0.3\n" +
           "pruning = { rounds = 1, control = \"" + control + "\" }\n";
  };
  experiments(tiny + with_control("reinitialised", "reinit"));
  ASSERT_EQ(run("--only reinitialised --seeds 1"), exit_done) << err_;  // finds its ticket itself
  const ReproduceResult alone = finished().begin()->second;
  std::filesystem::remove(results());
  interrupt_after(22 * 4);  // 22 steps a training: the ticket is two, the control one more
  ASSERT_EQ(run("--only *ti* --seeds 1"), exit_done) << err_;
  interrupt_after(-1);
  ASSERT_EQ(finished().size(), 2u);
  const ReproduceResult after_its_ticket = finished().at(alone.key);
  EXPECT_EQ(after_its_ticket.test_loss, alone.test_loss);
  EXPECT_EQ(after_its_ticket.test.accuracy, alone.test.accuracy);
  EXPECT_EQ(after_its_ticket.nonzeros, alone.nonzeros);
  EXPECT_EQ(after_its_ticket.train_flops, alone.train_flops);
}

TEST_F(Reproduce, RunsWhatIsNotFinishedAndNothingElse) {
  ASSERT_EQ(run("--only dense --seeds 1"), exit_done) << err_;
  EXPECT_EQ(finished().size(), 1u);
  EXPECT_PRED2(contains, out_, "Not finished: 1 of 8 trainings are done.");
  EXPECT_PRED2(contains, out_, "(1 of 2 seeds)");

  interrupt_after(50);  // 22 steps a training: in the third of those to come
  EXPECT_EQ(run(""), exit_interrupted);
  interrupt_after(-1);
  const ReproduceResults before = finished();
  EXPECT_EQ(before.size(), 3u);

  ASSERT_EQ(run(""), exit_done) << err_;
  EXPECT_EQ(finished().size(), 8u);
  for (const auto& [key, result] : before) EXPECT_EQ(finished().at(key), result);
  EXPECT_FALSE(contains(out_, "Not finished"));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_FALSE(entry.path().filename().string().starts_with("checkpoint")) << entry.path();

  const std::string lines = read_file(results(), megabyte);
  ASSERT_EQ(run(""), exit_done);
  EXPECT_EQ(read_file(results(), megabyte), lines);
  experiments(replaced(tiny, "rounds = 1", "rounds = 2"));
  ASSERT_EQ(run("--only ticket --seeds 1"), exit_done);
  EXPECT_EQ(finished().size(), 9u);
}

TEST_F(Reproduce, AnInterruptedTrainingEndsWithTheBitsOfOneThatWasNot) {
  ASSERT_EQ(run("--only ticket --seeds 1"), exit_done) << err_;
  const ReproduceResult whole = finished().begin()->second;
  std::filesystem::remove(results());
  interrupt_after(30);
  EXPECT_EQ(run("--only ticket --seeds 1"), exit_interrupted);
  interrupt_after(-1);
  ASSERT_EQ(run("--only ticket --seeds 1"), exit_done);
  EXPECT_EQ(finished().begin()->second.test_loss, whole.test_loss);
}

TEST_F(Reproduce, ListsWithoutRunning) {
  ASSERT_EQ(run("--list --only mag*"), exit_done);
  EXPECT_PRED2(contains, out_, "magnitude@0.5");
  EXPECT_FALSE(contains(out_, "ticket"));
  EXPECT_FALSE(std::filesystem::exists(results()));
  EXPECT_EQ(run("--list --only nothing"), exit_usage);
}

ReproduceResult of_classes(double accuracy, double kept, std::uint64_t flops) {
  return {.test = {.samples = 1, .classes = 10, .accuracy = accuracy},
          .kept = kept,
          .train_flops = flops,
          .train_seconds = 3};
}

// Every line that was ever committed still reads, and is written as it was; the oldest had fewer metrics.
TEST_F(Reproduce, ALineComesBackAsItWas) {
  for (const char* lines : {"pruning/results.jsonl", "apps/recipes/results.jsonl"}) {
    const std::string text = read_file(std::filesystem::path(ESPALIER_SOURCE_DIR) / lines, 10 * megabyte);
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      const std::string line = text.substr(at, end - at);
      const ReproduceResult result = result_of_line(line);
      if (contains(line, "test_auc") || contains(line, "test_rmse"))
        ASSERT_EQ(line_of(result), line);
      else
        ASSERT_EQ(result_of_line(line_of(result)), result) << line;
    }
  }
}

// Results by hand: errors of 2 and 4 %, dense and pruned, of a gain of -1 and +1 points.
TEST_F(Reproduce, TheTableSaysWhatTheResultsAre) {
  const std::vector<ReproduceRow> rows = read_experiments(file());
  ReproduceResults results;
  const auto add = [&](const ReproduceRow& row, std::uint64_t seed, double accuracy, std::uint64_t flops) {
    results[row.key(seed)] = of_classes(accuracy, row.config.schedule.density, flops);
  };
  add(rows[0], 1, 0.98, 1000);
  add(rows[0], 2, 0.96, 1000);
  add(rows[1], 1, 0.97, 500);
  add(rows[3], 1, 0.97, 1500);
  add(rows[3], 2, 0.97, 1500);
  results[rows[3].key(2)].train_seconds = 9;  // a machine with other work: the table has those of the fastest seed
  add(rows[2], 1, 0.974, 200);
  const std::string late = reproduce_table(rows, results);
  EXPECT_PRED2(contains, late, "| magnitude | 20 % | 2.50 | 2.60 (1 of 2 seeds) | yes | Somebody else 2017 |");
  results.erase(rows[2].key(1));
  const std::string table = reproduce_table(rows, results);
  for (const char* line :
       {"| method | 100 % | 50 % | 20 % |", "| dense | 3.00 ± 1.41 |  |  |",
        "| magnitude |  | 3.00 (1 of 2 seeds) | – |", "| magnitude |  | 50.00, 0.50, 3 | – |",
        "| dense | 100 % | 1.64 | 3.00 ± 1.41 | no, 1.36 behind: one epoch | Somebody 2015 |",
        "| magnitude | 20 % | 2.50 | – |  | Somebody else 2017 |",
        "| ticket | mlp:784-8-10, synthetic-digits | 30.00 % | 3.00 ± 0.00 | +0.00 ± 1.41 (1.00) | 1.50 | 3 | +0.30 pp "
        "over dense | no, 0.30 behind |  |",
        "Not finished: 5 of 8 trainings are done."})
    EXPECT_PRED2(contains, table, line);
}

// Results by hand: RMSE 2 and 4 of the dense network, 2.2 and 4.2 of the ticket: 10 and 5 % more.
TEST_F(Reproduce, TheTableSpeaksOfRmseWhereTheResultsDo) {
  const std::vector<ReproduceRow> rows = read_experiments(file());
  ReproduceResults results;
  const auto add = [&](const ReproduceRow& row, std::uint64_t seed, double rmse) {
    results[row.key(seed)] = {.test = {.samples = 1, .rmse = rmse, .r2 = 0.5},
                              .kept = row.config.schedule.density,
                              .train_flops = 1000,
                              .train_seconds = 3};
  };
  add(rows[0], 1, 2);
  add(rows[0], 2, 4);
  add(rows[1], 1, 2.5);
  add(rows[3], 1, 2.2);
  add(rows[3], 2, 4.2);
  const std::string table = reproduce_table(rows, results);
  for (const char* line : {"Test RMSE, mlp:784-8-10 on synthetic-digits", "| dense | 3 ± 1.4 |  |  |",
                           "| magnitude |  | 2.5 (1 of 2 seeds) | – |", "| test RMSE | over dense, % |",
                           "| 3.2 ± 1.4 | +7.50 ± 3.54 (2.50) |"})
    EXPECT_PRED2(contains, table, line);
  EXPECT_FALSE(contains(table, "error %")) << table;
  add(rows[2], 1, 2.6);  // published: 2.5
  EXPECT_PRED2(contains, reproduce_table(rows, results), "| 2.6 (1 of 2 seeds) | no, 4.00 % behind |");
  add(rows[2], 1, 2.54);
  EXPECT_PRED2(contains, reproduce_table(rows, results), "| 2.54 (1 of 2 seeds) | yes |");
}

// 300 FLOPs of 1000, where the dense network of the same budget was not run and that of another was.
TEST_F(Reproduce, ARowWithABudgetOfItsOwnIsCountedInFlopsOfTheDenseRowAndComparedWithNobody) {
  experiments(replaced(tiny, "published = { \"0.2\" = 2.5 }", "training = { epochs = 3 }"));
  const std::vector<ReproduceRow> rows = read_experiments(file());
  ReproduceResults results;
  results[rows[0].key(1)] = of_classes(0.9, 0.5, 1000);
  results[rows[1].key(1)] = of_classes(0.9, 0.5, 300);
  EXPECT_PRED2(contains, reproduce_table(rows, results), "| magnitude | 50.00, 0.30, 3 | – |");
  results.erase(rows[0].key(1));
  EXPECT_PRED2(contains, reproduce_table(rows, results), "| magnitude | 50.00, –, 3 | – |");
}

// Two data sets, by hand: the second seed of the second is missing.
TEST_F(Reproduce, DataSetsAreRowsAndExperimentsColumns) {
  experiments(R"([defaults]
seeds = 2
run = { model = "mlp:784-8-10" }
[[dataset]]
name = "A"
data = { name = "synthetic-digits" }
[[dataset]]
name = "B"
data = { name = "synthetic-digits", validation = 100 }
[[experiment]]
name = "dense"
method = "dense"
[[experiment]]
name = "magnitude"
density = 0.1
)");
  const std::vector<ReproduceRow> rows = read_experiments(file());
  ASSERT_EQ(rows.size(), 4u);
  ReproduceResults results;
  const auto add = [&](const ReproduceRow& row, std::uint64_t seed, double accuracy, Index nonzeros) {
    ReproduceResult& result = results[row.key(seed)] = of_classes(accuracy, 0.1, 1000);
    result.nonzeros = nonzeros;
    result.train_seconds = 1.5;
    result.inference_seconds = 2e-6;
  };
  add(rows[0], 1, 0.9, 100), add(rows[0], 2, 0.8, 100);
  add(rows[1], 1, 0.91, 10), add(rows[1], 2, 0.83, 10);
  add(rows[2], 1, 0.5, 100), add(rows[3], 1, 0.4, 10);
  const std::string table = reproduce_table(rows, results);
  for (const char* line :
       {"|  | dense | magnitude@0.1 |", "| A | 15.00 ± 7.07 | 13.00 ± 5.66 |", "| A | – | +2.00 ± 1.41 |",
        "| A | 100, 1.5 s, 2 µs | 10, 1.5 s, 2 µs |", "| B | 50.00 (1 of 2 seeds) | 60.00 (1 of 2 seeds) |",
        "Not finished: 6 of 8 trainings are done."})
    EXPECT_PRED2(contains, table, line);
}

TEST_F(Reproduce, ARowIsAnotherOneWithAnotherLossAndTheSameWithoutOne) {
  const auto digests = [&](const std::string& loss) {
    experiments(tiny + loss);
    const ReproduceRow row = read_experiments(file())[3];
    return std::pair(row.digest, row.twin);
  };
  const auto before = digests("");
  EXPECT_EQ(digests("loss = { name = \"auto\", huber_delta = 1.0 }\n"), before);
  EXPECT_EQ(digests("run.baselines = true\n").first, before.first);
  const auto weighted = digests("loss = { class_weights = \"balanced\" }\n");
  EXPECT_NE(weighted.first, before.first);
  EXPECT_NE(weighted.second, before.second) << "its dense network is another, too";
}

TEST_F(Reproduce, WritesTheTableBetweenTheMarkersAndNowhereElse) {
  const std::filesystem::path page = folder_.path() / "page.md";
  write_file_atomically(page, "before\n<!-- reproduce:begin -->\nold\n<!-- reproduce:end -->\nafter\n");
  for (int time = 0; time < 2; ++time) {
    ASSERT_EQ(run("--table-only --write " + page.string()), exit_done) << err_;
    const std::string text = read_file(page, megabyte);
    EXPECT_TRUE(text.starts_with("before\n<!-- reproduce:begin -->\n")) << text;
    EXPECT_TRUE(text.ends_with("\n<!-- reproduce:end -->\nafter\n")) << text;
    EXPECT_FALSE(contains(text, "old"));
    EXPECT_PRED2(contains, text, "| magnitude |");
  }
  write_file_atomically(page, "no markers");
  EXPECT_EQ(run("--table-only --write " + page.string()), exit_file);

  const std::string others = "<!-- reproduce:begin -->\nothers\n<!-- reproduce:end -->\n", name = file().stem();
  write_file_atomically(page, others + "<!-- reproduce:begin " + name + " -->\nold\n<!-- reproduce:end -->\n");
  ASSERT_EQ(run("--table-only --write " + page.string()), exit_done) << err_;
  const std::string text = read_file(page, megabyte);
  EXPECT_TRUE(text.starts_with(others)) << text;
  EXPECT_FALSE(contains(text, "old"));
  EXPECT_PRED2(contains, text, "| magnitude |");
}

TEST_F(Reproduce, ForgetsALineThatWasCutOffAndRefusesOneThatIsNone) {
  ASSERT_EQ(run("--only dense --seeds 1"), exit_done);
  const std::string whole = read_file(results(), megabyte);
  write_file_atomically(results(), whole + "{\"key\": \"half a li");
  EXPECT_EQ(finished().size(), 1u);
  write_file_atomically(results(), "nonsense\n" + whole);
  EXPECT_THROW(finished(), FileError);
}

TEST_F(Reproduce, NamesTheExperimentThatItDoesNotUnderstand) {
  EXPECT_PRED2(contains, error_of(replaced(tiny, "\"lottery\"", "\"guesswork\"")), "experiment \"ticket\"");
  EXPECT_PRED2(contains, error_of(replaced(tiny, "rounds = 1", "turns = 1")), "unknown key pruning.turns");
  EXPECT_PRED2(contains, error_of(replaced(tiny, "0.3", "3")), "(0, 1]");
  EXPECT_PRED2(contains, error_of(replaced(tiny, "name = \"ticket\"", "name = \"dense\"\nseeds = 0")), "1 to 1000");
  EXPECT_PRED2(contains, error_of("[experiments]\n"), "[[experiment]]");
  EXPECT_PRED2(contains, error_of(tiny + "[[experiment]]\nname = \"dense\"\nmethod = \"dense\"\n"), "twice");
}

TEST_F(Reproduce, SaysThatDataAreMissingBeforeAnythingRuns) {
  experiments(tiny +
              "[[experiment]]\nname = \"last\"\nmethod = \"dense\"\nrun = { model = \"lenet-300-100\" }\n"
              "data = { name = \"mnist\", folder = \"no-such-folder\" }\n");
  EXPECT_EQ(run(""), exit_file);
  EXPECT_PRED2(contains, err_, "no-such-folder");
  EXPECT_FALSE(std::filesystem::exists(results()));
}

// The linear baseline is a row like others, and what it finds is that of a run's page, whatever the recipe's training.
TEST_F(Reproduce, TheLinearBaselineIsSolved) {
  const std::string solved = R"(
[defaults]
data = { name = "synthetic-table" }
run = { model = "tabular:8" }
training = { epochs = 1 }

[[experiment]]
name = "linear"
method = "linear"
)";
  experiments(solved);
  ASSERT_EQ(testing::tool("reproduce --experiments " + file().string()).code, exit_done);
  const ReproduceResults first = read_results(results());
  ASSERT_EQ(first.size(), 1u);
  const ReproduceResult& row = first.begin()->second;
  EXPECT_EQ(row.method, "linear");
  EXPECT_GT(row.epochs, 1) << "passes";
  RunConfig config{.data = "synthetic-table"};
  const DataParts data = load_data(config);
  EXPECT_EQ(row.test.accuracy, baselines_of(config, data).back().test.accuracy);
  experiments(replaced(replaced(solved, "epochs = 1", "epochs = 7"), "tabular:8", "tabular:16"));
  const ReproduceRow longer = read_experiments(file()).front();
  EXPECT_TRUE(first.contains(longer.key(1))) << "another network beside it is not another baseline";
}

}  // namespace
}  // namespace espalier
