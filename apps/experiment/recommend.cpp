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
#include "espalier/experiment/text.h"
#include "espalier/pruning/measure.h"

namespace espalier {
namespace {

// What is too little to prefer a larger network for, as a share of the error: a part of what n rows leave uncertain.
double small_difference(Index rows) {
  constexpr double part = 0.25;
  return part / std::sqrt(static_cast<double>(rows));
}
// How far behind the best a recommendation may be and still be a good one.
constexpr double good_gap = 0.02;
constexpr Index most_members = 5;  // the error of an average falls slowly from there on
// On how many validation rows a comparison should rest. A table with fewer is divided several times.
constexpr Index enough_validation_rows = 1000, most_divisions = 5;

struct Candidate {
  Recipe recipe;
  RunConfig config;
  std::vector<DataParts> data = {};  // of each division
  std::string refused = {};          // why it cannot be settled
};

// One training, squeezed into so many epochs and rows, and its like for every further division of the rows into
// training and validation; errors are the means.
Heat run_heat(std::size_t candidate, RunConfig config, const std::vector<DataParts>& divisions, Length length,
              SelectionMetric metric) {
  Heat heat{.candidate = candidate, .epochs = length.epochs, .rows = length.rows};
  config.epochs = length.epochs;
  const double share = 1 / static_cast<double>(divisions.size());
  const Stopwatch watch;
  try {
    for (DataParts data : divisions) {
      if (length.rows < data.train->samples()) data.train = split(data.train, length.rows, config.seed).validation;
      const Trained trained = train_side(config, data, Side::sparse, {});
      heat.error += share * error_of(metric, trained.validation);
      heat.accuracy += share * trained.validation.accuracy;
      heat.step_seconds += trained.train_seconds;
      if (trained.test.samples > 0) heat.test_error += share * error_of(metric, trained.test);
      if (heat.nonzeros == 0) heat.nonzeros = census_of(*trained.model).nonzeros();
      if (!std::isfinite(heat.error)) throw DivergedError("its predictions are not finite");
    }
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
  const bool classes = metric == SelectionMetric::brier;
  std::string text = fmt::format("  {:<30}{:>7}{:>13}{:>11}{:>12}{:>9}\n", "recipe", "epochs", name_of(metric),
                                 classes ? "accuracy" : "", "parameters", "seconds");
  for (const Heat& heat : heats) {
    const std::string& name = candidates[heat.candidate].recipe.name;
    if (heat.outcome == Outcome::trained)
      text += fmt::format("  {:<30}{:>7}{:>13.4g}{:>11}{:>12}{:>9.1f}{}\n", name, heat.epochs, heat.error,
                          classes ? text_of_percent(heat.accuracy) : "", heat.nonzeros, heat.seconds,
                          heat.stays ? "   stays" : "");
    else
      text +=
          fmt::format("  {:<30}{}: {}\n", name, heat.outcome == Outcome::diverged ? "diverged" : "refused", heat.note);
  }
  return text;
}

std::string text_of_gap(double gap) {
  return fmt::format("{:.2f} %", 100 * gap);
}

std::string text_of(Length length, Index rows) {
  return fmt::format("up to {} epoch{}{}", length.epochs, length.epochs == 1 ? "" : "s",
                     length.rows < rows ? fmt::format(" of {} rows", length.rows) : "");
}

std::string text_of_epochs(Index epochs) {
  return fmt::format("{} epoch{}", epochs, epochs == 1 ? "" : "s");
}

// Which one, and why it if it is not the best of all.
std::string verdict(const Race& race, const std::vector<Candidate>& candidates, SelectionMetric metric,
                    const std::string& why) {
  const auto said = [&](const Heat& heat) {
    return fmt::format("{} {:.4g} with {} parameters after {}", name_of(metric), heat.error, heat.nonzeros,
                       text_of_epochs(heat.epochs));
  };
  const std::string& name = candidates[race.winner.candidate].recipe.name;
  if (race.winner.candidate == race.best.candidate && race.winner.epochs == race.best.epochs)
    return fmt::format("recommended: {}\n  the best of all rungs: validation {}\n", name, said(race.winner));
  return fmt::format("recommended: {}\n  {}: validation {};\n  {} has {}\n", name, why, said(race.winner),
                     candidates[race.best.candidate].recipe.name, said(race.best));
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
  fmt::print(out, "\nexhaustive: all recipes, up to {}\n{}", text_of_epochs(length.epochs),
             table_of(heats, candidates, metric));
  const Heat& best = heats.front();
  const auto picked = std::ranges::find(heats, race.winner.candidate, &Heat::candidate);
  const double gap = gap_of(picked->error, best.error);
  const auto line = [&](const char* what, const Heat& heat) {
    fmt::print(out, "  {:<13}{:<30}{} {:.4g} on validation data, {:.4g} on test data\n", what,
               candidates[heat.candidate].recipe.name, name_of(metric), heat.error, heat.test_error);
  };
  line("best", best);
  line("recommended", *picked);
  fmt::print(out, "  gap          {} on validation data ({} {}), {} on test data\n", text_of_gap(gap),
             gap <= good_gap ? "within" : "NOT within", text_of_gap(good_gap),
             text_of_gap(gap_of(picked->test_error, best.test_error)));
}

// Into how many training and validation parts a table is divided, one after the other: a handful of validation rows
// would choose by luck.
Index divisions_of(const RunConfig& base, const DataParts& data) {
  if (!names_table(base.data, base.format)) return 1;
  const Index rows = data.validation->samples();
  return std::min(most_divisions, (enough_validation_rows + rows - 1) / rows);
}

// The data as each candidate's recipe encodes them. The first division is that of the seed, which `data` have; further
// ones are those of the seeds after it.
void load_for(std::vector<Candidate>& candidates, const RunConfig& base, const DataParts& data, Index divisions) {
  std::map<std::string, std::vector<DataParts>> loaded{{encoding_of(base.table), {data}}};
  for (Candidate& candidate : candidates) {
    if (!candidate.refused.empty()) continue;
    std::vector<DataParts>& all = loaded[encoding_of(candidate.config.table)];
    for (RunConfig config = candidate.config; std::ssize(all) < divisions;) {
      config.seed = candidate.config.seed + all.size();
      all.push_back(load_data(config));
    }
    candidate.data = all;
  }
}

std::vector<Candidate> candidates_for(const DataProfile& profile, const Settle& settle, const std::string& folder) {
  std::vector<Recipe> recipes = folder.empty() ? shipped_recipes() : recipes_in(folder);
  std::ranges::stable_sort(recipes, {}, &Recipe::place);
  std::vector<Candidate> candidates;
  for (const Recipe& recipe : recipes) {
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
std::vector<DataParts> without_test(std::vector<DataParts> divisions) {
  for (DataParts& data : divisions) data = without_test(std::move(data));
  return divisions;
}

// Races them, and prints the rungs.
Race race_of(const std::vector<Candidate>& candidates, RaceOptions options, SelectionMetric metric, std::FILE* out) {
  for (const Candidate& candidate : candidates) options.longest.push_back(candidate.config.epochs);
  options.after_rung = [&](const Rung& rung, Index number, Index of) {
    const std::size_t out_of_time = number == 1 ? candidates.size() - rung.heats.size() : 0;
    fmt::print(out, "\nrung {} of at most {}: {}{}\n{}", number, of, text_of(rung.length, options.rows),
               out_of_time > 0 ? fmt::format("; no time for {} more recipes, --budget gives it", out_of_time) : "",
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

// What one network like the heat's takes, which has one for every division of the rows.
double seconds_of_one(const Heat& heat, const Candidate& candidate) {
  constexpr double with_twin = 4;  // a dense twin takes about three times as long
  return heat.seconds / static_cast<double>(candidate.data.size()) * (candidate.config.dense_twin ? with_twin : 1);
}

Index members_within(double seconds, double seconds_of_one) {
  return std::clamp(static_cast<Index>(seconds / seconds_of_one), Index{1}, most_members);
}

// Of all trainings of the race the one whose average will be the best, not the one that is the best alone: a good
// network of which there is time for five beats a slightly better one of which there is time for one. What networks
// that differ by their seeds err by differently is averaged away, the first half of it by two of them, 1 - 1/m by m.
// All of it is about seven hundredths of the error: California housing 0.464 -> 0.435, wine quality 0.673 -> 0.641 with
// five, bike sharing 40.7 -> 38.3 with three.
Heat best_to_average(const Race& race, const std::vector<Candidate>& candidates, double seconds_left) {
  constexpr double averaged_away = 0.07;
  const auto expected = [&](const Heat& heat) {
    const Index m = members_within(seconds_left, seconds_of_one(heat, candidates[heat.candidate]));
    return heat.error * (1 - averaged_away * (1 - 1 / static_cast<double>(m)));
  };
  Heat best = race.winner;
  for (const Rung& rung : race.rungs)
    for (const Heat& heat : rung.heats)
      if (heat.outcome == Outcome::trained && heat.rows == best.rows && expected(heat) < expected(best)) best = heat;
  return best;
}

// For how long the winner is trained if an average of networks like it is the result: for the longest of its lengths,
// and then for twice as long again and again, as long as that is not much worse and there is time for some of them. An
// average forgives what each of its members has learnt by heart, and they differ the more the longer they were trained:
// wine quality, white: five networks of 300 epochs have the RMSE 0.641 where one has 0.673, five of 39 epochs 0.674.
Heat to_be_averaged(const Race& race, const Candidate& winner, SelectionMetric metric,
                    const std::function<double()>& seconds_left, std::FILE* out) {
  constexpr double not_much = 0.03, some = 3;
  Heat chosen = race.winner;
  const auto is_welcome = [&](const Heat& heat) {
    return heat.outcome == Outcome::trained && heat.rows == chosen.rows && heat.epochs > chosen.epochs &&
           heat.error <= (1 + not_much) * race.winner.error && some * seconds_of_one(heat, winner) <= seconds_left();
  };
  for (const Rung& rung : race.rungs)
    for (const Heat& heat : rung.heats)
      if (heat.candidate == chosen.candidate && is_welcome(heat)) chosen = heat;
  for (;;) {
    const Index epochs = std::min(2 * chosen.epochs, winner.config.epochs);
    const double longer_by = static_cast<double>(epochs) / static_cast<double>(chosen.epochs);
    if (epochs == chosen.epochs) break;
    if (longer_by * (chosen.seconds + some * seconds_of_one(chosen, winner)) > seconds_left()) break;
    const Heat longer =
        run_heat(chosen.candidate, winner.config, without_test(winner.data), {epochs, chosen.rows}, metric);
    fmt::print(out, "  for an average, {}: {} {:.4g}\n", text_of_epochs(epochs), name_of(metric), longer.error);
    if (!is_welcome(longer)) break;
    chosen = longer;
  }
  return chosen;
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
  const Index divisions = divisions_of(base, data);
  load_for(candidates, base, data, divisions);

  const SelectionMetric metric = selection_metric(data.train->classes());
  fmt::print(out, "{} recipe{} fit{}; successive halving, {}; compared by {}{}\n", candidates.size(),
             candidates.size() == 1 ? "" : "s", candidates.size() == 1 ? "s" : "", text_of(options.budget),
             name_of(metric),
             divisions > 1 ? fmt::format(", the mean of {} divisions of the rows, for {} validation rows are few",
                                         divisions, profile.validation_rows)
                           : "");
  std::fflush(out);
  watch_for_interrupt();
  // A network that stays alone may be the smallest of those that are about as good; for an average the seconds count.
  const double tolerance = options.average ? 0 : small_difference(divisions * profile.validation_rows);
  constexpr double least_share = 0.05;  // of the seconds, if reading the data took nearly all of them
  const double seconds = options.budget.seconds;
  Race race = race_of(candidates,
                      {.rows = profile.rows,
                       .longest = {},
                       .rungs = options.rungs,
                       .epochs = options.budget.epochs,
                       .seconds = std::max(least_share, options.share - options.clock.seconds() / seconds) * seconds,
                       .tolerance = tolerance},
                      metric, out);
  if (race.interrupted) fmt::print(out, "\ninterrupted: what follows is how far the race had come\n");
  const auto seconds_left = [&] { return (1 - budget_reserve) * seconds - options.clock.seconds(); };
  const bool average = options.average && !race.interrupted;
  if (average) race.winner = best_to_average(race, candidates, seconds_left());
  fmt::print(out, "\n{}",
             verdict(race, candidates, metric,
                     average ? "the best for an average in the seconds that are left"
                             : fmt::format("the smallest within {} of the best", text_of_gap(tolerance))));
  if (options.exhaustive && !race.interrupted) run_exhaustive(race, candidates, metric, out);
  std::fflush(out);
  Candidate& winner = candidates[race.winner.candidate];
  Heat heat = race.winner;
  if (average) heat = to_be_averaged(race, winner, metric, seconds_left, out);
  winner.config.epochs = heat.epochs;
  heat.seconds /= static_cast<double>(divisions);
  return {std::move(winner.recipe), std::move(winner.config), std::move(winner.data.front()), heat, race.interrupted};
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
  return members_within(seconds, one);
}

}  // namespace espalier
