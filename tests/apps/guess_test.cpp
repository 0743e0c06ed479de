// A command line that guesses: what is mistyped is answered with what was meant.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "apps/tool/colour.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/layers/models.h"
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

// The first words of the lines that follow a heading of `espalier --help`, or flags of a command's.
Words words_of_help(const std::string& command, bool flags) {
  const Ran help = tool(command + " --help");
  Words words;
  std::istringstream lines(help.out);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  ")) continue;
    std::istringstream stream(line);
    std::string word;
    stream >> word;
    if (word.starts_with("-h,")) continue;
    if (flags ? word.starts_with("--") : line.size() > 2 && line[2] != ' ' && word != "espalier" && word[0] != '-')
      words.push_back(word);
  }
  return words;
}

// One edit of the letters from `first` on.
std::string edited(std::string word, std::size_t first, std::size_t count, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::size_t at = first + below(count);
  const char letter = static_cast<char>('a' + below(26));
  switch (random() % 4) {
    case 0:
      word.insert(at, 1, letter);
      break;
    case 1:
      word.erase(at, 1);
      break;
    case 2:
      word[at] = letter;
      break;
    default:
      if (at + 1 < first + count) std::swap(word[at], word[at + 1]);
  }
  return word;
}

// Names of one kind, the letters of each that may be edited, and the command line that has the edited one.
struct Kind {
  std::string what;
  Words names;
  std::string before, behind;
  bool dashes = false;
};

std::size_t letters_of(const Kind& kind, const std::string& name) {
  const std::size_t colon = name.find(':');
  return (colon == std::string::npos ? name.size() : colon) - (kind.dashes ? 2 : 0);
}

TEST(Guess, FindsTheNameThatWasMeantInNearlyAllOf200SingleEdits) {
  const testing::TemporaryFolder folder;
  const std::string table = (folder.path() / "people.csv").string();
  std::string csv = "education,hours_per_week,city,birthday,workclass,income\n";
  for (int r = 0; r < 40; ++r) csv += fmt::format("{},{},{},{},{},{}\n", r, r % 7, r % 3, r % 5, r % 11, r % 2);
  write_file_atomically(table, csv);
  Words models_by_name{"tabular:256-256", "mlp:784-100-10", "tabular-resnet:128x3"};
  for (const ModelFamily& family : models().entries())
    if (!family.name.ends_with(':')) models_by_name.push_back(family.name);
  const std::vector<Kind> kinds{
      {"command", words_of_help("", false), "", ""},
      {"flag", words_of_help("train", true), "train ", " 1", true},
      {"method", methods().all_names(), "train --data synthetic-digits --epochs 1 --method ", ""},
      {"model", models_by_name, "train --data synthetic-digits --epochs 1 --model ", ""},
      {"column",
       {"education", "hours_per_week", "city", "birthday", "workclass"},
       "train --data " + table + " --target ",
       ""}};
  std::mt19937 random(18);
  std::size_t right = 0, asked = 0;
  for (std::size_t k = 0; asked < 200; k = (k + 1) % kinds.size()) {
    const Kind& kind = kinds[k];
    ASSERT_FALSE(kind.names.empty()) << kind.what;
    const std::string& name = kind.names[random() % kind.names.size()];
    if (letters_of(kind, name) < 4) continue;
    const std::string typed = edited(name, kind.dashes ? 2 : 0, letters_of(kind, name), random);
    if (std::ranges::count(kind.names, typed) > 0) continue;  // another name, or the same
    ++asked;
    const Ran ran = tool(kind.before + typed + kind.behind);
    EXPECT_EQ(ran.code, exit_usage) << kind.before << typed << ": " << ran.err;
    const std::size_t guess = ran.err.find("; did you mean ");
    const bool found = guess != std::string::npos && contains(ran.err.substr(guess), name);
    right += found;
    if (!found) std::cout << kind.what << " " << name << ", typed as " << typed << ": " << ran.err.substr(0, 200);
  }
  std::cout << right << " of " << asked << " names were guessed\n";
  EXPECT_GE(static_cast<double>(right), 0.95 * static_cast<double>(asked));
}

TEST(Guess, IsNotMadeWhereNothingIsNear) {
  for (const char* line : {"psychic", "train --zzzzzz", "train --method psychic", "train --model qqqq"})
    EXPECT_EQ(tool(line).err.find("did you mean"), std::string::npos) << line;
}

TEST(Guess, NothingThatWasTypedReachesTheTerminalRaw) {
  std::string word = "\033[31mtrain";
  std::vector<char*> argv{const_cast<char*>("espalier"), word.data()};
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_tool(2, argv.data()), exit_usage);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.find('\033'), std::string::npos) << said;
  EXPECT_PRED2(contains, said, "\\x1b[31mtrain");
}

// A word that no command knows is the first that is complained of: so all before it was understood.
TEST(Help, HasExamplesWhoseNamesAndFlagsAreKnown) {
  std::size_t examples = 0;
  Words commands = words_of_help("", false);
  commands.insert(commands.begin(), "");
  for (const std::string& command : commands) {
    std::istringstream help(tool(command + " --help").out);
    for (std::string line; std::getline(help, line);) {
      if (!line.starts_with("  espalier ") || contains(line, "--help")) continue;
      ++examples;
      line = line.substr(11);
      if (const std::size_t comment = std::min(line.find("   "), line.find('#')); comment != std::string::npos)
        line.resize(comment);
      EXPECT_PRED2(contains, tool(line + " --zzzz").err, "got \"--zzzz\"") << line;
    }
  }
  EXPECT_GE(examples, 15u);
}

TEST(Help, OfTrainHasGroupsAndNoLineThatRunsOver) {
  const std::string help = tool("train --help").out;
  for (const char* group : {"Where to begin:", "Data:", "Data: tables:", "Model:", "Pruning: how, and how much:",
                            "Pruning: when:", "Training:", "Run:", "Output:", "Examples:"})
    EXPECT_PRED2(contains, help, std::string("\n") + group + "\n");
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

TEST(Colours, AreNeverWrittenWhereThereIsNoTerminal) {
  EXPECT_FALSE(shows_colours(stdout)) << "captured, or a log";
  const std::string page =
      "train step        1 ms     2 ms   2.0x slower\nfile   3   3.7x smaller\naccuracy  97   -0.45 points\n";
  EXPECT_EQ(in_colours(page, false), page);
  EXPECT_EQ(in_colours(page, true),
            "train step        1 ms     2 ms   \033[33m2.0x slower\033[0m\nfile   3   \033[32m3.7x smaller\033[0m\n"
            "accuracy  97   \033[33m-0.45 points\033[0m\n");
  EXPECT_EQ(error_in_colours("error: no", true), "\033[1;31merror:\033[0m no");
  EXPECT_EQ(error_in_colours("error: no", false), "error: no");
}

}  // namespace
}  // namespace espalier
