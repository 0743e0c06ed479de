#include "espalier/experiment/recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <new>
#include <string_view>

#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/selection.h"
#include "espalier/pruning/measure.h"

namespace espalier {
namespace {

// What is too little to prefer a larger network for; relative: of a loss or an RMSE.
constexpr double accuracy_tolerance = 0.001, relative_tolerance = 0.0025;
// How far behind the best a recommendation may be and still be a good one.
constexpr double accuracy_gap = 0.005, relative_gap = 0.02;
constexpr Index most_members = 5;  // the error of an average falls slowly from there on

struct Candidate {
  Recipe recipe;
  RunConfig config;
  DataParts data = {};
  std::string refused = {};  // why it cannot be settled
};

// One training, squeezed into so many epochs and rows.
Heat run_heat(std::size_t candidate, RunConfig config, DataParts data, Length length, SelectionMetric metric) {
  Heat heat{.candidate = candidate, .epochs = length.epochs, .rows = length.rows};
  config.epochs = length.epochs;
  if (length.rows < data.train->samples()) data.train = split(data.train, length.rows, config.seed).validation;
  const Stopwatch watch;
  try {
    const Trained trained = train_side(config, data, Side::sparse, {});
    heat.error = error_of(metric, trained.validation);
    if (trained.test.samples > 0) heat.test_error = error_of(metric, trained.test);
    heat.nonzeros = census_of(*trained.model).nonzeros();
    if (!std::isfinite(heat.error)) throw DivergedError("its predictions are not finite");
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
  heat.seconds = watch.seconds();
  return heat;
}

std::string table_of(const std::vector<Heat>& heats, const std::vector<Candidate>& candidates, SelectionMetric metric) {
  std::string text =
      fmt::format("  {:<28}{:>7}{:>12}{:>12}{:>9}\n", "recipe", "epochs", name_of(metric), "parameters", "seconds");
  for (const Heat& heat : heats) {
    const std::string& name = candidates[heat.candidate].recipe.name;
    if (heat.outcome == Outcome::trained)
      text += fmt::format("  {:<28}{:>7}{:>12}{:>12}{:>9.1f}{}\n", name, heat.epochs, text_of(metric, heat.error),
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

std::string text_of_epochs(Index epochs) {
  return fmt::format("{} epoch{}", epochs, epochs == 1 ? "" : "s");
}

// Why this one.
std::string verdict(const Race& race, const std::vector<Candidate>& candidates, SelectionMetric metric) {
  const auto said = [&](const Heat& heat) {
    return fmt::format("{} {} with {} parameters after {}", name_of(metric), text_of(metric, heat.error), heat.nonzeros,
                       text_of_epochs(heat.epochs));
  };
  const std::string& name = candidates[race.winner.candidate].recipe.name;
  if (race.winner.candidate == race.best.candidate)
    return fmt::format("recommended: {}\n  the best of all rungs: validation {}\n", name, said(race.winner));
  const double tolerance = metric == SelectionMetric::accuracy ? accuracy_tolerance : relative_tolerance;
  return fmt::format("recommended: {}\n  the smallest within {} of the best: validation {};\n  {} has {}\n", name,
                     text_of_gap(metric, tolerance), said(race.winner), candidates[race.best.candidate].recipe.name,
                     said(race.best));
}

// Every candidate for as long as those of the last rung. Says how far the recommended one is behind.
void run_exhaustive(const Race& race, const std::vector<Candidate>& candidates, SelectionMetric metric,
                    std::FILE* out) {
  const Length length = race.rungs.back().length;
  std::vector<Heat> heats;
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    if (!candidates[c].refused.empty()) continue;
    const RunConfig& config = candidates[c].config;
    heats.push_back(
        run_heat(c, config, candidates[c].data, {std::min(config.epochs, length.epochs), length.rows}, metric));
  }
  sort_heats(heats);
  fmt::print(out, "\nexhaustive: all recipes, {}\n{}", text_of(length, candidates.front().data.train->samples()),
             table_of(heats, candidates, metric));
  const Heat& best = heats.front();
  const auto picked = std::ranges::find(heats, race.winner.candidate, &Heat::candidate);
  const double gap = gap_of(metric, picked->error, best.error);
  const double limit = metric == SelectionMetric::accuracy ? accuracy_gap : relative_gap;
  const auto line = [&](const char* what, const Heat& heat) {
    fmt::print(out, "  {:<13}{:<28}validation {}, test {}\n", what, candidates[heat.candidate].recipe.name,
               text_of(metric, heat.error), text_of(metric, heat.test_error));
  };
  line("best", best);
  line("recommended", *picked);
  fmt::print(out, "  gap          {} on validation data ({} {}), {} on test data\n", text_of_gap(metric, gap),
             gap <= limit ? "within" : "NOT within", text_of_gap(metric, limit),
             text_of_gap(metric, gap_of(metric, picked->test_error, best.test_error)));
}

// The data as each candidate's recipe encodes them.
void load_for(std::vector<Candidate>& candidates, const RunConfig& base, const DataParts& data) {
  std::map<std::string, DataParts> loaded{{encoding_of(base.table), data}};
  for (Candidate& candidate : candidates) {
    if (!candidate.refused.empty()) continue;
    const std::string encoding = encoding_of(candidate.config.table);
    if (!loaded.contains(encoding)) loaded[encoding] = load_data(candidate.config);
    candidate.data = loaded[encoding];
  }
}

std::vector<Candidate> candidates_for(const DataProfile& profile, const Settle& settle, const std::string& folder) {
  std::vector<Candidate> candidates;
  for (const Recipe& recipe : folder.empty() ? shipped_recipes() : recipes_in(folder)) {
    if (!fits(recipe, profile)) continue;
    Candidate& candidate = candidates.emplace_back(Candidate{.recipe = recipe, .config = {}});
    try {
      candidate.config = settled(settle(recipe));
      candidate.config.recipe = recipe.name;
    } catch (const UsageError& error) {
      candidate.refused = error.what();
    }
  }
  require(!candidates.empty(), "[recommend] expected data that a recipe fits (`espalier recipes` lists them), got {}",
          text_of(profile));
  return candidates;
}

std::string text_of(const Budget& budget) {
  return budget.epochs ? fmt::format("at most {}", text_of_epochs(budget.epochs))
                       : fmt::format("about {:g} s", budget.seconds);
}

DataParts without_test(DataParts data) {
  data.test = std::make_shared<Subset>(data.test, std::vector<Index>{});
  return data;
}

// Races them, and prints the rungs.
Race race_of(const std::vector<Candidate>& candidates, RaceOptions options, SelectionMetric metric, std::FILE* out) {
  for (const Candidate& candidate : candidates) options.longest.push_back(candidate.config.epochs);
  options.after_rung = [&](const Rung& rung, Index number, Index of) {
    fmt::print(out, "\nrung {} of at most {}: {}\n{}", number, of, text_of(rung.length, options.rows),
               table_of(rung.heats, candidates, metric));
    std::fflush(out);
  };
  const auto trial = [&](std::size_t c, Length length) {
    const Candidate& candidate = candidates[c];
    if (!candidate.refused.empty())
      return Heat{.candidate = c, .epochs = length.epochs, .outcome = Outcome::refused, .note = candidate.refused};
    fmt::print(stderr, "  {}, {}\n", candidate.recipe.name, text_of(length, options.rows));
    return run_heat(c, candidate.config, without_test(candidate.data), length, metric);
  };
  return run_race(trial, options);
}

}  // namespace

Budget budget_named(const std::string& text) {
  const std::string_view all = text;
  const std::size_t unit = std::min(all.find_first_not_of("0123456789.+-eE"), all.size());
  // "8epochs" begins with a number that ends in an e.
  const std::size_t digits = all.substr(0, unit).ends_with('e') ? unit - 1 : unit;
  double number = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + digits, number);
  const std::string_view behind = all.substr(digits);
  const bool epochs = behind == "epochs" || behind == "epoch";
  constexpr double most_epochs = 1e6;
  require(error == std::errc() && end == all.data() + digits && number > 0 && std::isfinite(number) &&
              (behind.empty() || behind == "s" || (epochs && number <= most_epochs && number == std::floor(number))),
          "[budget] expected seconds above 0, such as 60, or epochs, such as 8epochs, got \"{}\"", text);
  return epochs ? Budget{.epochs = static_cast<Index>(number)} : Budget{.seconds = number};
}

Recommendation recommend(const Settle& settle, const RunConfig& base, const DataParts& data,
                         const RecommendOptions& options, std::FILE* out) {
  require(data.validation->samples() > 0, "[recommend] expected validation samples to choose on, got none of {}",
          data.name);
  const DataProfile profile = profile_of(data);
  fmt::print(out, "{}\n", text_of(profile));
  std::vector<Candidate> candidates = candidates_for(profile, settle, options.folder);
  load_for(candidates, base, data);

  const SelectionMetric metric = selection_metric(data.train->classes(), data.validation->samples());
  fmt::print(out, "{} recipe{} fit{}; successive halving, {}; compared by {}\n", candidates.size(),
             candidates.size() == 1 ? "" : "s", candidates.size() == 1 ? "s" : "", text_of(options.budget),
             metric == SelectionMetric::loss
                 ? fmt::format("loss, for {} validation rows are few", profile.validation_rows)
                 : name_of(metric));
  std::fflush(out);
  watch_for_interrupt();
  constexpr double least_share = 0.05;  // of the seconds, if reading the data took nearly all of them
  const double seconds = options.budget.seconds;
  const bool shares = metric == SelectionMetric::accuracy;
  const Race race =
      race_of(candidates,
              {.rows = profile.rows,
               .longest = {},
               .rungs = options.rungs,
               .epochs = options.budget.epochs,
               .seconds = std::max(least_share, options.share - options.clock.seconds() / seconds) * seconds,
               .absolute_tolerance = shares ? accuracy_tolerance : 0,
               .relative_tolerance = shares ? 0 : relative_tolerance},
              metric, out);
  if (race.interrupted) fmt::print(out, "\ninterrupted: what follows is how far the race had come\n");
  fmt::print(out, "\n{}", verdict(race, candidates, metric));
  if (options.exhaustive && !race.interrupted) run_exhaustive(race, candidates, metric, out);
  std::fflush(out);
  Candidate& winner = candidates[race.winner.candidate];
  winner.config.epochs = race.winner.epochs;
  return {std::move(winner.recipe), std::move(winner.config), std::move(winner.data), race.winner, race.interrupted};
}

Index affordable_members(const Recommendation& chosen, double seconds, bool dense_twin) {
  double one = chosen.heat.seconds;
  if (dense_twin) {  // which was not raced: some of its steps are timed
    RunConfig config = chosen.config;
    config.epochs = 1;
    DataParts few = without_test(chosen.data);
    const Index rows = few.train->samples();
    constexpr Index enough = 2048;
    if (rows > enough) few.train = split(few.train, enough, config.seed).validation;
    const double timed = seconds_of([&] { train_side(config, few, Side::dense, {}); });
    one += timed * static_cast<double>(chosen.config.epochs) * static_cast<double>(rows) /
           static_cast<double>(few.train->samples());
  }
  return std::clamp(static_cast<Index>(seconds / one), Index{1}, most_members);
}

}  // namespace espalier
