// The Tab key: what the parser offers, and what a shell makes of it.
#include "apps/tool/completion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/pruning/method.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::tool;
using Words = std::vector<std::string>;

// What is offered behind a line as it was typed.
Words offered(const std::string& line) {
  ::setenv("ESPALIER_COMPLETE", line.c_str(), 1);
  const Ran ran = tool("completion words");
  ::unsetenv("ESPALIER_COMPLETE");
  EXPECT_EQ(ran.code, exit_done) << ran.err;
  Words words;
  std::istringstream lines(ran.out);
  for (std::string word; std::getline(lines, word);) words.push_back(word);
  return words;
}
bool offers(const Words& words, const std::string& word) {
  return std::ranges::count(words, word) == 1;
}

TEST(Completion, OffersCommandsFlagsAndNames) {
  EXPECT_EQ(offered("espalier tr"), (Words{"train", "trace"}));
  EXPECT_PRED2(offers, offered("espalier "), "bench");
  EXPECT_EQ(offered("espalier bench k"), Words{"kernels"});
  EXPECT_EQ(offered("espalier train --meth"), Words{"--method"});
  EXPECT_EQ(offered("espalier train --method "), methods().all_names());
  EXPECT_EQ(offered("espalier train --epochs 3 --method rig"), Words{"rigl"});
  EXPECT_EQ(offered("espalier explain magn"), Words{"magnitude"});
  EXPECT_PRED2(offers, offered("espalier train --model "), "mlp:");
  EXPECT_PRED2(offers, offered("espalier train --data "), "mnist");
  EXPECT_EQ(offered("espalier completion "), (Words{"bash", "zsh"}));
}

TEST(Completion, LeavesFilesToTheShell) {
  for (const char* line : {"espalier train --out ", "espalier predict ", "espalier train --data peo",
                           "espalier train x ", "espalier train --epochs "})
    EXPECT_EQ(offered(line), Words()) << line;
}

// "expected a, b or c, got": the words that the library says it knows are those that are offered, and the other way
// round, so that neither can go stale.
TEST(Completion, OffersTheWordsThatTheLibraryKnows) {
  for (const char* flag : {"--method", "--optimizer", "--schedule", "--control", "--rate-schedule", "--augment",
                           "--task", "--class-weights", "--scaling", "--encoding", "--impute", "--header",
                           "--delimiter", "--decimal", "--charset", "--criterion"}) {
    const Ran ran = tool(std::string("train --data synthetic-table --model linear --epochs 1 ") + flag + " zzzz");
    EXPECT_EQ(ran.code, exit_usage) << flag;
    const std::size_t from = ran.err.find("expected "), to = ran.err.find(", got");
    ASSERT_NE(to, std::string::npos) << ran.err;
    std::string known = ran.err.substr(from, to - from) + ",";
    for (const std::string& separator : {std::string(" or "), std::string(", ")})
      for (std::size_t at; (at = known.find(separator)) != std::string::npos;) known.replace(at, separator.size(), ",");
    for (const char* opening : {"expected one of ", "expected "})
      if (known.starts_with(opening)) known = "," + known.substr(std::string(opening).size());
    const Words words = values_of(flag);
    EXPECT_FALSE(words.empty()) << flag;
    for (const std::string& word : words) EXPECT_PRED2(contains, known, "," + word + ",") << flag;
    if (std::string(flag) == "--scaling") continue;  // which also knows a form with a number
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(known, ',')), words.size() + 1) << flag << ": " << known;
  }
}

std::string output_of(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  std::string text;
  for (int c; pipe && (c = std::fgetc(pipe.get())) != EOF;) text += static_cast<char>(c);
  return text;
}

// In the place of the program stands a script that has been given the answers: this test is about bash.
TEST(Completion, IsWhatBashReplacesTheLastWordBy) {
  if (std::system("bash -c true") != 0) GTEST_SKIP() << "there is no bash";
  const testing::TemporaryFolder folder;
  const auto path = [&](const char* name) { return (folder.path() / name).string(); };
  write_file_atomically(path("complete.bash"), tool("completion bash").out);
  const auto replies = [&](const std::string& line, const std::string& last, const Words& answers) {
    std::string script = "#!/bin/sh\n[ \"$ESPALIER_COMPLETE\" = '" + line + "' ] || exit 1\n";
    for (const std::string& answer : answers) script += "echo '" + answer + "'\n";
    write_file_atomically(path("espalier"), script);
    std::filesystem::permissions(path("espalier"), std::filesystem::perms::owner_all);
    write_file_atomically(path("ask.bash"), "source " + path("complete.bash") + "\ncomplete -p espalier\nCOMP_LINE='" +
                                                line + "' COMP_POINT=" + std::to_string(line.size()) + " COMP_WORDS=(" +
                                                path("espalier") + " '" + last +
                                                "') COMP_CWORD=1\n_espalier; printf '<%s>' \"${COMPREPLY[@]}\"\n");
    return output_of("bash " + path("ask.bash"));
  };
  EXPECT_PRED2(contains, replies("espalier tr", "tr", offered("espalier tr")), "-F _espalier espalier\n<train><trace>");
  EXPECT_PRED2(contains, replies("espalier train --data idx:x", "x", {"idx:xy"}), "\n<xy>") << "bash cuts at the colon";
  EXPECT_PRED2(contains, replies("espalier predict ", "", {}), "\n") << "files are bash's own";
}

}  // namespace
}  // namespace espalier
