// How a configuration differs from what it was: config.toml may be edited while a run is interrupted.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

struct ConfigChange {
  std::string key;          // "training.epochs"
  std::string before, now;  // as TOML writes them; empty: not there, which is the default
};

// before, now: as to_toml writes them. besides: keys whose changes do not matter.
std::vector<ConfigChange> config_changes(const std::string& before, const std::string& now,
                                         std::span<const std::string_view> besides = {});

}  // namespace espalier
