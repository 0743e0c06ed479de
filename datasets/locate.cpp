#include "espalier/datasets/locate.h"

#include <cstdlib>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {

std::filesystem::path find_data(const std::string& given, const std::string& name,
                                const std::function<bool(const std::filesystem::path&)>& holds) {
  std::vector<std::filesystem::path> folders;
  const auto add = [&](const std::filesystem::path& folder) {
    folders.push_back(folder / name);
    folders.push_back(folder);
  };
  if (!given.empty()) {
    add(given);
  } else {
    const char* variable = std::getenv("ESPALIER_DATA");
    if (variable != nullptr && *variable != '\0') add(variable);
    add("data");
  }
  for (const auto& folder : folders)
    if (holds(folder)) return folder;
  if (given.empty()) return {};
  throw FileError(fmt::format("{}: expected the files of {} in {} or {}, found none of them", given, name,
                              folders[0].string(), folders[1].string()));
}

}  // namespace espalier
