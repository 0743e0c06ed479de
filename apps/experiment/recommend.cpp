#include "espalier/experiment/recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/race.h"
#include "espalier/experiment/training.h"
#include "espalier/pruning/measure.h"

namespace espalier {
namespace {

// What is too little to prefer a larger network for.
constexpr double accuracy_tolerance = 0.002, rmse_tolerance = 0.005;
// How far behind the best a recommendation may be and still be a good one.
constexpr double accuracy_gap = 0.005, rmse_gap = 0.02;

struct Candidate {
  Recipe recipe;
  RunConfig config;
  std::string refused;  // why it cannot be settled
};

// Errors are shares of wrong samples, or root mean squares of what a prediction is off by.
struct Metric {
  bool classification;
  std::string text(double error) const {
    return classification ? fmt::format("{:.2f} %", 100 * (1 - error)) : fmt::format("{:.4g}", error);
  }
  const char* name() const { return classification ? "accuracy" : "RMSE"; }
  // Of `error` behind `best`.
  double gap(double error, double best) const { return classification ? error - best : error / best - 1; }
  std::string text_of_gap(double gap) const { return fmt::format("{:.2f} {}", 100 * gap, classification ? "pp" : "%"); }
  double of(const Evaluation& e) const { return classification ? 1 - e.accuracy : e.rmse; }
};

// One training, squeezed into so many epochs and rows.
Heat run_heat(std::size_t candidate, RunConfig config, Data data, Length length, Metric metric) {
  Heat heat{.candidate = candidate, .epochs = length.epochs};
  config.epochs = length.epochs;
  if (length.rows < data.train->samples()) data.train = split(data.train, length.rows, config.seed).validation;
  const auto start = std::chrono::steady_clock::now();
  try {
    const Trained trained = train_model(config, data, Side::sparse, {});
    heat.error = metric.of(trained.validation);
    if (trained.test.samples > 0) heat.test_error = metric.of(trained.test);
    heat.nonzeros = census_of(*trained.model).nonzeros();
    if (!std::isfinite(heat.error)) throw DivergedError("its predictions are no numbers");
  } catch (const DivergedError& error) {
    heat.outcome = Outcome::diverged;
    heat.note = error.what();
  } catch (const UsageError& error) {
    heat.outcome = Outcome::refused;
    heat.note = error.what();
  } catch (const std::bad_alloc&) {
    heat.outcome = Outcome::refused;
    heat.note = "out of memory";
  }
  heat.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return heat;
}

std::string table_of(const std::vector<Heat>& heats, const std::vector<Candidate>& candidates, Metric metric) {
  std::string text =
      fmt::format("  {:<28}{:>7}{:>12}{:>12}{:>9}\n", "recipe", "epochs", metric.name(), "parameters", "seconds");
  for (const Heat& heat : heats) {
    const std::string& name = candidates[heat.candidate].recipe.name;
    if (heat.outcome == Outcome::trained)
      text += fmt::format("  {:<28}{:>7}{:>12}{:>12}{:>9.1f}{}\n", name, heat.epochs, metric.text(heat.error),
                          heat.nonzeros, heat.seconds, heat.stays ? "   stays" : "");
    else
      text +=
          fmt::format("  {:<28}{}: {}\n", name, heat.outcome == Outcome::diverged ? "diverged" : "refused", heat.note);
  }
  return text;
}

std::string text_of(Length length, Index rows) {
  return fmt::format("up to {} epoch{}{}", length.epochs, length.epochs == 1 ? "" : "s",
                     length.rows < rows ? fmt::format(" of {} rows", length.rows) : "");
}

// Why this one.
std::string verdict(const Race& race, const std::vector<Candidate>& candidates, Metric metric, Index rows) {
  const std::string& name = candidates[race.winner.candidate].recipe.name;
  const std::string length = text_of(race.rungs.back().length, rows);
  const std::string result =
      fmt::format("{} {} with {} parameters", metric.name(), metric.text(race.winner.error), race.winner.nonzeros);
  if (race.winner.candidate == race.best.candidate)
    return fmt::format("recommended: {}\n  the best of its rung ({}): validation {}\n", name, length, result);
  return fmt::format(
      "recommended: {}\n  the smallest of its rung ({}) within {} of the best: validation {};\n  {} has {} with {}\n",
      name, length, metric.text_of_gap(metric.classification ? accuracy_tolerance : rmse_tolerance), result,
      candidates[race.best.candidate].recipe.name, metric.text(race.best.error), race.best.nonzeros);
}

// Every candidate for as long as those of the last rung. Says how far the recommended one is behind.
void run_exhaustive(const Race& race, const std::vector<Candidate>& candidates, const Data& data, Metric metric,
                    std::FILE* out) {
  const Length length = race.rungs.back().length;
  std::vector<Heat> heats;
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    if (!candidates[c].refused.empty()) continue;
    const RunConfig& config = candidates[c].config;
    heats.push_back(run_heat(c, config, data, {std::min(config.epochs, length.epochs), length.rows}, metric));
  }
  sort_heats(heats);
  fmt::print(out, "\nexhaustive: everybody, {}\n{}", text_of(length, data.train->samples()),
             table_of(heats, candidates, metric));
  const Heat& best = heats.front();
  const auto picked = std::ranges::find(heats, race.winner.candidate, &Heat::candidate);
  const double gap = metric.gap(picked->error, best.error);
  const double limit = metric.classification ? accuracy_gap : rmse_gap;
  const auto line = [&](const char* what, const Heat& heat) {
    fmt::print(out, "  {:<13}{:<28}validation {}, test {}\n", what, candidates[heat.candidate].recipe.name,
               metric.text(heat.error), metric.text(heat.test_error));
  };
  line("best", best);
  line("recommended", *picked);
  fmt::print(out, "  gap          {} on validation data ({} {}), {} on test data\n", metric.text_of_gap(gap),
             gap <= limit ? "within" : "NOT within", metric.text_of_gap(limit),
             metric.text_of_gap(metric.gap(picked->test_error, best.test_error)));
}

std::vector<Candidate> candidates_for(const DataProfile& profile, const Settle& settle, const RecommendOptions& flags) {
  std::vector<Candidate> candidates;
  for (const Recipe& recipe : flags.folder.empty() ? shipped_recipes() : recipes_in(flags.folder)) {
    if (!fits(recipe, profile)) continue;
    Candidate& candidate = candidates.emplace_back(Candidate{.recipe = recipe, .config = {}, .refused = {}});
    try {
      candidate.config = settle(recipe);
      check(candidate.config);
    } catch (const UsageError& error) {
      candidate.refused = error.what();
    }
  }
  require(!candidates.empty(), "[recommend] expected data that a recipe fits (`espalier recipes` lists them), got {}",
          text_of(profile));
  return candidates;
}

}  // namespace

Recommendation recommend(const Settle& settle, const Data& data, const RecommendOptions& flags, std::FILE* out) {
  require(flags.budget > 0 && std::isfinite(flags.budget), "[--budget] expected seconds above 0, got {}", flags.budget);
  require(data.validation->samples() > 0,
          "[recommend] expected validation samples to choose on (--validation), got none of {}", data.name);
  const DataProfile profile = profile_of(data);
  fmt::print(out, "{}\n", text_of(profile));
  std::vector<Candidate> candidates = candidates_for(profile, settle, flags);

  const Metric metric{data.train->classes() > 0};
  Data blind = data;
  blind.test = std::make_shared<Subset>(data.test, std::vector<Index>{});
  RaceOptions options{.rows = data.train->samples(),
                      .rungs = flags.rungs,
                      .epochs = flags.epochs,
                      .seconds = flags.budget,
                      .absolute_tolerance = metric.classification ? accuracy_tolerance : 0,
                      .relative_tolerance = metric.classification ? 0 : rmse_tolerance};
  for (const Candidate& candidate : candidates) options.longest.push_back(candidate.config.epochs);
  options.after_rung = [&](const Rung& rung, Index number, Index of) {
    fmt::print(out, "\nrung {} of at most {}: {}\n{}", number, of, text_of(rung.length, options.rows),
               table_of(rung.heats, candidates, metric));
    std::fflush(out);
  };
  fmt::print(out, "{} recipe{} fit{}; successive halving, {}\n", candidates.size(), candidates.size() == 1 ? "" : "s",
             candidates.size() == 1 ? "s" : "",
             flags.epochs ? fmt::format("at most {} epochs", flags.epochs) : fmt::format("about {:g} s", flags.budget));
  std::fflush(out);

  watch_for_interrupt();
  const Race race = run_race(
      [&](std::size_t c, Length length) {
        const Candidate& candidate = candidates[c];
        if (!candidate.refused.empty())
          return Heat{.candidate = c, .epochs = length.epochs, .outcome = Outcome::refused, .note = candidate.refused};
        fmt::print(stderr, "  {}, {}\n", candidate.recipe.name, text_of(length, options.rows));
        return run_heat(c, candidate.config, blind, length, metric);
      },
      options);
  if (race.interrupted) fmt::print(out, "\ninterrupted: what follows is how far the race had come\n");
  fmt::print(out, "\n{}", verdict(race, candidates, metric, options.rows));
  if (flags.exhaustive && !race.interrupted) run_exhaustive(race, candidates, data, metric, out);
  std::fflush(out);
  Candidate& winner = candidates[race.winner.candidate];
  return {std::move(winner.recipe), std::move(winner.config), race.interrupted};
}

}  // namespace espalier
