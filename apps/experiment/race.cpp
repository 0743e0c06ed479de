#include "espalier/experiment/race.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <numeric>
#include <tuple>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr Index pilot_rows = 2048;  // enough to time a step, and less than that is not worth an epoch
constexpr Index least_lengths = 3;  // to be tried, however few candidates there are

class Racing {
 public:
  Racing(const Trial& trial, const RaceOptions& options) : trial_(trial), o_(options), cost_(o_.longest.size()) {
    alive_.resize(o_.longest.size());
    std::iota(alive_.begin(), alive_.end(), std::size_t{0});
    const Index halvings = std::max<Index>(1, std::bit_width(alive_.size() - 1));  // until one would be left
    rungs_ = o_.rungs ? std::min(o_.rungs, halvings) : halvings;
    if (o_.epochs) rungs_ = std::min<Index>(rungs_, std::bit_width(static_cast<std::uint64_t>(o_.epochs)));
  }

  Race run() {
    try {
      if (o_.epochs == 0) time_steps();
      if (o_.epochs == 0 && o_.rungs == 0 && seconds_of_one_epoch() <= seconds_left())
        rungs_ = std::max(rungs_, least_lengths);
      for (Index r = 0; r < rungs_ && !alive_.empty(); ++r) {
        Length length = length_of(r, rungs_ - r);
        if (r > 0 && !is_longer(length, r)) length = length_of(r, 1);  // too little for all the rungs: one more, then
        if (r > 0 && !is_longer(length, r)) continue;
        run_rung(length, r);
      }
    } catch (const InterruptedError&) {
      if (race_.rungs.empty()) {  // the first rung as far as it came is better than nothing
        if (std::ranges::none_of(heats_, trained)) throw;
        finish_rung(length_, /*keep=*/0);
      }
      race_.interrupted = true;
    }
    choose();
    return std::move(race_);
  }

 private:
  static bool trained(const Heat& heat) { return heat.outcome == Outcome::trained; }

  // Seconds that an epoch over all rows takes each candidate, from a few steps. A slow start makes that too much rather
  // than too little. A refused candidate is out; one that diverges may have done so because the steps were so few.
  void time_steps() {
    const Length few{1, std::min(o_.rows, pilot_rows)};
    std::erase_if(alive_, [&](std::size_t c) {
      Heat heat = trial_(c, few);
      account(heat, few.rows);
      const bool refused = heat.outcome == Outcome::refused;
      (refused ? heats_ : pilots_).push_back(std::move(heat));
      return refused;
    });
  }
  void account(const Heat& heat, Index rows) {
    spent_ += heat.seconds;
    const double passes = static_cast<double>(heat.epochs) * static_cast<double>(rows) / static_cast<double>(o_.rows);
    if (trained(heat) || cost_[heat.candidate] == 0) cost_[heat.candidate] = heat.seconds / passes;
  }

  // Of a candidate in a rung, at most: whole trainings are for the last one.
  Index most_epochs(std::size_t candidate, Index rung) const {
    const Index halvings = o_.epochs ? 0 : rungs_ - 1 - rung;
    return std::max<Index>(1, o_.longest[candidate] >> halvings);
  }
  Index epochs_of(std::size_t candidate, Length length, Index rung) const {
    return std::min(length.epochs, most_epochs(candidate, rung));
  }
  bool is_longer(Length length, Index rung) const {
    return std::ranges::any_of(alive_, [&](std::size_t c) {
      return epochs_of(c, length, rung) * length.rows > epochs_of(c, length_, last_rung_) * length_.rows;
    });
  }

  // Seconds of all that may be trained from this rung on, if every candidate stays.
  double seconds_of_all(Index rung) const {
    double seconds = 0;
    for (Index r = rung; r < rungs_; ++r)
      for (const std::size_t c : alive_) seconds += cost_[c] * static_cast<double>(most_epochs(c, r));
    return seconds;
  }
  double seconds_of_one_epoch() const {  // of every candidate
    return std::accumulate(alive_.begin(), alive_.end(), 0.0,
                           [&](double sum, std::size_t c) { return sum + cost_[c]; });
  }
  double seconds_left() const { return o_.seconds - spent_; }

  // The rung's share, one of `shares`, of the time that is left; as far as it needs that.
  Length length_of(Index rung, Index shares) const {
    if (o_.epochs) return {o_.epochs >> (rungs_ - 1 - rung), o_.rows};
    Index most = 1;
    for (const std::size_t c : alive_) most = std::max(most, most_epochs(c, rung));
    if (seconds_of_all(rung) <= seconds_left()) return {most, o_.rows};
    const double passes = seconds_left() / static_cast<double>(shares) / seconds_of_one_epoch();
    if (passes >= 1) return {std::min(most, static_cast<Index>(passes)), o_.rows};
    const auto rows = static_cast<Index>(passes * static_cast<double>(o_.rows));
    return {1, std::clamp(rows, std::min(o_.rows, pilot_rows), o_.rows)};
  }

  void run_rung(Length length, Index rung) {
    length_ = length;
    last_rung_ = rung;
    // With hardly any time the first rung is no longer than the timed steps: its outcome is known already.
    const bool known = !pilots_.empty() && length.epochs == 1 && length.rows <= pilot_rows;
    if (known) std::ranges::move(pilots_, std::back_inserter(heats_));
    for (const std::size_t c : known ? std::vector<std::size_t>{} : alive_) {
      heats_.push_back(trial_(c, {epochs_of(c, length, rung), length.rows}));
      account(heats_.back(), length.rows);
    }
    pilots_.clear();
    const auto all = static_cast<std::size_t>(std::ranges::count_if(heats_, trained));
    const bool time_for_all = o_.epochs == 0 && seconds_of_all(rung + 1) <= seconds_left();
    finish_rung(length, rung + 1 == rungs_ ? 0 : time_for_all ? all : (all + 1) / 2);
    if (o_.after_rung) o_.after_rung(race_.rungs.back(), rung + 1, rungs_);
  }

  void finish_rung(Length length, std::size_t keep) {
    sort_heats(heats_);
    alive_.clear();
    for (Heat& heat : heats_) {
      heat.stays = trained(heat) && alive_.size() < keep;
      if (heat.stays) alive_.push_back(heat.candidate);
    }
    std::ranges::sort(alive_);
    race_.rungs.push_back({length, std::move(heats_)});
    heats_.clear();
  }

  // All rungs count. Trainings on part of the rows only count if there are no others: nothing like them is wanted.
  void choose() {
    Index most_rows = 0;
    for (const Rung& rung : race_.rungs)
      for (const Heat& heat : rung.heats)
        if (trained(heat)) most_rows = std::max(most_rows, heat.rows);
    std::vector<Heat> eligible;
    for (const Rung& rung : race_.rungs)
      std::ranges::copy_if(rung.heats, std::back_inserter(eligible),
                           [&](const Heat& heat) { return trained(heat) && heat.rows == most_rows; });
    if (eligible.empty()) refuse();
    sort_heats(eligible);
    race_.best = race_.winner = eligible.front();
    const double enough = race_.best.error * (1 + o_.relative_tolerance) + o_.absolute_tolerance;
    for (const Heat& heat : eligible)
      if (heat.error <= enough && heat.nonzeros < race_.winner.nonzeros) race_.winner = heat;
  }

  [[noreturn]] void refuse() {
    std::vector<Heat>& heats = race_.rungs.empty() ? heats_ : race_.rungs.front().heats;
    const auto diverged = std::ranges::find(heats, Outcome::diverged, &Heat::outcome);
    if (diverged != heats.end()) throw DivergedError("every recipe diverged; the first: " + diverged->note);
    throw UsageError("[recommend] expected a recipe that goes with the data; the first does not: " +
                     heats.front().note);
  }

  const Trial& trial_;
  const RaceOptions& o_;
  std::vector<double> cost_;        // seconds of an epoch over all rows
  std::vector<std::size_t> alive_;  // candidates, ascending
  std::vector<Heat> heats_;         // of the rung under way
  std::vector<Heat> pilots_;        // of the few steps that were timed
  Length length_;                   // of the same
  Index last_rung_ = 0;             // the number of the same
  Index rungs_ = 1;
  double spent_ = 0;
  Race race_;
};

}  // namespace

void sort_heats(std::vector<Heat>& heats) {
  std::ranges::stable_sort(heats, {}, [](const Heat& h) {
    const bool failed = h.outcome != Outcome::trained;
    return std::tuple(failed, failed ? 0 : h.error, h.nonzeros, h.candidate);
  });
}

Race run_race(const Trial& trial, const RaceOptions& options) {
  require(!options.longest.empty(), "[recommend] expected at least one recipe, got none");
  require(options.rows > 0, "[recommend] expected rows to train on, got none");
  return Racing(trial, options).run();
}

}  // namespace espalier
