// What `espalier train` takes, and `espalier sweep` with it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/experiment/config.h"
#include "espalier/experiment/experiment.h"
#include "espalier/experiment/recommend.h"
#include "espalier/experiment/run_folder.h"

namespace espalier {

constexpr std::string_view auto_recipe = "auto";

struct TrainFlags {
  RunConfig config;
  std::string config_file, recipe;
  RecommendOptions race;
  std::vector<double> densities;
  std::uint64_t seeds = 1;
  RunPlace place;  // its name is known when the data are
  std::string resume;
  double checkpoint_every = default_checkpoint_seconds;
  bool tune = false, no_dense = false, json = false;
};

void add_train_flags(CLI::App& app, TrainFlags& flags);
// The configuration that the flags override: a file's, a recipe's, or the defaults.
RunConfig base_config_of(const TrainFlags& flags);
// Of a command line that names none: that of the weights to begin with, or one that suits the data.
std::string unnamed_model(const RunConfig& config);

// Tables of runs, as files. Empty: that one was not asked for.
struct ComparisonFiles {
  std::string csv, markdown, svg, json;
};
void add_comparison_flags(CLI::App& app, ComparisonFiles& files);
// Prints the table of these runs, and writes it where it was asked for; returns what was printed.
std::string print_comparison(const std::vector<std::filesystem::path>& runs, const ComparisonFiles& files);

}  // namespace espalier
