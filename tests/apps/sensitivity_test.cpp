// espalier sensitivity, and trainings that allocate by it.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "consumer/outside.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/sensitivity_report.h"
#include "espalier/experiment/trained_network.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::tool;

constexpr std::uintmax_t limit_bytes = 1 << 20;

class SensitivityTool : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  void train(const std::string& flags, const std::string& run = "run") {
    const Ran ran = tool("train " + flags + " --no-dense --out " + path(run));
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  static Index count(const std::string& text, const std::string& what) {
    Index n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(SensitivityTool, LooksAtARunsHeldOutSamplesAndWritesWhatItPrints) {
  train("--data synthetic-digits --model mlp:784-16-12-10 --density 0.5 --epochs 1");
  const std::string before = read_file(path("run/model.safetensors"), limit_bytes);
  const Ran ran = tool("sensitivity " + path("run") + " --densities 0.4,0.1 --json " + path("s.json") + " --csv " +
                       path("s.csv") + " --svg " + path("s.svg"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(read_file(path("run/model.safetensors"), limit_bytes), before);
  EXPECT_PRED2(contains, ran.err, "measuring sensitivity of 3 layers");

  const auto json = nlohmann::json::parse(read_file(path("s.json"), limit_bytes));
  const auto result = nlohmann::json::parse(read_file(path("run/result.json"), limit_bytes));
  EXPECT_EQ(json["accuracy"], result["sparse"]["validation_accuracy"]) << "on the samples that the training held out";
  ASSERT_EQ(json["layers"].size(), 3u);
  std::istringstream lines(read_file(path("s.csv"), limit_bytes));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "layer,weights,live,density,kept,accuracy,difference");
  for (const auto& layer : json["layers"]) {
    EXPECT_PRED2(contains, ran.out, layer["name"].get<std::string>());
    for (const auto& at : layer["curve"]) {
      const auto kept = at["kept"].get<Index>(), live = layer["live"].get<Index>();
      const double wanted = at["density"].get<double>() * layer["weights"].get<double>();
      EXPECT_EQ(kept, std::min<Index>(live, std::max<Index>(1, std::llround(wanted))));
      if (kept == live) {
        EXPECT_EQ(at["accuracy"], json["accuracy"]);
      }
      EXPECT_NEAR(at["difference"].get<double>(), 100 * (at["accuracy"].get<double>() - json["accuracy"].get<double>()),
                  1e-9);
      ASSERT_TRUE(std::getline(lines, line));
      EXPECT_TRUE(line.starts_with(fmt::format("{},{},{},{},{},", layer["name"].get<std::string>(),
                                               layer["weights"].get<Index>(), live, at["density"].get<double>(), kept)))
          << line;
    }
  }
  const std::string svg = read_file(path("s.svg"), limit_bytes);
  EXPECT_EQ(count(svg, "<polyline"), 3);
  EXPECT_EQ(count(svg, "<circle"), 3 * 2);
  EXPECT_PRED2(contains, svg, "prefers-color-scheme: dark");
  EXPECT_EQ(count(svg, "<rect"), 0) << "the ground is the page's";
  EXPECT_EQ(count(svg, "nan"), 0);

  // The file alone, with data by their name.
  std::filesystem::copy_file(path("run/model.safetensors"), path("alone.safetensors"));
  const Ran alone = tool("sensitivity " + path("alone.safetensors") + " --data synthetic-digits --densities 0.1");
  EXPECT_EQ(alone.code, exit_done) << alone.err;
  EXPECT_EQ(tool("sensitivity " + path("alone.safetensors") + " --densities 0.1").code, exit_usage);
}

TEST_F(SensitivityTool, LooksAtRowsOfATable) {
  train("--data synthetic-table --model tabular:12-8 --density 0.5 --epochs 2");
  const Ran ran = tool("sensitivity " + path("run") + " --densities 0.2,0.05 --protect output.weight");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_PRED2(contains, ran.out, "fc1.weight");
  EXPECT_EQ(ran.out.find("output.weight"), std::string::npos) << ran.out;

  std::ofstream table(path("numbers.csv"));
  table << "a,b,y\n";
  const Random random(1, "numbers");
  for (std::uint64_t i = 0; i < 200; ++i)
    table << fmt::format("{},{},{}\n", random.uniform(2 * i), random.uniform(2 * i + 1),
                         random.uniform(2 * i) - random.uniform(2 * i + 1));
  table.close();
  train("--data " + path("numbers.csv") + " --model tabular:6 --epochs 1 --density 1", "numbers");
  const Ran rows = tool("sensitivity " + path("numbers/model.safetensors") + " --data " + path("numbers.csv") +
                        " --densities 0.5 --json " + path("rows.json"));
  ASSERT_EQ(rows.code, exit_done) << rows.err;
  EXPECT_PRED2(contains, rows.out, "200 samples");
  const auto json = nlohmann::json::parse(read_file(path("rows.json"), limit_bytes));
  EXPECT_GT(json["rmse"], 0);
  EXPECT_EQ(json["layers"][0]["curve"][0]["kept"], 6);
}

TEST_F(SensitivityTool, RefusesInOneLine) {
  train("--data synthetic-table --model linear --density 1 --epochs 1 --validation 0");
  const auto refused = [&](const std::string& line, int code, const std::string& says) {
    const Ran ran = tool("sensitivity " + line);
    EXPECT_EQ(ran.code, code) << ran.err;
    EXPECT_PRED2(contains, ran.err, says) << line;
    EXPECT_EQ(count(ran.err, "\n"), 1) << ran.err;
  };
  refused(path("run"), exit_usage, "expected validation samples");
  refused(path("none"), exit_file, "none");
  refused(path("run") + " --data mnistt", exit_usage, "mnist");
  refused(path("run") + " --data mnist", exit_usage, "expected a file of rows");
  refused(path("run") + " --protect fc9.weight", exit_usage, "fc9.weight");
  refused(path("run") + " --densities 2", exit_usage, "expected different fractions");
}

TEST(SensitivityReport, OfNumbersHasTheRmseAndWhatIsNotFinite) {
  const Sensitivity s{.densities = {0.5, 0.1},
                      .before = {.rmse = 2, .samples = 10},
                      .layers = {{.layer = "fc1.weight",
                                  .positions = 20,
                                  .live = 20,
                                  .kept = {10, 2},
                                  .at = {{.rmse = 2.5, .samples = 10}, {.rmse = std::nan(""), .samples = 10}}}}};
  EXPECT_PRED2(contains, text_of(s, "data"), "2.5 +25.0 %");
  EXPECT_PRED2(contains, csv_of(s), "fc1.weight,20,20,0.5,10,2.5,25\n");
  const auto json = nlohmann::json::parse(json_of(s, "data"));
  EXPECT_EQ(json["layers"][0]["curve"][0]["difference"], 25.0);
  EXPECT_TRUE(json["layers"][0]["curve"][1]["rmse"].is_null());
  EXPECT_EQ(svg_of(s, "a < b").find("nan"), std::string::npos);
  EXPECT_PRED2(contains, svg_of(s, "a < b"), "a &lt; b");
}

TEST(SensitivityReport, MarksAnAxisThatDoesNotBeginAtZero) {
  Sensitivity s{.densities = {0.1},
                .before = {.accuracy = 0.98, .samples = 10, .classes = 2},
                .layers = {{.layer = "fc1.weight",
                            .positions = 20,
                            .live = 20,
                            .kept = {2},
                            .at = {{.accuracy = 0.9, .samples = 10, .classes = 2}}}}};
  EXPECT_PRED2(contains, svg_of(s, "data"), "the axis begins at 90");
  s.layers[0].at[0].accuracy = 0.1;
  EXPECT_EQ(svg_of(s, "data").find("the axis begins"), std::string::npos);
}

// --- trainings -------------------------------------------------------------------------------------------------------

TEST_F(SensitivityTool, ATrainingAllocatesByItAndSaysSo) {
  const std::string flags = "--data synthetic-digits --model mlp:784-16-12-10 --epochs 2 --density 0.1 ";
  train(flags + "--allocation sensitivity:2 --threads 1");
  const auto result = nlohmann::json::parse(read_file(path("run/result.json"), limit_bytes));
  EXPECT_NEAR(result["sparse"]["density"].get<double>(), 0.1, 1e-4);
  ASSERT_FALSE(result["notes"].empty());
  EXPECT_PRED2(contains, result["notes"][0].get<std::string>(), "losing at most 2 points of accuracy");
  EXPECT_PRED2(contains, read_file(path("run/config.toml"), limit_bytes), "allocation = 'sensitivity:2'");

  const Ran again = tool("train --config " + path("run/config.toml") + " --threads 3 --out " + path("again"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_PRED2(contains, again.err, "measuring sensitivity of 3 layers on ");
  EXPECT_EQ(read_file(path("again/model.safetensors"), limit_bytes),
            read_file(path("run/model.safetensors"), limit_bytes));

  // Of weights that are given, at once.
  const Ran given = tool("train " + flags + "--epochs 0 --init " + path("run") +
                         " --density 0.05 --allocation sensitivity:2 --no-dense --out " + path("given"));
  EXPECT_EQ(given.code, exit_usage) << "--epochs twice";
  const Ran once = tool("train --data synthetic-digits --init " + path("run") +
                        " --epochs 0 --density 0.05 --allocation sensitivity:2 --schedule one-shot --begin 0 --end 0 "
                        "--no-dense --out " +
                        path("once"));
  EXPECT_EQ(once.code, exit_done) << once.err;
}

TEST_F(SensitivityTool, ATrainingWhereItCannotWorkIsRefusedInOneLine) {
  const auto refused = [&](const std::string& flags, const std::string& says) {
    const Ran ran = tool("train --data synthetic-table --model tabular:8 --epochs 1 --allocation sensitivity:1 " +
                         flags + " --out " + path("none"));
    EXPECT_EQ(ran.code, exit_usage) << flags << ran.err;
    EXPECT_PRED2(contains, ran.err, says) << flags;
    EXPECT_FALSE(std::filesystem::exists(path("none")));
  };
  refused("--method snip", "of an untrained network");
  refused("--begin 0", "of an untrained network");
  refused("--method rigl", "does not prune by scores");
  refused("--method str", "does not prune by scores");
  refused("--validation 0", "expected validation samples to measure on");
  refused("--structure 2:4", "expected none or uniform");
}

// What is trained goes on from whatever is left at any moment to the same bits, counts and words.
TEST(ExperimentBySensitivity, GoesOnFromAnyMomentToTheSameBits) {
  const auto experiment = [&] {
    Experiment e = outside::experiment_outside(outside::by_criterion());
    e.epochs = 2;
    e.pruning->options.allocation = allocation_named("sensitivity:3");
    e.pruning->options.schedule = {.density = 0.2, .begin = 0.3, .end = 0.8, .interval = 10};
    return e;
  };
  Experiment whole = experiment();
  const Trained expected = train(whole);
  EXPECT_NEAR(census_of(*whole.model).density(), 0.2, 0.01);
  const testing::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "all");
  Index asked = 0;
  const std::vector<Index> moments{5, 31, 41, 42, 60, 90};
  Experiment kept = experiment();
  train(kept, {},
        {.file = folder.path() / "all" / "checkpoint",
         .stop =
             [&] {
               if (std::ranges::count(moments, ++asked))
                 std::filesystem::copy(folder.path() / "all", folder.path() / fmt::format("at-{}", asked));
               return false;
             },
         .every = 1e-9});
  for (const Index moment : moments) {
    SCOPED_TRACE(moment);
    Experiment rest = experiment();
    const Trained resumed = train(rest, {}, {.file = folder.path() / fmt::format("at-{}", moment) / "checkpoint"});
    EXPECT_EQ(outside::weights_of(*rest.model), outside::weights_of(*whole.model));
    EXPECT_EQ(resumed.train_flops.executed, expected.train_flops.executed);
    EXPECT_EQ(resumed.test.loss, expected.test.loss);
    EXPECT_EQ(resumed.notes, expected.notes);
  }
}

}  // namespace
}  // namespace espalier
