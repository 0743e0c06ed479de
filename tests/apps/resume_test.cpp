// What a run that goes on notices: other data, another configuration.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/file_calls.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/config_changes.h"
#include "espalier/experiment/interrupt.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;

class Resume : public ::testing::Test {
 protected:
  void TearDown() override { interrupt_after(-1); }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  // last: of the labels of the last row.
  void write_rows(const std::string& last, int shift = 0) {
    std::string csv = "x,y,label\n";
    for (int r = 0; r < 300; ++r)
      csv += fmt::format("{},{},{}\n", r % 17 + shift, r % 5, r == 299 ? last : r % 17 < 8 ? "no" : "yes");
    write_file_atomically(path("live.csv"), csv);
  }
  // A run that was stopped after so many steps.
  void begin(Index steps, const std::string& flags = "") {
    interrupt_after(steps);
    const Ran ran =
        tool("train --data " + path("live.csv") + " --epochs 20 --batch 32 --model tabular:8 --no-dense --threads 1 " +
             flags + " --out " + path("run"));
    ASSERT_EQ(ran.code, exit_interrupted) << ran.err;
    interrupt_after(-1);
  }
  Ran resume() { return tool("train --resume " + path("run")); }
  void edit(const std::string& what, const std::string& into) {
    std::string text = read_file(path("run/config.toml"), megabyte);
    ASSERT_NE(text.find(what), std::string::npos) << text;
    text.replace(text.find(what), what.size(), into);
    write_file_atomically(path("run/config.toml"), text);
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Resume, GoesOnWithTheSameData) {
  write_rows("yes");
  begin(30);
  write_rows("yes");
  const Ran ran = resume();
  EXPECT_EQ(ran.code, exit_done) << ran.err;
}

TEST_F(Resume, RefusesOtherDataWhereverItWasStopped) {
  for (const Index steps : {3, 30, 120})  // in the linear baseline or in the training
    for (const bool label : {true, false}) {
      std::filesystem::remove_all(path("run"));
      write_rows("yes");
      begin(steps);
      write_rows(label ? "no" : "yes", label ? 0 : 1);
      const Ran ran = resume();
      EXPECT_EQ(ran.code, exit_file) << ran.err;
      EXPECT_PRED2(contains, ran.err,
                   ": expected the data of " + path("live.csv") + " as when this run began, found other ones");
      EXPECT_FALSE(std::filesystem::exists(path("run/result.json")));
      write_rows("yes");
      EXPECT_EQ(resume().code, exit_done) << "the old data are back";
    }
}

TEST_F(Resume, RefusesAConfigurationThatWasEdited) {
  write_rows("yes");
  begin(200);
  edit("epochs = 20", "epochs = 30");
  const Ran ran = resume();
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_EQ(ran.err, "error: " + path("run/config.toml") +
                         ": expected training.epochs = 20 as when the run began, found 30 (train --config begins "
                         "anew)\n");
  edit("epochs = 30", "epochs = 20");
  edit("threads = 1", "threads = 2");
  EXPECT_EQ(resume().code, exit_done) << "threads change no bit";
}

// Both say that the run had other epochs; its checkpoint knows better.
TEST_F(Resume, RefusesACheckpointOfAnotherConfiguration) {
  write_rows("yes");
  begin(200);
  edit("epochs = 20", "epochs = 30");
  std::string sweep = read_file(path("run/sweep.json"), megabyte);
  sweep.replace(sweep.find("epochs = 20"), 11, "epochs = 30");
  write_file_atomically(path("run/sweep.json"), sweep);
  const Ran ran = resume();
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_PRED2(contains, ran.err, "expected the configuration as when this training began, found another one");
}

TEST_F(Resume, RefusesFlagsThatItWouldIgnore) {
  write_rows("yes");
  begin(200);
  for (const char* flag : {"--density 0.5", "--data other.csv", "--threads 3", "--out elsewhere", "--overwrite",
                           "--no-dense", "--rate 0.1", "--set drop=0.3"}) {
    const Ran ran = tool("train --resume " + path("run") + " " + flag);
    EXPECT_EQ(ran.code, exit_usage) << flag << ": " << ran.err;
    EXPECT_PRED2(contains, ran.err, std::string(flag).substr(0, std::string(flag).find(' ')));
  }
  EXPECT_EQ(tool("train --checkpoint-every 0.001 --json --resume " + path("run")).code, exit_done);
}

TEST_F(Resume, TakesTheOtherCheckpointWhereOneIsDamaged) {
  write_rows("yes");
  begin(200, "--checkpoint-every 1e-9");
  const auto damage = [&](const std::string& file) {
    std::string bytes = read_file(file, megabyte);
    bytes[bytes.size() / 2] ^= 1;
    write_file_atomically(file, bytes);
  };
  const std::string files[] = {"checkpoint-sparse", "checkpoint-sparse.2"};
  for (const std::string& file : files) {
    std::filesystem::copy(path("run"), path("copy"));
    damage(path("copy/" + file));
    const Ran ran = tool("train --resume " + path("copy"));
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_PRED2(contains, ran.err, path("copy/" + file) + ": ");
    EXPECT_PRED2(contains, ran.err, "going on from " + path("copy/checkpoint-sparse"));
    std::filesystem::remove_all(path("copy"));
  }
  for (const std::string& file : files) damage(path("run/" + file));
  EXPECT_EQ(resume().code, exit_file) << "no other one is left";
}

// Renaming a file to the name of a model fails, as on a disk that has become full.
class ModelsCannotBeWritten {
 public:
  ModelsCannotBeWritten() : before_(file_calls()) { file_calls().rename = refuse_models; }
  ~ModelsCannotBeWritten() { file_calls() = before_; }

 private:
  static int refuse_models(const char* from, const char* to) {
    if (!std::string_view(to).ends_with("model.safetensors")) return ::rename(from, to);
    errno = ENOSPC;
    return -1;
  }
  FileCalls before_;
};

TEST_F(Resume, ATrainingWhoseModelCannotBeWrittenIsKeptAndNotDoneAgain) {
  write_rows("yes");
  for (const std::string flags : {"", "--members 2"}) {
    const std::string command =
        "train --data " + path("live.csv") +
        " --epochs 4 --batch 32 --model tabular:8 --density 0.5 --no-dense --threads 1 --overwrite " + flags +
        " --out ";
    ASSERT_EQ(tool(command + path("whole")).code, exit_done);
    {
      const ModelsCannotBeWritten full;
      const Ran ran = tool(command + path("run"));
      EXPECT_EQ(ran.code, exit_file) << ran.err;
      EXPECT_PRED2(contains, ran.err, path("run/model.safetensors") + ": expected to write it, but ");
      EXPECT_PRED2(contains, ran.err,
                   "; the training is done, and kept in " + path(flags.empty() ? "run/checkpoint-sparse" : "run") +
                       "; to go on: espalier train --resume " + path("run") + "\n");
      EXPECT_EQ(resume().code, exit_file) << "it is still full";
    }
    const std::string metrics = read_file(path("run/metrics.jsonl"), megabyte);
    const Ran ran = resume();
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_EQ(ran.err.find("epoch"), std::string::npos) << "nothing is trained again: " << ran.err;
    EXPECT_EQ(read_file(path("run/metrics.jsonl"), megabyte), metrics);
    EXPECT_EQ(read_file(path("run/model.safetensors"), megabyte), read_file(path("whole/model.safetensors"), megabyte));
    EXPECT_FALSE(std::filesystem::exists(path("run/checkpoint-sparse")));
  }
}

// --- trained on ------------------------------------------------------------------------------------------------------

class TrainedOn : public Resume {
 protected:
  void train(const std::string& flags) {
    write_rows("yes");
    const Ran ran =
        tool("train --data " + path("live.csv") +
             " --batch 32 --model tabular:8+norm --density 0.5 --threads 1 --out " + path("run") + " " + flags);
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  Ran train_on(const std::string& flags) { return tool("train --resume " + path("run") + " " + flags); }
  nlohmann::json result(const std::string& run) {
    return nlohmann::json::parse(read_file(path(run + "/result.json"), megabyte));
  }
  // The epochs of the pruned network, as the metrics have them.
  std::vector<int> epochs(const std::string& run) {
    std::istringstream lines(read_file(path(run + "/metrics.jsonl"), megabyte));
    std::vector<int> all;
    for (std::string line; std::getline(lines, line);)
      if (const auto entry = nlohmann::json::parse(line); entry["side"] == "sparse" && entry.contains("epoch"))
        all.push_back(entry["epoch"]);
    return all;
  }
  std::string model(const std::string& run) { return read_file(path(run + "/model.safetensors"), megabyte); }
};

TEST_F(TrainedOn, AFinishedRunGoesOnToANewTotalAndItsConfigurationRepeatsThat) {
  train("--epochs 6");
  const auto before = result("run");
  const std::string first = model("run");
  const Ran ran = train_on("--epochs 9 --rate 0.01");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(epochs("run"), (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_NE(model("run"), first);
  const auto after = result("run");
  EXPECT_EQ(after["epochs"], 9);
  EXPECT_EQ(after["sparse"]["nonzeros"], before["sparse"]["nonzeros"]) << "what is pruned stays so";
  EXPECT_EQ(after["dense"]["test_accuracy"], before["dense"]["test_accuracy"]);
  EXPECT_GT(after["sparse"]["train_flops_executed"], before["sparse"]["train_flops_executed"]);
  EXPECT_EQ(after["notes"].back(), "the dense twin was trained for 6 epochs, and measured then");
  ASSERT_EQ(train_on("--epochs 11").code, exit_done) << "at the rate of the time before";
  const RunConfig config = from_toml(path("run/config.toml"));
  EXPECT_EQ(config.continued, (std::vector<Index>{6, 9}));
  EXPECT_EQ(config.continued_rates, (std::vector<double>{0.01, 0.01}));

  const Ran again = tool("train --config " + path("run/config.toml") + " --out " + path("again"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(model("again"), model("run"));
  EXPECT_EQ(epochs("again"), epochs("run"));
  EXPECT_EQ(result("again")["sparse"]["train_flops_executed"], result("run")["sparse"]["train_flops_executed"]);
}

TEST_F(TrainedOn, MayBeInterruptedAsAnyRun) {
  train("--epochs 4 --no-dense");
  std::filesystem::copy(path("run"), path("whole"));
  ASSERT_EQ(tool("train --resume " + path("whole") + " --epochs 7 --rate 0.01").code, exit_done);
  const std::string old = model("run");
  interrupt_after(5);
  ASSERT_EQ(train_on("--epochs 7 --rate 0.01").code, exit_interrupted);
  EXPECT_EQ(model("run"), old) << "until there is a new one";
  interrupt_after(9);
  ASSERT_EQ(train_on("").code, exit_interrupted);
  interrupt_after(-1);
  EXPECT_EQ(train_on("--epochs 9").code, exit_usage) << "it is not finished";
  ASSERT_EQ(train_on("").code, exit_done);
  EXPECT_EQ(model("run"), model("whole"));
  EXPECT_EQ(epochs("run"), epochs("whole"));
}

TEST_F(TrainedOn, GoesOnAtTheLastRateUnlessTold) {
  train("--epochs 3 --no-dense --rate-schedule constant --rate 0.03");
  ASSERT_EQ(train_on("--epochs 4").code, exit_done);
  EXPECT_EQ(from_toml(path("run/config.toml")).continued_rates, std::vector<double>{0.03});
}

TEST_F(TrainedOn, RefusesWhatCannotGoOn) {
  train("--epochs 3 --no-dense");
  EXPECT_EQ(train_on("--epochs 3").code, exit_usage) << "no more than there were";
  EXPECT_EQ(train_on("--epochs 5 --rate 0").code, exit_usage);
  EXPECT_EQ(train_on("--epochs 5 --density 0.5").code, exit_usage);
  EXPECT_EQ(epochs("run").size(), 3u);
  const std::pair<const char*, const char*> others[] = {{"--seeds 2", "a single run"},
                                                        {"--members 2", "2 members"},
                                                        {"--method lottery --rounds 1", "rounds"},
                                                        {"--control shuffled-mask", "no control"},
                                                        {"--method edge-popup", "whose weights are trained"}};
  for (const auto& [flags, says] : others) {
    train(std::string("--epochs 2 --no-dense --overwrite ") + flags);
    const Ran ran = train_on("--epochs 4");
    EXPECT_EQ(ran.code, exit_usage) << flags;
    EXPECT_PRED2(contains, ran.err, says);
  }
}

TEST_F(Resume, KnowsOnlyTheDensitiesOfASweepByItsOwnFile) {
  write_rows("yes");
  begin(300, "--density 0.5,0.25 --seeds 2");
  EXPECT_EQ(resume().code, exit_done);
}

TEST(ConfigChanges, AreNamedByKeyBeTheyAddedChangedOrRemoved) {
  RunConfig before, now;
  before.loss = "huber";
  now.epochs = 7;
  now.threads = 3;
  now.table.target = "label";
  const std::vector<std::string_view> besides{"run.threads"};
  const auto changes = config_changes(to_toml(before), to_toml(now), besides);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].key, "loss.name");
  EXPECT_EQ(changes[0].now, "");
  EXPECT_EQ(changes[1].key, "table.target");
  EXPECT_EQ(changes[1].before, "");
  EXPECT_EQ(changes[2].key, "training.epochs");
  EXPECT_EQ(changes[2].before, "40");
  EXPECT_EQ(changes[2].now, "7");
  EXPECT_TRUE(config_changes(to_toml(before), to_toml(before)).empty());
}

}  // namespace
}  // namespace espalier
