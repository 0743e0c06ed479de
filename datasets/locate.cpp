#include "espalier/datasets/locate.h"

#include <cstdlib>

#include "espalier/core/error.h"

namespace espalier {

std::vector<std::filesystem::path> data_roots(const std::string& folder) {
  if (!folder.empty()) return {folder};
  std::vector<std::filesystem::path> roots;
  const char* variable = std::getenv("ESPALIER_DATA");
  if (variable != nullptr && *variable != '\0') roots.emplace_back(variable);
  roots.emplace_back("data");
  return roots;
}

std::vector<std::filesystem::path> data_folders(const std::string& folder, const std::string& name) {
  std::vector<std::filesystem::path> folders;
  for (const std::filesystem::path& root : data_roots(folder)) {
    folders.push_back(root / name);
    folders.push_back(root);
  }
  return folders;
}

std::filesystem::path find_data(const std::string& given, const std::string& name,
                                const std::function<bool(const std::filesystem::path&)>& holds,
                                const std::string& files) {
  const std::vector<std::filesystem::path> folders = data_folders(given, name);
  for (const auto& folder : folders)
    if (holds(folder)) return folder;
  if (given.empty()) return {};
  throw FileError(fmt::format("{}: expected the files of {} in {} or {}{}{}, found none of them", given, name,
                              folders[0].string(), folders[1].string(), files.empty() ? "" : ": ", files));
}

}  // namespace espalier
