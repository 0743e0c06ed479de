#include "espalier/datasets/locate.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

// Sets $ESPALIER_DATA for one test; the test binary may have been started with a real one.
class Environment {
 public:
  explicit Environment(const std::string& value) {
    if (const char* old = std::getenv("ESPALIER_DATA")) before_ = old;
    ::setenv("ESPALIER_DATA", value.c_str(), /*overwrite=*/1);
  }
  ~Environment() {
    if (before_)
      ::setenv("ESPALIER_DATA", before_->c_str(), /*overwrite=*/1);
    else
      ::unsetenv("ESPALIER_DATA");
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::optional<std::string> before_;
};

bool holds_toy(const fs::path& folder) {
  return fs::exists(folder / "toy.bin");
}

constexpr std::uint8_t anything[] = {1};

TEST(FindData, LooksInTheNamedSubfolderBeforeTheFolderItself) {
  const testing::TemporaryFolder folder;
  folder.write("toy.bin", anything);
  EXPECT_EQ(find_data(folder.path().string(), "toy", holds_toy), folder.path());
  folder.write("toy/toy.bin", anything);
  EXPECT_EQ(find_data(folder.path().string(), "toy", holds_toy), folder.path() / "toy");
}

TEST(FindData, UsesTheEnvironmentWhenNoFlagIsGiven) {
  const testing::TemporaryFolder folder;
  folder.write("toy/toy.bin", anything);
  const Environment environment(folder.path().string());
  EXPECT_EQ(find_data("", "toy", holds_toy), folder.path() / "toy");
}

TEST(FindData, LooksNowhereElseWhenAFlagIsGivenAndListsWhereItLooked) {
  const testing::TemporaryFolder empty, full;
  full.write("toy/toy.bin", anything);
  const Environment environment(full.path().string());
  try {
    find_data(empty.path().string(), "toy", holds_toy);
    FAIL() << "what the flag names was passed over";
  } catch (const FileError& error) {
    const std::string flag = empty.path().string();
    EXPECT_EQ(error.what(),
              flag + ": expected the files of toy in " + flag + "/toy or " + flag + ", found none of them");
  }
}

TEST(FindData, ListsTheFilesIfItIsToldTheirNames) {
  try {
    find_data("/nowhere", "toy", holds_toy, "toy.bin");
    FAIL();
  } catch (const FileError& error) {
    EXPECT_STREQ(error.what(),
                 "/nowhere: expected the files of toy in /nowhere/toy or /nowhere: toy.bin, found none of them");
  }
}

TEST(FindData, ReturnsAnEmptyPathWhenNothingIsFoundAndNothingWasAskedFor) {
  const testing::TemporaryFolder empty;
  const Environment environment(empty.path().string());
  EXPECT_TRUE(find_data("", "a-data-set-that-does-not-exist", [](const fs::path&) { return false; }).empty());
}

TEST(FindData, TriesTheEnvironmentThenDataInTheCurrentFolder) {
  const Environment environment("somewhere");
  std::vector<std::string> tried;
  find_data("", "toy", [&](const fs::path& folder) {
    tried.push_back(folder.generic_string());
    return false;
  });
  EXPECT_EQ(tried, (std::vector<std::string>{"somewhere/toy", "somewhere", "data/toy", "data"}));
}

}  // namespace
}  // namespace espalier
