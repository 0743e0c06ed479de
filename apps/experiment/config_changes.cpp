#include "espalier/experiment/config_changes.h"

#include <algorithm>
#include <map>
#include <sstream>

namespace espalier {
namespace {

// "training.epochs" -> "40". Sections and keys of config.toml are a line each.
std::map<std::string, std::string> entries_of(const std::string& toml) {
  std::map<std::string, std::string> entries;
  std::istringstream lines(toml);
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find(" = ");
    if (line.starts_with('['))
      section = line.substr(1, line.find(']') - 1);
    else if (!line.starts_with('#') && equals != std::string::npos)
      entries[section + "." + line.substr(0, equals)] = line.substr(equals + 3);
  }
  return entries;
}

}  // namespace

std::vector<ConfigChange> config_changes(const std::string& before, const std::string& now,
                                         std::span<const std::string_view> besides) {
  const auto were = entries_of(before);
  auto all = entries_of(now);
  for (const auto& [key, value] : were) all.try_emplace(key);
  std::vector<ConfigChange> changes;
  for (const auto& [key, value] : all) {
    const auto was = were.find(key);
    const std::string earlier = was == were.end() ? "" : was->second;
    if (value != earlier && std::ranges::count(besides, key) == 0) changes.push_back({key, earlier, value});
  }
  return changes;
}

}  // namespace espalier
