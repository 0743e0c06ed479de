// The order of the folders is strict: core <- layers, datasets <- optim <- pruning <- experiment <- apps. An
// include against that order is named here by file and line.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace espalier {
namespace {

using Folders = std::set<std::string>;

const Folders below_apps{"core", "layers", "datasets", "optim", "pruning", "experiment"};
const Folders everything{"core", "layers", "datasets", "optim", "pruning", "experiment", "apps"};
const std::map<std::string, Folders> may_include{{"core", {"core"}},
                                                 {"layers", {"core", "layers"}},
                                                 {"datasets", {"core", "datasets"}},
                                                 {"optim", {"core", "layers", "datasets", "optim"}},
                                                 {"pruning", {"core", "layers", "datasets", "optim", "pruning"}},
                                                 {"experiment", below_apps},
                                                 {"apps", everything}};

// The folder that `#include "espalier/folder/file.h"` or `#include "apps/..."` names; empty for any other line.
std::string included_folder(const std::string& line) {
  std::istringstream words(line);
  char hash = 0, opening = 0;
  std::string include, folder;
  words >> hash >> std::ws;
  std::getline(words, include, 'e');  // no space need follow the word
  words >> opening;
  std::getline(words, folder, '/');
  if (folder == "espalier") std::getline(words, folder, '/');
  if (hash != '#' || include != "includ" || (opening != '"' && opening != '<')) return {};
  return may_include.contains(folder) ? folder : std::string();
}

bool is_source(const std::filesystem::path& path) {
  return path.extension() == ".h" || path.extension() == ".cpp";
}

TEST(Layering, TheScannerSeesOurIncludesAndNoOthers) {
  EXPECT_EQ(included_folder("#include \"espalier/core/tape.h\""), "core");
  EXPECT_EQ(included_folder("  # include <espalier/pruning/pruner.h>  // why"), "pruning");
  EXPECT_EQ(included_folder("#include \"apps/tool/train.h\""), "apps");
  EXPECT_EQ(included_folder("#include <hwy/highway.h>"), "");
  EXPECT_EQ(included_folder("#include <vector>"), "");
  EXPECT_EQ(included_folder("// #include \"espalier/core/tape.h\""), "");
}

TEST(Layering, EveryFolderIncludesOnlyItselfAndItsPredecessors) {
  int includes = 0;
  for (const auto& [folder, allowed] : may_include) {
    const std::filesystem::path root =
        std::filesystem::path(ESPALIER_SOURCE_DIR) / (folder == "experiment" ? "apps/experiment" : folder);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (!is_source(entry.path())) continue;
      std::ifstream file(entry.path());
      std::string line;
      for (int number = 1; std::getline(file, line); ++number) {
        const std::string included = included_folder(line);
        if (included.empty()) continue;
        ++includes;
        EXPECT_TRUE(allowed.contains(included)) << entry.path().string() << ":" << number << ": " << line;
      }
    }
  }
  EXPECT_GT(includes, 50) << "looked for sources in " << ESPALIER_SOURCE_DIR;
}

}  // namespace
}  // namespace espalier
