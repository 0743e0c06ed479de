// Standard output that cannot be written, in every command; what a page says.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::tool;
constexpr std::uintmax_t megabyte = 1 << 20;

// One command line whose standard output is a full disk.
Ran tool_on_a_full_disk(const std::string& line) {
  std::vector<std::string> words{"espalier"};
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  std::fflush(stdout);
  const int before = ::dup(STDOUT_FILENO), full = ::open("/dev/full", O_WRONLY);
  ::dup2(full, STDOUT_FILENO);
  ::testing::internal::CaptureStderr();
  Ran ran{.code = run_tool(static_cast<int>(argv.size()), argv.data())};
  ran.err = ::testing::internal::GetCapturedStderr();
  __fpurge(stdout);
  std::clearerr(stdout);
  std::cout.clear();  // with which CLI11 prints help
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  ::close(full);
  return ran;
}

TEST(StandardOutput, ThatCannotBeWrittenIsAFileErrorOfEveryCommand) {
  const testing::TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string(), data = (folder.path() / "rows.csv").string();
  std::string csv = "x,label\n";
  for (int r = 0; r < 60; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no" : "yes");
  write_file_atomically(data, csv);
  const std::string train =
      "train --data " + data + " --model tabular:4 --epochs 1 --density 0.5 --no-dense --overwrite --out " + out;
  ASSERT_EQ(tool(train).code, exit_done);
  for (const std::string& line :
       {std::string("--help"), std::string("--version"), std::string("train --help"), std::string("methods"),
        std::string("explain rigl"), std::string("recipes"), train, train + " --json", "predict " + out + " " + data,
        "predict " + out + " " + data + " --out " + (folder.path() / "answers.csv").string(),
        "recommend " + data + " --budget 1epochs --rungs 1",
        std::string("bench --model mlp:8-8-2 --batch 4 --lanes 1 --repetitions 1 --json")}) {
    const Ran ran = tool_on_a_full_disk(line);
    EXPECT_EQ(ran.code, exit_file) << line << ": " << ran.err;
    EXPECT_TRUE(ran.err.ends_with("error: standard output: cannot be written (disk full?)\n"))
        << line << ": " << ran.err;
  }
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
