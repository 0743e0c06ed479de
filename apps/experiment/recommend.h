// Which recipe suits these data? Profile, race, pick.
#pragma once

#include <cstdio>
#include <functional>

#include "espalier/core/clock.h"
#include "espalier/experiment/race.h"
#include "espalier/experiment/recipes.h"

namespace espalier {

// What a race, and the training after it, may cost: seconds; or, the same on every machine, epochs of the longest
// training in it.
struct Budget {
  double seconds = 60;
  Index epochs = 0;  // 0: the seconds count
};
// "60", "60s", "8epochs". Throws UsageError.
Budget budget_named(const std::string& text);

constexpr double budget_reserve = 0.1;  // the part of the seconds that measuring and writing may take

struct RecommendOptions {
  Budget budget = {};
  Index rungs = 0;
  bool exhaustive = false;
  std::string folder;  // with recipes; empty: those shipped
  // How much of the seconds the race may take, from when the clock was started; the rest is for the training.
  double share = 1;
  bool average = false;  // what is left will buy members, whose average is what counts
  Stopwatch clock = {};
};

// A recipe with the user's data, seed and flags: not checked yet.
using Settle = std::function<RunConfig(const Recipe&)>;

struct Recommendation {
  Recipe recipe;
  RunConfig config;  // checked; its epochs are those of the training that won
  DataParts data;    // as the recipe encodes them
  Heat heat;         // that training; seconds: of one of its like, if the rows were divided several times
  bool interrupted = false;
};

// Races the recipes that fit, on the training and validation parts alone, and prints all of it to `out`. A table with
// few validation rows is divided into such parts several times, and what counts is the mean. Test samples
// are looked at in an exhaustive race only, after everything was chosen. `data` are those of `base`; for a recipe that
// encodes a table otherwise they are read again. Throws UsageError if no recipe fits.
Recommendation recommend(const Settle& settle, const RunConfig& base, const DataParts& data,
                         const RecommendOptions& options, std::FILE* out);

// How many members the average may have that is trained after a race: as many as the seconds are enough for, each with
// its dense twin if there is one, but few.
Index affordable_members(const Recommendation& chosen, double seconds, bool dense_twin);

}  // namespace espalier
