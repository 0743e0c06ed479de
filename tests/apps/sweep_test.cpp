// Sweeps and comparisons: invariants of apps/experiment/sweep.h by number, and tables by hand.
#include "espalier/experiment/sweep.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/comparison.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/interrupt.h"
#include "espalier/experiment/side_by_side.h"
#include "espalier/experiment/text.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;
namespace fs = std::filesystem;

class Sweeps : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string read(const std::string& name) const { return read_file(path(name), 100 * megabyte); }

  void SetUp() override {
    std::string csv = "x,y,z,label\n";
    for (int r = 0; r < 240; ++r)
      csv +=
          fmt::format("{},{},{},{}\n", r % 17, (r * 5) % 11, (r * 7) % 13, (r % 17) + (r * 5) % 11 < 12 ? "no" : "yes");
    std::ofstream(path("rows.csv")) << csv;
  }
  std::string flags() const {
    return "--data " + path("rows.csv") + " --model tabular:8 --epochs 2 --batch 32 --interval 2";
  }
  // Two methods, two densities, two seeds.
  std::string eight() const { return flags() + " --methods magnitude,set --densities 0.5,0.25 --seeds 1-2"; }

  testing::TemporaryFolder folder_;
};

Json json_in(const std::string& text) {
  return Json::parse(text);
}

// Every file of a run, with when it was written.
std::map<std::string, fs::file_time_type> written_in(const fs::path& run) {
  std::map<std::string, fs::file_time_type> written;
  for (const auto& entry : fs::directory_iterator(run)) written[entry.path().filename()] = fs::last_write_time(entry);
  return written;
}

TEST_F(Sweeps, TrainWhatIsAskedForAndEndInATable) {
  const Ran ran = tool("sweep " + eight() + " --threads 2 --out " + path("sweep"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  int runs = 0;
  for (const auto& entry : fs::directory_iterator(path("sweep"))) runs += entry.is_directory();
  EXPECT_EQ(runs, 2 * (1 + 2 + 4)) << "dense, random and both methods, for each seed";
  for (const char* name :
       {"dense-1-elements-1", "random-0.25-elements-2", "magnitude-0.5-elements-1", "set-0.25-elements-2"}) {
    const Json result = json_in(read(std::string("sweep/") + name + "/result.json"));
    EXPECT_GT(result["sparse"]["train_step_seconds"].get<double>(), 0) << name;
    EXPECT_EQ(result.contains("dense"), !std::string(name).starts_with("dense")) << name;
    EXPECT_TRUE(fs::exists(path("sweep") + "/" + name + "/report.html")) << name;
  }
  EXPECT_TRUE(fs::exists(path("sweep/report.html")));
  EXPECT_TRUE(ran.out.starts_with(read("sweep/table.txt"))) << "the table is kept";
  for (const char* row : {"\ndense", "\nlinear", "\nmagnitude", "\nset", "\nrandom"})
    EXPECT_PRED2(contains, ran.out, row);
  EXPECT_PRED2(contains, ran.out, "+-");
  EXPECT_FALSE(contains(ran.out, "not timed")) << ran.out;
}

// 1.
TEST_F(Sweeps, HaveTheBitsOfRunsAlone) {
  ASSERT_EQ(tool("sweep " + eight() + " --threads 2 --out " + path("sweep")).code, exit_done);
  ASSERT_EQ(tool("train " + flags() + " --method set --density 0.25 --seed 2 --no-dense --out " + path("one")).code,
            exit_done);
  EXPECT_EQ(read("sweep/set-0.25-elements-2/model.safetensors"), read("one/model.safetensors"));
  const Json one = json_in(read("one/result.json"))["sparse"];
  const Json swept = json_in(read("sweep/set-0.25-elements-2/result.json"))["sparse"];
  for (const char* key : {"test_accuracy", "test_loss", "nonzeros", "forward_flops", "train_flops_executed",
                          "file_bytes", "effective_nonzeros"})
    EXPECT_EQ(swept[key], one[key]) << key;
  EXPECT_EQ(tool("train --config " + path("sweep/dense-1-elements-1/config.toml") + " --out " + path("again")).code,
            exit_done);
  EXPECT_EQ(read("again/model.safetensors"), read("sweep/dense-1-elements-1/model.safetensors"));
}

// 2.
TEST_F(Sweeps, GoOnWithWhatIsMissingAlone) {
  const std::string line = "sweep " + eight() + " --out " + path("sweep");
  ASSERT_EQ(tool(line).code, exit_done);
  const std::string lost = "set-0.5-elements-1";
  const std::string before = read("sweep/" + lost + "/model.safetensors");
  fs::remove_all(path("sweep/" + lost));
  std::map<std::string, std::map<std::string, fs::file_time_type>> written;
  for (const auto& entry : fs::directory_iterator(path("sweep")))
    if (entry.is_directory()) written[entry.path()] = written_in(entry.path());
  for (const std::string& again : {line, "sweep --resume " + path("sweep")}) {
    const Ran ran = tool(again);
    ASSERT_EQ(ran.code, exit_done) << ran.err;
    for (const auto& [run, files] : written) EXPECT_EQ(written_in(run), files) << run;
    EXPECT_EQ(read("sweep/" + lost + "/model.safetensors"), before);
    EXPECT_PRED2(contains, ran.out, "\nset");
  }
}

TEST_F(Sweeps, GoOnAfterAnInterruptFromTheirCheckpoints) {
  const std::string rest =
      "--data synthetic-digits --model mlp:784-8-10 --epochs 4 --methods magnitude --densities 0.5 --controls none ";
  ASSERT_EQ(tool("sweep " + rest + "--out " + path("whole")).code, exit_done);
  interrupt_after(60);
  const Ran stopped = tool("sweep " + rest + "--out " + path("sweep"));
  interrupt_after(-1);
  EXPECT_EQ(stopped.code, exit_interrupted) << stopped.err;
  EXPECT_PRED2(contains, stopped.err, "to go on: espalier sweep --resume " + path("sweep"));
  EXPECT_FALSE(fs::exists(path("sweep/magnitude-0.5-elements-1/result.json")));
  EXPECT_TRUE(fs::exists(path("sweep/magnitude-0.5-elements-1/checkpoint-sparse")));
  const Ran again = tool("sweep --resume " + path("sweep"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(read("sweep/magnitude-0.5-elements-1/model.safetensors"),
            read("whole/magnitude-0.5-elements-1/model.safetensors"));
}

// 3.
TEST_F(Sweeps, RefuseWhatCannotWorkBeforeAnyTraining) {
  const std::map<std::string, std::string> refused{{"--methods magnitude,rigel", "did you mean rigl"},
                                                   {"--methods magnitude --structures elements,blok:2x2", "structure"},
                                                   {"--methods magnitude --densities 0.5,0", "densities"},
                                                   {"--methods magnitude --seeds 3-1", "seeds"},
                                                   {"--methods magnitude --structures block:3x3", "in the run"},
                                                   {"--controls reinit", "controls"},
                                                   {"--recipe auto", "recommend"}};
  for (const auto& [bad, said] : refused) {
    const Ran ran = tool("sweep " + flags() + " " + bad + " --out " + path("sweep"));
    EXPECT_EQ(ran.code, exit_usage) << bad << ": " << ran.err;
    EXPECT_PRED2(contains, ran.err, said) << bad;
    const std::string error = ran.err.substr(ran.err.find("error: "));
    EXPECT_EQ(error.find('\n'), error.size() - 1) << "one line: " << error;
    EXPECT_FALSE(fs::exists(path("sweep"))) << bad;
  }
}

TEST_F(Sweeps, DoNotShareAFolder) {
  ASSERT_EQ(tool("sweep " + flags() + " --densities 0.5 --controls none --out " + path("sweep")).code, exit_done);
  const Ran other = tool("sweep " + flags() + " --densities 0.25 --controls none --out " + path("sweep"));
  EXPECT_EQ(other.code, exit_usage);
  EXPECT_PRED2(contains, other.err, "found another");
  EXPECT_EQ(tool("train " + flags() + " --out " + path("sweep")).code, exit_usage);
  const Ran over = tool("sweep " + flags() + " --densities 0.25 --controls none --overwrite --out " + path("sweep"));
  EXPECT_EQ(over.code, exit_done) << over.err;
  EXPECT_FALSE(fs::exists(path("sweep/magnitude-0.5-elements-1"))) << "what the sweep before had left is gone";
}

TEST_F(Sweeps, OfTrainHaveTheSameFolders) {
  ASSERT_EQ(tool("train " + flags() + " --density 0.5,0.25 --seeds 2 --out " + path("train")).code, exit_done);
  ASSERT_EQ(tool("sweep " + flags() + " --densities 0.5,0.25 --seeds 2 --controls dense --out " + path("sweep")).code,
            exit_done);
  for (const auto& entry : fs::directory_iterator(path("sweep"))) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename();
    EXPECT_EQ(read("train/" + name + "/model.safetensors"), read("sweep/" + name + "/model.safetensors")) << name;
  }
  EXPECT_EQ(json_in(read("train/results.json")).size(), 4) << "the dense network is in them, and no row of its own";
  fs::remove_all(path("train/magnitude-0.25-elements-2"));
  const Ran again = tool("train --resume " + path("train"));
  EXPECT_EQ(again.code, exit_done) << again.err;
  EXPECT_TRUE(fs::exists(path("train/magnitude-0.25-elements-2/result.json")));
}

TEST_F(Sweeps, HaveOneRunOfAStructureThatFixesTheDensity) {
  SweepGrid grid{.base = {.model = "mlp:784-8-10", .epochs = 1},
                 .methods = {"magnitude"},
                 .densities = {0.5, 0.25},
                 .structures = {"elements", "2:4"},
                 .seeds = {3, 1},
                 .dense = true,
                 .random = false};
  grid.base.data = "synthetic-digits";
  const DataParts data = load_data(grid.base);
  std::vector<std::string> names;
  for (const SweepRun& run : runs_of(grid, data)) names.push_back(run.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"dense-1-elements-3", "magnitude-0.5-elements-3", "magnitude-0.25-elements-3",
                                      "magnitude-0.5-2-4-3", "dense-1-elements-1", "magnitude-0.5-elements-1",
                                      "magnitude-0.25-elements-1", "magnitude-0.5-2-4-1"}));
}

// 4.
TEST_F(Sweeps, ASideIsNotTimedUntilItIs) {
  SideResult side{.test = Metrics{.samples = 4, .classes = 2, .accuracy = 0.5}};
  EXPECT_TRUE(to_json(side)["train_step_seconds"].is_null());
  ComparedRun run{
      .folder = "a", .result = {.dataset = "d", .method = "set", .density = 0.5, .sparse = side}, .config = {}};
  const Comparison comparison = comparison_of(std::span(&run, 1));
  EXPECT_PRED2(contains, comparison_text(comparison), "not timed: these runs");
}

// --- tables by hand --------------------------------------------------------------------------------------------------

ComparedRun run_of(const std::string& method, double density, std::uint64_t seed, double accuracy, Index nonzeros) {
  SideResult side{.test = Metrics{.samples = 100, .classes = 2, .accuracy = accuracy}, .nonzeros = nonzeros};
  side.forward_flops.executed = static_cast<std::uint64_t>(2 * nonzeros);
  side.file_bytes = static_cast<std::uintmax_t>(4 * nonzeros);
  side.train_step = side.inference = side.latency = {.median = 1e-6 * static_cast<double>(nonzeros)};
  RunConfig config;
  config.method = method;
  config.structure = "elements";
  config.schedule.density = density;
  return {
      .folder = method,
      .result = {.dataset = "rows", .model = "m", .method = method, .density = density, .seed = seed, .sparse = side},
      .config = config};
}

const ComparisonRow& row_of(const Comparison& comparison, const std::string& method, double density = 1) {
  for (const ComparisonRow& row : comparison.rows)
    if (row.method == method && row.density == density) return row;
  throw std::runtime_error("no row " + method);
}

TEST(Comparisons, MeanAndDeviationAreThoseOfTheHand) {
  const std::vector<ComparedRun> runs{run_of("set", 0.5, 1, 0.90, 100), run_of("set", 0.5, 2, 0.94, 110),
                                      run_of("set", 0.5, 3, 0.98, 120)};
  const Comparison comparison = comparison_of(runs);
  ASSERT_EQ(comparison.rows.size(), 1);
  const auto accuracy = comparison.rows[0].of("test_accuracy"), nonzeros = comparison.rows[0].of("nonzeros");
  EXPECT_NEAR(accuracy->mean, 0.94, 1e-12);
  EXPECT_NEAR(accuracy->sd, 0.04, 1e-12) << "sqrt((0.04^2 + 0 + 0.04^2) / 2)";
  EXPECT_NEAR(nonzeros->sd, 10, 1e-12);
  EXPECT_PRED2(contains, comparison_text(comparison), "94.00 +- 4.00 %");
  EXPECT_PRED2(contains, comparison_markdown(comparison), "94.00 ± 4.00 %");
}

TEST(Comparisons, TheFrontIsWhatNoOtherRowBeats) {
  const std::vector<ComparedRun> runs{run_of("magnitude", 1, 1, 0.95, 1000), run_of("set", 0.5, 1, 0.96, 500),
                                      run_of("set", 0.1, 1, 0.90, 100), run_of("snip", 0.1, 1, 0.89, 100),
                                      run_of("rigl", 0.2, 1, 0.90, 200)};
  const Comparison comparison = comparison_of(runs);
  EXPECT_TRUE(row_of(comparison, "dense").fronts.empty()) << "set at 0.5 is better and smaller";
  EXPECT_FALSE(row_of(comparison, "set", 0.5).fronts.empty());
  EXPECT_FALSE(row_of(comparison, "set", 0.1).fronts.empty());
  EXPECT_TRUE(row_of(comparison, "snip", 0.1).fronts.empty()) << "as small, and worse";
  EXPECT_TRUE(row_of(comparison, "rigl", 0.2).fronts.empty()) << "as good, and larger";
}

TEST(Comparisons, CountADenseNetworkOnceForEachSeed) {
  std::vector<ComparedRun> runs{run_of("set", 0.5, 1, 0.9, 100), run_of("set", 0.1, 1, 0.8, 20),
                                run_of("set", 0.5, 2, 0.9, 100)};
  for (ComparedRun& run : runs) run.result.dense = run_of("magnitude", 1, run.result.seed, 0.95, 200).result.sparse;
  const Comparison comparison = comparison_of(runs);
  EXPECT_EQ(row_of(comparison, "dense").seeds, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_DOUBLE_EQ(row_of(comparison, "set", 0.5).of("train_step_ratio")->mean, 2);
}

// CSV as its rows by column.
std::vector<std::map<std::string, std::string>> table_of_csv(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  const auto cells = [](const std::string& row) {
    std::vector<std::string> all(1);
    for (const char c : row)
      if (c == ',')
        all.emplace_back();
      else
        all.back() += c;
    return all;
  };
  std::getline(lines, line);
  const std::vector<std::string> header = cells(line);
  std::vector<std::map<std::string, std::string>> table;
  while (std::getline(lines, line)) {
    const std::vector<std::string> row = cells(line);
    EXPECT_EQ(row.size(), header.size()) << line;
    table.emplace_back();
    for (std::size_t c = 0; c < row.size() && c < header.size(); ++c) table.back()[header[c]] = row[c];
  }
  return table;
}

TEST_F(Sweeps, GiveTheSameNumbersInEveryForm) {
  const std::string train = "train " + flags() + " --threads 1 --method ";
  ASSERT_EQ(tool(train + "magnitude --density 0.5 --seeds 2 --out " + path("a")).code, exit_done);
  ASSERT_EQ(tool(train + "set --density 0.25 --out " + path("b")).code, exit_done);
  const Ran ran = tool("compare " + path("a") + " " + path("b") + " --csv " + path("t.csv") + " --json " +
                       path("t.json") + " --markdown " + path("t.md") + " --svg " + path("t.svg"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto csv = table_of_csv(read("t.csv"));
  const Json json = json_in(read("t.json"))["rows"];
  ASSERT_EQ(csv.size(), json.size());
  const std::string markdown = read("t.md"), svg = read("t.svg");
  int compared = 0;
  for (std::size_t r = 0; r < csv.size(); ++r) {
    EXPECT_EQ(csv[r].at("method"), json[r]["method"]);
    for (const ComparedNumber& number : compared_numbers(/*classes=*/true)) {
      const std::string key = number.key;
      ASSERT_EQ(json[r].contains(key), csv[r].at(key + "_n") != "0") << key;
      if (!json[r].contains(key)) continue;
      EXPECT_EQ(std::stod(csv[r].at(key + "_mean")), json[r][key]["mean"].get<double>()) << key;
      EXPECT_EQ(std::stod(csv[r].at(key + "_sd")), json[r][key]["sd"].get<double>()) << key;
      std::string text = number.text(json[r][key]["mean"]);
      if (text.ends_with(" %")) text.resize(text.size() - 2);
      EXPECT_PRED2(contains, markdown, text) << key;
      EXPECT_PRED2(contains, ran.out, text) << key;
      ++compared;
    }
  }
  EXPECT_GT(compared, 20);
  EXPECT_TRUE(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
  for (const char* part : {"set", "prefers-color-scheme: dark", "class=\"dense\""}) EXPECT_PRED2(contains, svg, part);
}

TEST_F(Sweeps, AreNotComparedAcrossData) {
  std::ofstream(path("others.csv")) << read("rows.csv");
  ASSERT_EQ(tool("train " + flags() + " --no-dense --out " + path("a")).code, exit_done);
  std::string other = flags();
  other.replace(other.find("rows.csv"), 8, "others.csv");
  ASSERT_EQ(tool("train " + other + " --no-dense --out " + path("b")).code, exit_done);
  const Ran ran = tool("compare " + path("a") + " " + path("b"));
  EXPECT_EQ(ran.code, exit_usage);
  EXPECT_PRED2(contains, ran.err, "expected runs of the same data");
  EXPECT_EQ(tool("compare " + path("nothing")).code, exit_file);
}

// --- side by side ----------------------------------------------------------------------------------------------------

TEST_F(Sweeps, AProcessThatFailsTakesNoOtherWithIt) {
  std::vector<Job> jobs;
  for (int j = 0; j < 5; ++j)
    jobs.push_back({.log = path(fmt::format("log-{}", j)), .prepare = nullptr, .body = [j, this] {
                      if (j == 1) throw DivergedError("as it was to be");
                      if (j == 2) ::raise(SIGKILL);
                      std::fputs("done\n", stdout);
                      std::ofstream(path(fmt::format("made-{}", j))) << j;
                    }});
  std::map<std::size_t, JobEnd> ends;
  run_side_by_side(jobs, 2, [&](const JobEnd& end) { ends[end.job] = end; });
  ASSERT_EQ(ends.size(), 5);
  EXPECT_EQ(ends[1].code, exit_diverged);
  EXPECT_EQ(ends[1].said, "as it was to be");
  EXPECT_EQ(ends[2].code, 128 + SIGKILL);
  for (const int j : {0, 3, 4}) {
    EXPECT_EQ(ends[j].code, exit_done);
    EXPECT_TRUE(fs::exists(path(fmt::format("made-{}", j))));
    EXPECT_EQ(read(fmt::format("log-{}", j)), "done\n");
  }
}

TEST_F(Sweeps, StopTheirProcessesWhenTheyAreStopped) {
  const auto until_stopped = [] {
    while (!interrupted()) ::usleep(1000);
    throw InterruptedError("interrupted");
  };
  const std::vector<Job> jobs(3, Job{.log = path("log"), .prepare = nullptr, .body = until_stopped});
  int ended = 0;
  interrupt_after(4);  // in this process; in the others it is the signal, or as many questions
  EXPECT_THROW(run_side_by_side(jobs, 3,
                                [&](const JobEnd& end) {
                                  EXPECT_EQ(end.code, exit_interrupted);
                                  ++ended;
                                }),
               InterruptedError);
  interrupt_after(-1);
  EXPECT_EQ(ended, 3) << "none is left behind";
}

}  // namespace
}  // namespace espalier
