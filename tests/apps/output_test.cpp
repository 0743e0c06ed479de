// What is written and said: into whichever file, in every command; what a page says.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/trained_network.h"
#include "support/damage.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;

// One command line whose standard output is this file, which is closed afterwards.
Ran tool_that_prints_to(int file, const std::string& line) {
  std::vector<std::string> words{"espalier"};
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  std::fflush(stdout);
  const int before = ::dup(STDOUT_FILENO);
  ::dup2(file, STDOUT_FILENO);
  ::testing::internal::CaptureStderr();
  Ran ran{.code = run_tool(static_cast<int>(argv.size()), argv.data())};
  ran.err = ::testing::internal::GetCapturedStderr();
  __fpurge(stdout);
  std::clearerr(stdout);
  std::cout.clear();  // with which CLI11 prints help
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  ::close(file);
  return ran;
}

Ran tool_on_a_full_disk(const std::string& line) {
  return tool_that_prints_to(::open("/dev/full", O_WRONLY), line);
}

Ran tool_into_a_closed_pipe(const std::string& line) {
  int ends[2] = {};
  EXPECT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  return tool_that_prints_to(ends[1], line);
}

// A command of each kind that prints, with a table and a run of it to print about.
class StandardOutput : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string csv = "x,label\n";
    for (int r = 0; r < 60; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no" : "yes");
    write_file_atomically(data_, csv);
    ASSERT_EQ(tool(train_).code, exit_done);
  }
  std::vector<std::string> commands() const {
    return {"--help",
            "--version",
            "train --help",
            "methods",
            "explain rigl",
            "recipes",
            "trace",
            "completion bash",
            "inspect " + run_,
            "evaluate " + run_ + " --data " + data_,
            "shrink " + run_ + " --out " + (folder_.path() / "small").string(),
            "export " + run_ + " --to csr --out " + (folder_.path() / "csr").string(),
            train_,
            train_ + " --json",
            "predict " + run_ + " " + data_,
            "predict " + run_ + " " + data_ + " --out " + (folder_.path() / "answers.csv").string(),
            "recommend " + data_ + " --budget 1epochs --rungs 1",
            "bench --model mlp:8-8-2 --batch 4 --lanes 1 --repetitions 1 --json"};
  }
  const testing::TemporaryFolder folder_;
  const std::string run_ = (folder_.path() / "run").string(), data_ = (folder_.path() / "rows.csv").string();
  const std::string train_ =
      "train --data " + data_ + " --model tabular:4 --epochs 1 --density 0.5 --no-dense --overwrite --out " + run_;
};

TEST_F(StandardOutput, ThatCannotBeWrittenIsAFileErrorOfEveryCommand) {
  for (const std::string& line : commands()) {
    const Ran ran = tool_on_a_full_disk(line);
    EXPECT_EQ(ran.code, exit_file) << line << ": " << ran.err;
    EXPECT_TRUE(ran.err.ends_with("error: standard output: cannot be written (disk full?)\n"))
        << line << ": " << ran.err;
  }
}

TEST_F(StandardOutput, ThatNothingReadsAnyMoreEndsEveryCommandWithoutAWord) {
  for (const std::string& line : commands()) {
    const Ran ran = tool_into_a_closed_pipe(line);
    EXPECT_EQ(ran.code, exit_closed_pipe) << line << ": " << ran.err;
    EXPECT_EQ(ran.err.find("error"), std::string::npos) << line << ": " << ran.err;
  }
  EXPECT_TRUE(std::filesystem::exists(run_ + "/result.json")) << "its files are whole";
}

// What a command writes into a FIFO of this folder, which is still there afterwards.
std::string received_from(const std::filesystem::path& fifo, const std::string& command) {
  std::string received;
  std::jthread reader([&] {
    const int file = ::open(fifo.c_str(), O_RDONLY);
    char buffer[4096];
    for (ssize_t got; (got = ::read(file, buffer, sizeof buffer)) > 0;) received.append(buffer, buffer + got);
    ::close(file);
  });
  const Ran ran = tool(command + " --out " + fifo.string());
  reader.join();
  EXPECT_EQ(ran.code, exit_done) << command << ": " << ran.err;
  EXPECT_EQ(ran.out.find(" bytes"), std::string::npos) << "a FIFO has no size: " << ran.out;
  EXPECT_TRUE(std::filesystem::is_fifo(fifo)) << command;
  return received;
}

TEST(OutputFiles, GoIntoAFifoAndThroughALinkFromEveryCommand) {
  const testing::TemporaryFolder folder;
  const std::string run = (folder.path() / "run").string(), data = (folder.path() / "rows.csv").string();
  const auto file = folder.path() / "file", link = folder.path() / "link", fifo = folder.path() / "fifo";
  std::string csv = "x,label\n";
  for (int r = 0; r < 60; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no" : "yes");
  write_file_atomically(data, csv);
  ASSERT_EQ(tool("train --data " + data + " --model tabular:4 --epochs 1 --density 0.5 --no-dense --out " + run).code,
            exit_done);
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& command :
       {"predict " + run + " " + data, "export " + run + " --to safetensors", "export " + run + " --to csr",
        "export " + run + " --to npz --layer fc1.weight", "export " + run + " --to mtx --layer fc1.weight"}) {
    std::filesystem::remove(link);
    std::filesystem::create_symlink(file, link);
    ASSERT_EQ(tool(command + " --out " + link.string()).code, exit_done) << command;
    EXPECT_TRUE(std::filesystem::is_symlink(link)) << command;
    EXPECT_EQ(received_from(fifo, command), read_file(file, testing::megabyte)) << command;
  }
}

TEST(Data, OfATrainingAreNoPipeForItIsReadOnlyOnce) {
  const testing::TemporaryFolder folder;
  const std::string fifo = (folder.path() / "rows.csv").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const Ran ran = tool("train --data " + fifo + " --model tabular:4");
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_PRED2(contains, ran.err, "expected a file that can be read more than once, found a pipe");
}

Ran tool_with(std::vector<std::string> words) {
  words.insert(words.begin(), "espalier");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  ::testing::internal::CaptureStderr();
  Ran ran{.code = run_tool(static_cast<int>(argv.size()), argv.data())};
  ran.err = ::testing::internal::GetCapturedStderr();
  return ran;
}

TEST(Messages, AreOneLineThatCanBeReadWhateverIsOnTheCommandLine) {
  const std::string evil = "a\x1b[31m\nb\xff", long_one(100'000, 'a');
  for (const std::string& word : {evil, long_one})
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"train", "--model", word, "--data", "synthetic-table"},
                                               {"train", "--data", word},
                                               {"train", "--recipe", word},
                                               {"train", "--resume", word},
                                               {"train", "--data", "synthetic-table", "--set", word},
                                               {"train", "--epochs", word},
                                               {"train", word},
                                               {"train", "--" + word},
                                               {"predict", word, word},
                                               {"explain", word},
                                               {word}}) {
      const Ran ran = tool_with(words);
      EXPECT_TRUE(ran.code == exit_usage || ran.code == exit_file) << words[0] << ": " << ran.code;
      EXPECT_EQ(ran.err.find('\n'), ran.err.size() - 1) << ran.err.substr(0, 3000);
      EXPECT_EQ(ran.err.find('\x1b'), std::string::npos);
      EXPECT_LT(ran.err.size(), 2100u) << words[0];
      EXPECT_TRUE(ran.err.starts_with("error: ")) << ran.err.substr(0, 100);
    }
}

TEST(Messages, RefuseNumbersAndPathsThatWouldMeanAnother) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"train", "--data", "synthetic-table", "--seed", "-1"},
                                             {"train", "--data", "synthetic-table", "--seed", "18446744073709551616"},
                                             {"train", "--data", "synthetic-table", "--seeds", "-1"},
                                             {"recommend", "synthetic-table", "--seed", "-1"},
                                             {"train", "--data", "synthetic-table", "--density", "0.5,0.2,0.5"},
                                             {"train", "--data", "synthetic-table", "--out", ""},
                                             {"train", "--resume", ""},
                                             {"train", "--config", ""}}) {
    const Ran ran = tool_with(words);
    EXPECT_EQ(ran.code, exit_usage) << fmt::format("{}", fmt::join(words, " "));
    EXPECT_PRED2(contains, ran.err, words[words.size() - 2]);
  }
}

TEST(Page, ShowsNamesOfColumnsWithoutWhatATerminalWouldObey) {
  const testing::TemporaryFolder folder;
  std::string csv = "a\x1b[31m,label\n";
  for (int r = 0; r < 60; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no\x1b[0m" : "yes");
  write_file_atomically(folder.path() / "rows.csv", csv);
  const Ran ran = tool("train --model tabular:4 --density 0.5 --epochs 1 --no-dense --data " +
                       (folder.path() / "rows.csv").string() + " --out " + (folder.path() / "run").string());
  EXPECT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos) << ran.out;
  EXPECT_EQ(ran.err.find('\x1b'), std::string::npos) << ran.err;
}

TEST(Models, AreRefusedWhicheverBitIsFlippedAndWhereverTheirFileEnds) {
  const testing::TemporaryFolder folder;
  std::string csv = "x,label\n";
  for (int r = 0; r < 60; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no" : "yes");
  write_file_atomically(folder.path() / "rows.csv", csv);
  ASSERT_EQ(tool("train --model tabular:4 --epochs 1 --density 0.5 --no-dense --data " +
                 (folder.path() / "rows.csv").string() + " --out " + (folder.path() / "run").string())
                .code,
            exit_done);
  const std::string whole = read_file(folder.path() / "run/model.safetensors", megabyte);
  const auto file = folder.path() / "damaged";
  const auto refused = [&](const std::string& damaged) {
    std::filesystem::remove(file);
    std::ofstream(file, std::ios::binary) << damaged;
    try {
      open_network(file);
    } catch (const FileError&) {  // exit code 3
      return true;
    }
    return false;
  };
  testing::expect_refused_if_damaged(whole, refused);
}

// 400 rows are 3 steps an epoch: 120 in all, of which the first 89 may be exchanged after, and 100 is the interval.
TEST(Page, SaysThatAMethodHadNoTimeToExchangeWeights) {
  const testing::TemporaryFolder folder;
  std::string csv = "x,z,label\n";
  for (int r = 0; r < 400; ++r) csv += fmt::format("{},{},{}\n", r % 10, r % 7, r % 10 < 5 ? "no" : "yes");
  write_file_atomically(folder.path() / "rows.csv", csv);
  const auto train = [&](const std::string& flags) {
    const std::string out = (folder.path() / "run").string();
    const Ran ran = tool("train --threads 1 --no-dense --overwrite --model tabular:8 --data " +
                         (folder.path() / "rows.csv").string() + " --out " + out + " " + flags);
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    return ran.out;
  };
  for (const char* method : {"rigl", "set", "snfs"}) {
    const std::string page = train(fmt::format("--method {}", method));
    EXPECT_PRED2(
        contains, page,
        fmt::format("{} exchanged no weights, and was the method static: its interval is 100 steps, and exchanges end "
                    "at 0.75 of the 120 steps\n",
                    method));
    const auto result = nlohmann::json::parse(read_file(folder.path() / "run/result.json", megabyte));
    EXPECT_EQ(result["notes"].size(), 1u);
    const std::string saved = page_of(*RunFolder(folder.path() / "run", Begin::where_it_stopped).result());
    EXPECT_TRUE(page.starts_with(saved)) << "as it was saved:\n" << saved << "\nand printed:\n" << page;
    EXPECT_EQ(train(fmt::format("--method {} --interval 10", method)).find("exchanged no"), std::string::npos);
  }
  for (const char* method : {"static", "magnitude"})
    EXPECT_EQ(train(fmt::format("--method {}", method)).find("exchanged no"), std::string::npos) << method;
}

TEST(Page, ShowsATableByClass) {
  const testing::TemporaryFolder folder;
  const Ran ran = tool("train --data synthetic-digits --model mlp:784-16-10 --epochs 1 --no-dense --out " +
                       (folder.path() / "run").string());
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_PRED2(contains, ran.out,
               "by class               rows  precision    recall        F1   taken for:      0      1");
  const auto result = nlohmann::json::parse(read_file(folder.path() / "run/result.json", megabyte));
  Index rows = 0, right = 0;
  for (const auto& [klass, answers] : result["confusion"].items())
    for (const auto& [answer, count] : answers.items()) {
      rows += count.get<Index>();
      right += klass == answer ? count.get<Index>() : 0;
    }
  EXPECT_EQ(rows, 2000);
  EXPECT_DOUBLE_EQ(static_cast<double>(right) / 2000, result["sparse"]["test_accuracy"].get<double>());
}

}  // namespace
}  // namespace espalier
