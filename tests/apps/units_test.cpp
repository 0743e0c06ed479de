// espalier train with a structure of whole units: what is trained, kept and said.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "espalier/core/error.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/interrupt.h"
#include "espalier/experiment/trained_network.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"
#include "support/training.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::bits_of;
using testing::contains;
using testing::Ran;
using testing::tool;

class Units : public ::testing::Test {
 protected:
  void TearDown() override { interrupt_after(-1); }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  Ran train(const std::string& name, const std::string& flags) const {
    const char* const model = contains(flags, "--model ") ? "" : " --model mlp:784-24-16-10";
    return tool(fmt::format("train --data synthetic-digits{} --no-dense --threads 1 --epochs 3 --structure {} --out {}",
                            model, flags, path(name)));
  }
  json result_of(const std::string& name) const { return json::parse(std::ifstream(path(name + "/result.json"))); }
  std::vector<std::vector<Real>> bits(const std::string& name) const {
    const TrainedNetwork network = open_network(path(name));
    std::vector<std::vector<Real>> all = bits_of(parameters_of(*network.model));
    for (const NamedNumbers& state : state_of(*network.model))
      all.emplace_back(state.numbers.begin(), state.numbers.end());
    return all;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Units, LeaveASmallerDenseModelThatGivesTheMeasuredAccuracy) {
  const Ran ran = train("run", "neurons --density 0.5 --interval 10");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_PRED2(contains, ran.out, "left are 20 of 40 units: fc1 ");
  const json sparse = result_of("run")["sparse"];
  EXPECT_EQ(sparse["units"]["before"], 40);
  EXPECT_EQ(sparse["units"]["kept"], 20);
  EXPECT_GE(sparse["removed_units"], 20);
  EXPECT_EQ(sparse["parameters"], 784 * 24 + 24 + 24 * 16 + 16 + 16 * 10 + 10);
  const TrainedNetwork network = open_network(path("run"));
  const Census census = census_of(*network.model);
  EXPECT_EQ(sparse["nonzeros"], census.parameters());
  EXPECT_EQ(census.live, census.positions) << "what is left is dense";
  EXPECT_LT(census.parameters(), sparse["parameters"].get<Index>());
  EXPECT_NEAR(sparse["density"].get<double>(), static_cast<double>(census.positions) / (784 * 24 + 24 * 16 + 16 * 10),
              1e-9);
  EXPECT_LE(sparse["forward_flops"].get<double>(), 2.0 * static_cast<double>(census.parameters()));
  EXPECT_LT(std::filesystem::file_size(path("run/model.safetensors")), 4u * 784 * 24);

  const Ran again = tool("evaluate " + path("run") + " --data synthetic-digits --json");
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(json::parse(again.out)["test_accuracy"], sparse["test_accuracy"]);
  EXPECT_EQ(tool("inspect " + path("run")).code, exit_done);
  EXPECT_EQ(tool("report " + path("run")).code, exit_done);
}

TEST_F(Units, AreDrawnWhereTheyWereAndCountedInEveryLine) {
  ASSERT_EQ(train("run", "neurons --density 0.25 --interval 20").code, exit_done);
  std::ifstream masks(path("run/masks.jsonl")), metrics(path("run/metrics.jsonl"));
  int frames = 0, prunings = 0;
  for (std::string line; std::getline(masks, line); ++frames) {
    const json layers = json::parse(line)["layers"];
    EXPECT_EQ(layers[0]["rows"], 24);
    EXPECT_EQ(layers[1]["cols"], 24);
  }
  double density = 1;
  json last;
  for (std::string line; std::getline(metrics, line);) {
    const json row = json::parse(line);
    if (!row.contains("pruned_at_step")) continue;
    ++prunings;
    EXPECT_LE(row["density"], density);
    density = row["density"];
    last = row["layers"];
  }
  EXPECT_GT(frames, 3);
  EXPECT_GE(prunings, frames);
  EXPECT_EQ(last[0]["outputs"].get<Index>() + last[1]["outputs"].get<Index>(), 10);
  EXPECT_EQ(last[0]["outputs"], last[1]["inputs"]);
  EXPECT_DOUBLE_EQ(density, result_of("run")["sparse"]["density"]);
}

// A checkpoint between two prunings has another shape than the network at first and in the end.
TEST_F(Units, GoOnFromAnyCheckpointToTheSameBits) {
  struct Case {
    std::string flags;
    std::vector<Index> stops;
  };
  for (const Case& c :
       {Case{"neurons --density 0.25 --interval 15 --optimizer adam --rate 0.002", {75, 110, 150}},
        Case{"units --method group-lasso --density 0.25 --interval 15", {100}},
        Case{"units --method slimming --density 0.5 --model tabular:24-16+norm", {60, 200}},
        Case{"neurons --density 0.3 --schedule iterative --rounds 3 --rewind rate", {100, 300, 700}},
        Case{"neurons --density 0.3 --interval 15 --patience 1 --criterion taylor --end 0.4", {80, 130}}}) {
    SCOPED_TRACE(c.flags);
    const Ran whole = train("whole", c.flags + " --overwrite");
    ASSERT_EQ(whole.code, exit_done) << whole.err;
    for (const Index stop : c.stops) {
      interrupt_after(stop);
      const Ran part = train("part", c.flags + " --overwrite");
      interrupt_after(-1);
      ASSERT_EQ(part.code, exit_interrupted) << part.err;
      const Ran rest = tool("train --resume " + path("part"));
      ASSERT_EQ(rest.code, exit_done) << rest.err;
      EXPECT_EQ(bits("part"), bits("whole")) << stop;
      json a = result_of("part")["sparse"], b = result_of("whole")["sparse"];
      for (const char* key : {"test_accuracy", "units", "nonzeros", "train_flops_executed", "removed_units"})
        EXPECT_EQ(a[key], b[key]) << key;
    }
  }
}

TEST_F(Units, TakePartInSweepsAveragesAndLaterTraining) {
  const Ran sweep = train("sweep", "neurons --density 0.5,0.25 --seeds 2 --interval 20");
  ASSERT_EQ(sweep.code, exit_done) << sweep.err;
  EXPECT_EQ(result_of("sweep/magnitude-0.25-neurons-2")["sparse"]["units"]["kept"], 10);
  ASSERT_EQ(train("average", "neurons --density 0.5 --members 2 --interval 20").code, exit_done);
  EXPECT_EQ(result_of("average")["sparse"]["units"]["before"], 80);
  EXPECT_EQ(result_of("average")["sparse"]["units"]["kept"], 40);
  const Ran evaluated = tool("evaluate " + path("average") + " --data synthetic-digits --json");
  ASSERT_EQ(evaluated.code, exit_done) << evaluated.err;
  EXPECT_EQ(json::parse(evaluated.out)["test_accuracy"], result_of("average")["sparse"]["test_accuracy"]);

  ASSERT_EQ(train("run", "neurons --density 0.25 --interval 20").code, exit_done);
  const Ran later = tool("train --resume " + path("run") + " --epochs 4");
  ASSERT_EQ(later.code, exit_done) << later.err;
  EXPECT_EQ(result_of("run")["epochs"], 4);
  EXPECT_EQ(result_of("run")["sparse"]["units"]["kept"], 10);
}

TEST_F(Units, MayGoWithoutTraining) {
  ASSERT_EQ(tool("train --data synthetic-digits --model mlp:784-24-16-10 --no-dense --epochs 2 --density 1 --out " +
                 path("dense"))
                .code,
            exit_done);
  const Ran ran = tool("train --init " + path("dense") +
                       " --data synthetic-digits --epochs 0 --structure neurons --schedule one-shot --begin 0 "
                       "--density 0.5 --no-dense --out " +
                       path("pruned"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(result_of("pruned")["sparse"]["units"]["kept"], 20);
  const Ran needs = tool("train --init " + path("dense") +
                         " --data synthetic-digits --epochs 0 --method group-lasso --no-dense --out " + path("none"));
  EXPECT_EQ(needs.code, exit_usage);
  EXPECT_PRED2(contains, needs.err, "[--epochs] expected at least 1 with group-lasso");
}

TEST_F(Units, TheirMethodsSayWhichUnitsGo) {
  const Ran ran = tool(
      "train --data synthetic-digits --model mlp:784-24-16-10 --method neuron-magnitude --no-dense "
      "--epochs 1 --interval 5 --out " +
      path("run"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_PRED2(contains, ran.err, "neuron-magnitude takes out whole units of all kinds");
  EXPECT_EQ(from_toml(path("run/config.toml")).structure, "units");
  EXPECT_EQ(from_toml(path("run/config.toml")).schedule.density, 0.3);
  EXPECT_EQ(result_of("run")["sparse"]["units"]["kept"], 12);
}

TEST_F(Units, SayInOneLineWhatCannotBe) {
  struct Bad {
    std::string flags, says;
  };
  for (const Bad& bad :
       {Bad{"neurons --protect fc3", "[--protect] expected "}, Bad{"neurons --protect fc3", "did you mean fc1 or fc2?"},
        Bad{"neuron", "did you mean neurons?"}, Bad{"neurons --density 0.02", "a layer would be cut"},
        Bad{"neurons --allocation uniform --density 0.02", "24 neurons of fc1 to stay, got none"},
        Bad{"neurons --allocation erk", "[--allocation] expected global or uniform with a structure of neurons"},
        Bad{"neurons --control reinit", "[--control] expected none with a structure of neurons"},
        Bad{"neurons --schedule iterative --rewind init", "[--rewind] expected none or rate"},
        Bad{"neurons --method lottery", "[--structure] expected a method that takes out whole units"},
        Bad{"heads", "[--structure] expected a network with heads that may go, got mlp:784-24-16-10"},
        Bad{"units --method slimming", "[slimming] expected a network with units that may go and have a batch norm"},
        Bad{"neurons --criterion norm-scale", "[norm-scale] fc1: expected a normalisation behind it"},
        Bad{"neurons --criterion l3", "did you mean l1 or l2?"},
        Bad{"elements --criterion l1", "[--criterion] expected none with a structure of elements"},
        Bad{"elements --round-to 8", "[--round-to] expected none with a structure of elements"},
        Bad{"elements --method fpgm", "[--structure] expected neurons, channels, heads or units, for fpgm"},
        Bad{"neurons --minimum 0", "[--minimum] expected at least 1, got 0"}}) {
    const Ran ran = train("none", bad.flags);
    EXPECT_EQ(ran.code, exit_usage) << bad.flags << ": " << ran.err;
    EXPECT_PRED2(contains, ran.err, bad.says) << bad.flags;
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
    EXPECT_FALSE(std::filesystem::exists(path("none")));
  }
}

}  // namespace
}  // namespace espalier
