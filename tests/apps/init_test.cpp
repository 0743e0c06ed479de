// What is trained already: pruned as it is (--epochs 0), fine-tuned, trained on, from a run or from its file.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/trained_network.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;

// A network that keeps all of its weights, for a small table.
class Init : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string csv = "x,y,z,label\n";
    for (int r = 0; r < 300; ++r)
      csv += fmt::format("{},{},{},{}\n", r % 17, r % 5, r % 11, r % 17 + r % 5 < 10 ? "no" : "yes");
    write_file_atomically(path("rows.csv"), csv);
    const Ran ran = train("--density 1 --no-dense --epochs 8 --model tabular:16-8+norm --out " + path("trained"));
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  Ran train(const std::string& flags) const {
    return tool("train --data " + path("rows.csv") + " --batch 32 --threads 1 " + flags);
  }
  // From the weights of the run, into the folder "out".
  Ran train_from(const std::string& run, const std::string& flags) const {
    return train("--init " + path(run) + " --overwrite --out " + path("out") + " " + flags);
  }
  nlohmann::json result(const std::string& run) const {
    return nlohmann::json::parse(read_file(path(run + "/result.json"), megabyte));
  }
  std::string model(const std::string& run) const { return read_file(path(run + "/model.safetensors"), megabyte); }
  int epochs(const std::string& run) const {
    std::istringstream lines(read_file(path(run + "/metrics.jsonl"), megabyte));
    int count = 0;
    for (std::string line; std::getline(lines, line);) count += nlohmann::json::parse(line).contains("epoch");
    return count;
  }
  // Of all matrices that may be pruned; zero where a weight was.
  std::vector<Real> weights(const std::string& run) const {
    const TrainedNetwork network = open_network(path(run));
    std::vector<Real> all;
    for (Parameter* W : parameters_of(*network.model)) {
      if (!W->prunable()) continue;
      W->become(nullptr, Storage::dense);
      all.insert(all.end(), W->value().begin(), W->value().end());
    }
    return all;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Init, WithoutEpochsWhatIsTrainedIsScoredAndPrunedAndNothingElse) {
  const std::vector<Real> before = weights("trained");
  for (const std::string method : {"magnitude", "magnitude --allocation lamp", "magnitude --allocation uniform",
                                   "random", "snip", "grasp", "synflow", "taylor", "wanda", "obd"}) {
    SCOPED_TRACE(method);
    const Ran ran = train_from("trained", "--epochs 0 --density 0.4 --method " + method);
    ASSERT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_PRED2(contains, ran.out, "pruned as it was, and not trained");
    const nlohmann::json found = result("out");
    EXPECT_EQ(found["epochs"], 0);
    EXPECT_EQ(found["model"], "tabular:16-8+norm") << "the file names it";
    EXPECT_NEAR(found["sparse"]["density"].get<double>(), 0.4, 0.02);
    EXPECT_EQ(found["dense"]["test_accuracy"], result("trained")["sparse"]["test_accuracy"]) << "as it was";
    EXPECT_EQ(epochs("out"), 0);
    const std::vector<Real> after = weights("out");
    ASSERT_EQ(after.size(), before.size());
    std::size_t gone = 0;
    for (std::size_t i = 0; i < after.size(); ++i) {
      gone += after[i] == 0 && before[i] != 0;
      EXPECT_TRUE(after[i] == 0 || after[i] == before[i]) << "weight " << i;
    }
    EXPECT_GT(gone, 50u);
  }
}

TEST_F(Init, WhatIsTakenFromARunIsWhatIsTakenFromItsFile) {
  ASSERT_EQ(train_from("trained", "--epochs 0 --density 0.4").code, exit_done);
  const std::string from_run = model("out");
  ASSERT_EQ(train_from("trained/model.safetensors", "--epochs 0 --density 0.4").code, exit_done);
  EXPECT_EQ(model("out"), from_run);
  std::filesystem::create_directory(path("empty"));
  const Ran ran = train_from("empty", "--epochs 0");
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_PRED2(contains, ran.err, "found no model.safetensors in it");
}

TEST_F(Init, WithoutEpochsMethodsThatNeedTrainingAreRefusedInOneLine) {
  for (const std::string flags : {"--method rigl", "--method set", "--method static", "--method l0", "--method str",
                                  "--method movement", "--method edge-popup", "--method ac-dc", "--method lottery",
                                  "--method dns", "--control small-dense", "--schedule iterative"}) {
    const Ran ran = train_from("trained", "--density 0.4 --epochs 0 " + flags);
    EXPECT_EQ(ran.code, exit_usage) << flags << ": " << ran.err;
    EXPECT_EQ(std::ranges::count(ran.err.substr(ran.err.find("error: ")), '\n'), 1) << ran.err;
    EXPECT_FALSE(std::filesystem::exists(path("out"))) << flags;
  }
  const Ran ran = train("--epochs 0 --out " + path("out"));
  EXPECT_EQ(ran.code, exit_usage) << "nothing is trained, and nothing was";
  EXPECT_PRED2(contains, ran.err, "--init");
}

TEST_F(Init, WhatWasPrunedWithoutTrainingIsFineTunedAsAFinishedRunIs) {
  ASSERT_EQ(train_from("trained", "--epochs 0 --density 0.3 --no-dense").code, exit_done);
  const nlohmann::json pruned = result("out");
  const Ran ran = tool("train --resume " + path("out") + " --epochs 4 --rate 0.02");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(epochs("out"), 4);
  EXPECT_EQ(result("out")["sparse"]["nonzeros"], pruned["sparse"]["nonzeros"]) << "what is pruned stays so";
  EXPECT_EQ(from_toml(path("out/config.toml")).continued, std::vector<Index>{0});
  const Ran again = tool("train --config " + path("out/config.toml") + " --out " + path("again"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(model("again"), model("out"));
}

// What was pruned is zero, and zeros go first: one pruning in front of the first step finds the same weights again.
TEST_F(Init, ARunThatWasPrunedIsFineTunedWithTheWeightsThatItKept) {
  ASSERT_EQ(train_from("trained", "--epochs 0 --density 0.3 --no-dense").code, exit_done);
  std::filesystem::rename(path("out"), path("pruned"));
  const std::vector<Real> before = weights("pruned");
  const Ran ran = train_from("pruned", "--epochs 2 --density 0.3 --schedule one-shot --begin 0 --no-dense --rate 0.01");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const std::vector<Real> after = weights("out");
  ASSERT_EQ(after.size(), before.size());
  std::size_t moved = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_TRUE(before[i] != 0 || after[i] == 0) << "weight " << i;
    moved += before[i] != after[i];
  }
  EXPECT_GT(moved, 20u);
}

}  // namespace
}  // namespace espalier
