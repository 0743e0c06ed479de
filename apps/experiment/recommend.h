// Which recipe suits these data? Profile, race, pick.
#pragma once

#include <cstdio>
#include <functional>

#include "espalier/experiment/recipes.h"

namespace espalier {

struct RecommendOptions {
  double budget = 60;  // seconds
  Index epochs = 0;    // of the last rung, instead of a budget
  Index rungs = 0;
  bool exhaustive = false;
  std::string folder;  // with recipes; empty: those shipped
};

// A recipe with the user's data, seed and flags: not checked yet.
using Settle = std::function<RunConfig(const Recipe&)>;

struct Recommendation {
  Recipe recipe;
  RunConfig config;  // checked
  bool interrupted = false;
};

// Races the recipes that fit, on the training and validation parts alone, and prints all of it to `out`. Test samples
// are looked at in an exhaustive race only, after everything was chosen. Throws UsageError if no recipe fits.
Recommendation recommend(const Settle& settle, const Data& data, const RecommendOptions& flags, std::FILE* out);

}  // namespace espalier
