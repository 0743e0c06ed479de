// Flags about what a table's file is written in: they reach the reader, config.toml and the notes.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "support/table.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::table_of;
using testing::tool;

using testing::megabyte;

class TableFlags : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    return folder_.write(name, std::vector<std::uint8_t>(text.begin(), text.end())).string();
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  std::string train(const std::string& file) {
    return "train --no-dense --epochs 1 --batch 32 --interval 1 --threads 2 --model tabular:8 --data " + file +
           " --out ";
  }
  testing::TemporaryFolder folder_;
};

TEST(NamesIn, AreApartByCommasUnlessTheyAreQuoted) {
  EXPECT_EQ(names_in({"a,b", "c"}), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(names_in({"\"Temp, C\",x", "\"say \"\"hi\"\"\""}),
            (std::vector<std::string>{"Temp, C", "x", "say \"hi\""}));
  EXPECT_EQ(names_in({"-999"}), (std::vector<std::string>{"-999"}));
}

TEST(NotesInFlags, NameTheFlagsOfTheCommand) {
  CLI::App app;
  std::string text;
  app.add_option("--use", text);
  app.add_option("--skip-bad-rows", text);
  EXPECT_EQ(in_flags("ignored (it counts the rows): id [use id]", app), "ignored (it counts the rows): id (--use id)");
  EXPECT_EQ(in_flags("so [use Unnamed: 0; skip_bad_rows 3]", app), "so (--use 'Unnamed: 0', --skip-bad-rows 3)");
  EXPECT_EQ(in_flags("so [use it's]", app), "so (--use 'it'\\''s')");
  for (const char* plain : {"a note", "a note [of another kind]", "[use", "", "odd ]", "x [use; other]"})
    EXPECT_EQ(in_flags(plain, app), plain);
}

// Each flag says what the file is; without it something else is guessed.
TEST_F(TableFlags, SayWhatTheFileIsWrittenIn) {
  const std::string file = write("rows.csv", table_of("", 60, [](int r) {
                                               return fmt::format("{},{};{};{}", r * 7 % 50, r % 10, r % 7, r % 2);
                                             }) + "1,1;2\n");
  const std::string flags = " --header no --delimiter semicolon --decimal comma --charset utf-8 --skip-bad-rows 1";
  const Ran ran = tool(train(file) + path("run") + flags);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_PRED2(
      contains, ran.err,
      "read with semicolons between fields, no names (columns are called c1, c2, ...), decimal commas, UTF-8\n");
  EXPECT_PRED2(contains, ran.err, "skipped 1 rows of another number of fields, the first in line 61");
  EXPECT_PRED2(contains, ran.err,
               "target c3, the last column: classes, for its 2 different whole numbers are few (--target, --task "
               "regression)");
  const std::string config = read_file(path("run") + "/config.toml", megabyte);
  for (const char* line :
       {"header = 'no'", "delimiter = 'semicolon'", "decimal = 'comma'", "charset = 'utf-8'", "skip_bad_rows = 1"})
    EXPECT_PRED2(contains, config, line);
  const Ran again = tool("train --config " + path("run") + "/config.toml --out " + path("again"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(read_file(path("run") + "/model.safetensors", megabyte),
            read_file(path("again") + "/model.safetensors", megabyte));
}

TEST_F(TableFlags, ThatAreNotUsedLeaveNoTraceInConfigToml) {
  const std::string file =
      write("rows.csv", table_of("x,z,y", 60, [](int r) { return fmt::format("{},{},{}", r * 7 % 50, r % 7, r % 2); }));
  ASSERT_EQ(tool(train(file) + path("run")).code, exit_done);
  const std::string config = read_file(path("run") + "/config.toml", megabyte);
  for (const char* key : {"header", "delimiter", "decimal", "charset", "skip_bad_rows", "use", "missing"})
    EXPECT_FALSE(contains(config, std::string("\n") + key + " =")) << key;
}

TEST_F(TableFlags, MisuseIsNamedByItsFlag) {
  const std::string file = write("rows.csv", "x,y\n1,2\n");
  struct Bad {
    const char *flags, *message;
  };
  for (const Bad& bad :
       {Bad{" --header perhaps", "[--header] expected one of auto, yes, no, got \"perhaps\""},
        Bad{" --delimiter ab", "[--delimiter] expected"}, Bad{" --decimal dot", "[--decimal] expected"},
        Bad{" --charset ebcdic", "[--charset] expected"},
        Bad{" --skip-bad-rows -1", "[--skip-bad-rows] expected at least 0 rows, got -1"},
        Bad{" --use z", "[--use] "}}) {
    const Ran ran = tool(train(file) + path("run") + bad.flags);
    EXPECT_EQ(ran.code, exit_usage) << bad.flags << ran.err;
    EXPECT_PRED2(contains, ran.err, bad.message);
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
  const std::string config = write("config.toml", "[table]\nheader = 'perhaps'\n");
  const Ran ran = tool("train --config " + config + " --data " + file);
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_PRED2(contains, ran.err, "config.toml: line 2: ");
}

}  // namespace
}  // namespace espalier
