// What a run may touch, and what it may not (experiment/run_folder.h, whose invariants are named by number).
#include "espalier/experiment/run_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
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

class Runs : public ::testing::Test {
 protected:
  void TearDown() override { interrupt_after(-1); }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string read(const std::string& name) const { return read_file(path(name), megabyte); }
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }
  std::vector<std::string> files(const std::string& name) const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path(name)))
      all.push_back(entry.path().lexically_relative(path(name)).string());
    std::ranges::sort(all);
    return all;
  }
  void SetUp() override {
    std::string csv = "x,y,label\n";
    for (int r = 0; r < 300; ++r) csv += fmt::format("{},{},{}\n", r % 17, r % 5, r % 17 < 8 ? "no" : "yes");
    put("rows.csv", csv);
  }
  // 8 steps an epoch.
  Ran train(const std::string& flags) const {
    const std::string data = flags.find("--data") == std::string::npos ? "--data " + path("rows.csv") : std::string();
    return tool("train " + data + " --batch 32 --no-dense --threads 1 " +
                (flags.find("--model") == std::string::npos ? "--model tabular:8 " : "") +
                (flags.find("--density") == std::string::npos ? "--density 0.5 " : "") +
                (flags.find("--epochs") == std::string::npos ? "--epochs 1 " : "") + flags);
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Runs, Invariant1AUsedFolderWantsToBeToldBeforeAnyWork) {
  ASSERT_EQ(train("--out " + path("run")).code, exit_done);
  const std::string model = read("run/model.safetensors"), result = read("run/result.json");
  const Ran again = train("--seed 2 --data no-such-file.csv --out " + path("run"));  // whose data would be missed
  EXPECT_EQ(again.code, exit_usage);
  EXPECT_PRED2(contains, again.err, path("run") + ": expected a folder without a run, found one (--overwrite");
  EXPECT_EQ(read("run/result.json"), result);
  EXPECT_EQ(read("run/model.safetensors"), model);
  ASSERT_EQ(train("--seed 2 --overwrite --out " + path("run")).code, exit_done);
  EXPECT_NE(read("run/model.safetensors"), model);
}

TEST_F(Runs, Invariant1AFolderThatWasNotNamedIsANewOne) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  for (const char* name :
       {"runs/rows-tabular-8-magnitude", "runs/rows-tabular-8-magnitude-2", "runs/rows-tabular-8-magnitude-3"}) {
    const Ran ran = train("");
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_PRED2(contains, ran.out, std::string("run folder: ") + name + ", after ");
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(name) / "result.json"));
  }
  std::filesystem::current_path(before);
}

TEST_F(Runs, Invariant1AnInterruptedRunIsARunToo) {
  interrupt_after(30);
  ASSERT_EQ(train("--out " + path("run")).code, exit_interrupted);
  interrupt_after(-1);
  EXPECT_EQ(train("--out " + path("run")).code, exit_usage);
  EXPECT_EQ(tool("train --resume " + path("run")).code, exit_done);
}

TEST_F(Runs, OverwritingASweepRemovesTheRunsWithinIt) {
  ASSERT_EQ(train("--density 0.5,0.2 --out " + path("run")).code, exit_done);
  put("run/density-0.5-seed-1/notes.txt", "mine");
  ASSERT_EQ(train("--overwrite --out " + path("run")).code, exit_done);
  EXPECT_EQ(files("run"), (std::vector<std::string>{"config.toml", "density-0.5-seed-1", "density-0.5-seed-1/notes.txt",
                                                    "masks.jsonl", "metrics.jsonl", "model.safetensors", "report.html",
                                                    "result.json", "sweep.json", "trained_rows.safetensors"}));
}

TEST_F(Runs, Invariant2NoFileThatNoRunHasWrittenIsTouched) {
  for (const char* name : {"model.safetensors", "result.json", "preprocessing.json", "metrics.jsonl", "masks.jsonl",
                           "report.html", "config.toml", "checkpoint-sparse", "checkpoint-dense-seed-1"}) {
    put(std::string("d/") + name, "mine");
    for (const char* flags : {"", "--overwrite ", "--rate 1e9 --overwrite "}) {
      const Ran ran = train(flags + ("--out " + path("d")));
      EXPECT_EQ(ran.code, exit_usage) << name;
      EXPECT_PRED2(contains, ran.err, name);
    }
    EXPECT_EQ(files("d"), std::vector<std::string>{name});
    EXPECT_EQ(read(std::string("d/") + name), "mine");
    std::filesystem::remove_all(path("d"));
  }
}

TEST_F(Runs, Invariant2OtherFilesStayWhereTheyAre) {
  put("d/notes.txt", "mine");
  put("d/checkpoint-best.pt", "mine");
  put("d/deep/model.safetensors", "mine");
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_EQ(train("--overwrite --out " + path("d")).code, exit_done);
    for (const char* name : {"d/notes.txt", "d/checkpoint-best.pt", "d/deep/model.safetensors"})
      EXPECT_EQ(read(name), "mine");
  }
  put("d/model.safetensors", "put there by hand");
  EXPECT_EQ(train("--overwrite --out " + path("d")).code, exit_usage) << "a run's folder, but not its model";
  EXPECT_EQ(read("d/model.safetensors"), "put there by hand");
}

TEST_F(Runs, Invariant3AnotherProcessIsRefused) {
  const auto code_in_a_child = [&] {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        RunFolder(path("run"), Begin::where_it_stopped);
      } catch (const FileError&) {
        ::_exit(exit_file);
      }
      ::_exit(exit_done);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  {
    const RunFolder mine(path("run"));
    EXPECT_EQ(code_in_a_child(), exit_file);
    const RunPlace place{.name = path("run")};
    EXPECT_EQ(new_run(place).path(), path("run-2")) << "a new run goes elsewhere";
  }
  EXPECT_EQ(code_in_a_child(), exit_done) << "it is free again";
}

TEST_F(Runs, Invariant3AnotherProcessIsRefusedBeforeItsDataAreRead) {
  const std::string no_data = "--data " + path("missing.csv");
  {
    const RunFolder of_another_process(path("run"));  // a lock is held by an open file, whichever process has it
    for (const std::string flags : {" --out ", " --overwrite --out "}) {
      const Ran ran = train(no_data + flags + path("run"));
      EXPECT_EQ(ran.code, exit_file);
      EXPECT_PRED2(contains, ran.err, "expected a folder of its own, found one that another process writes a run into");
    }
    const Ran ran = tool("train --resume " + path("run"));
    EXPECT_EQ(ran.code, exit_file);
    EXPECT_PRED2(contains, ran.err, "expected a folder of its own");
  }
  EXPECT_PRED2(contains, train(no_data + " --out " + path("run")).err, "missing.csv");
}

TEST_F(Runs, TemporaryFilesOfProcessesThatAreGoneAreRemoved) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string gone = fmt::format("run/.espalier-{}-0.tmp", child), alive = "run/.espalier-1-0.tmp",
                    other = "run/.espalier-notes.tmp";
  for (const auto& name : {gone, alive, other}) put(name, "");
  ASSERT_EQ(train("--out " + path("run")).code, exit_done);
  EXPECT_FALSE(std::filesystem::exists(path(gone)));
  EXPECT_TRUE(std::filesystem::exists(path(alive)));
  EXPECT_TRUE(std::filesystem::exists(path(other)));
}

TEST_F(Runs, Invariant4LinesOfAKilledRunThatItsCheckpointDoesNotKnowGo) {
  ASSERT_EQ(train("--epochs 3 --out " + path("whole")).code, exit_done);
  interrupt_after(60);
  ASSERT_EQ(train("--epochs 3 --out " + path("run")).code, exit_interrupted);
  interrupt_after(-1);
  std::ofstream(path("run/metrics.jsonl"), std::ios::app) << "{\"side\":\"sparse\",\"epoch\":2}\n{\"side\":\"spa";
  std::ofstream(path("run/masks.jsonl"), std::ios::app) << "{\"step\":9,\"la";
  ASSERT_EQ(tool("train --resume " + path("run")).code, exit_done);
  const auto lines = [&](const std::string& name) {
    std::istringstream text(read(name));
    std::vector<Json> all;
    for (std::string line; std::getline(text, line);) {
      all.push_back(Json::parse(line));
      all.back().erase("seconds");
    }
    return all;
  };
  EXPECT_EQ(lines("run/metrics.jsonl"), lines("whole/metrics.jsonl"));
  EXPECT_EQ(read("run/masks.jsonl"), read("whole/masks.jsonl"));
}

// Its only line is one of the training that was killed, behind those that the checkpoint of the dense twin knows of.
TEST_F(Runs, Invariant4ALaterTrainingKeepsTheLinesThatItsOwnCheckpointKnowsOf) {
  const RunFolder folder(path("run"));
  std::string of_the_first, of_the_second;
  const std::vector<PruneEvent> events{{.layer = "w", .kept = 1}};
  {
    MetricsLog log(folder, 1);
    const Observer observer = log.observer(Side::dense);
    observer.pruned(events);
    of_the_first = observer.noted();
    observer.pruned(events);
    of_the_second = observer.noted();
    observer.pruned(events);
  }
  const auto lines = [&] { return std::ranges::count(read("run/metrics.jsonl"), '\n'); };
  EXPECT_EQ(lines(), 3);
  MetricsLog log(folder, 1);
  const Observer observer = log.observer(Side::sparse);
  observer.go_on_behind(of_the_first);
  observer.go_on_behind(of_the_second);
  EXPECT_EQ(lines(), 3) << "nothing is cut yet";
  observer.pruned(events);
  EXPECT_EQ(lines(), 3);
  log.finish();
  EXPECT_EQ(lines(), 3);
}

TEST_F(Runs, ATrainingThatDivergesLeavesTheLastEpochThatEndedWell) {
  // Each step multiplies an error of the linear model's by more than 1, until no float holds it.
  std::string csv = "x,y\n";
  for (int r = 0; r < 300; ++r) csv += fmt::format("{},{}\n", r % 17, 3 * (r % 17) + r % 5);
  put("line.csv", csv);
  const Ran ran =
      train("--data " + path("line.csv") +
            " --model linear --task regression --density 1 "
            "--momentum 0 --weight-decay 0 --clip-norm 0 --rate-schedule constant --rate 1.4 --epochs 90 --out " +
            path("run"));
  ASSERT_EQ(ran.code, exit_diverged) << ran.err;
  EXPECT_PRED2(contains, ran.err, "is kept in " + path("run/model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(path("run/result.json")));
  const Ran answers = tool("predict " + path("run") + " " + path("line.csv"));
  EXPECT_NE(answers.code, exit_usage) << answers.err;
}

TEST_F(Runs, ACheckpointIsKnownByItsContents) {
  const RunFolder folder(path("run"));
  Parameter W("w", 2, 2);
  Parameter* const all[] = {&W};
  save_checkpoint(all, {}, folder.checkpoint("sparse"));
  put("run/checkpoint-of-something-else", "mine");
  EXPECT_TRUE(folder.has_checkpoint());
  folder.remove_checkpoints();
  EXPECT_FALSE(folder.has_checkpoint());
  EXPECT_EQ(files("run"), std::vector<std::string>{"checkpoint-of-something-else"});
}

}  // namespace
}  // namespace espalier
