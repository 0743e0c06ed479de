// What a run that goes on notices: other data, another configuration.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/config_changes.h"
#include "espalier/experiment/interrupt.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::tool;
constexpr std::uintmax_t megabyte = 1 << 20;

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

TEST_F(Resume, GoesOnFromACheckpointFromBeforeItKnewItsData) {
  write_rows("yes");
  begin(120);
  write_file_atomically(path("run/sweep.json"), R"({"densities":[0.1],"seeds":1})");
  int checkpoints = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path("run"))) {
    if (!entry.path().filename().string().starts_with("checkpoint-")) continue;
    SafeTensors file = load_safetensors(entry.path());
    auto progress = nlohmann::json::parse(file.metadata.at("progress"));
    for (const char* key : {"data", "confusion", "notes"}) progress.erase(key);
    file.metadata["progress"] = progress.dump();
    save_safetensors(file, entry.path());
    ++checkpoints;
  }
  EXPECT_EQ(checkpoints, 1);
  write_rows("no");
  EXPECT_EQ(resume().code, exit_done);
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
