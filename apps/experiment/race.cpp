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
// With a clock: a training is tried at so many lengths, and at the shortest it has so many epochs and so large a part
// of the whole, or it says nothing.
constexpr Index timed_rungs = 3, least_epochs = 3, least_part = 16;

class Racing {
 public:
  Racing(const Trial& trial, const RaceOptions& options) : trial_(trial), o_(options), cost_(o_.longest.size()) {
    alive_.resize(o_.longest.size());
    std::iota(alive_.begin(), alive_.end(), std::size_t{0});
    const Index halvings = std::max<Index>(1, std::bit_width(alive_.size() - 1));  // until one would be left
    rungs_ = o_.epochs ? std::min<Index>(halvings, std::bit_width(static_cast<std::uint64_t>(o_.epochs))) : timed_rungs;
    if (o_.rungs) rungs_ = std::min(o_.rungs, rungs_);
  }

  Race run() {
    try {
      if (o_.epochs == 0) {
        time_those_with_time();
        // Of trainings on part of the rows only the longest count.
        if (seconds_of({}) > seconds_left() * share_of(alive_.size(), rungs_)) rungs_ = 1;
      }
      for (Index r = 0; r < rungs_ && !alive_.empty(); ++r) {
        Plan plan = plan_of(r, rungs_ - r);
        if (r > 0 && !is_longer(plan)) plan = plan_of(r, 1);  // too little for all the rungs: one more, then
        if (r > 0 && !is_longer(plan)) continue;
        run_rung(plan, r);
      }
    } catch (const InterruptedError&) {
      if (race_.rungs.empty()) {  // the first rung as far as it came is better than nothing
        if (std::ranges::none_of(heats_, trained))
          throw InterruptedError("the race was stopped before any recipe was trained; it cannot be resumed");
        finish_rung(/*keep=*/0);
      }
      race_.interrupted = true;
    }
    choose();
    return std::move(race_);
  }

 private:
  static bool trained(const Heat& heat) { return heat.outcome == Outcome::trained; }

  // One in so many stays, and is trained for so many times as long. With a clock the last rung is the one that matters:
  // its training is what is wanted in the end, and has to be as long as the time allows.
  double factor() const { return o_.epochs ? 2 : 3; }
  // Of the time that is left for so many rungs, the first of them gets this share if it has so many candidates. The
  // very first gets a third: what goes there is gone.
  double share_of(std::size_t candidates, Index rungs) const {
    double all = 0;
    for (Index r = 0; r < rungs; ++r) {
      const double length = std::pow(factor(), r);
      all += length * std::max(1.0, std::ceil(static_cast<double>(candidates) / length));
    }
    constexpr double least_of_the_first = 1.0 / timed_rungs;
    return std::max(static_cast<double>(candidates) / all, rungs == timed_rungs ? least_of_the_first : 0.0);
  }

  // Times some steps of one candidate after the other, as long as the first rung's share of the time is enough for all
  // of them. A refused candidate is out; one that diverges may have done so because the steps were so few.
  void time_those_with_time() {
    constexpr std::size_t least = 2;
    std::vector<std::size_t> waiting;
    std::swap(waiting, alive_);
    double seconds = 0;
    for (const std::size_t c : waiting) {
      Heat heat = timed(c);
      const bool refused = heat.outcome == Outcome::refused;
      (refused ? heats_ : pilots_).push_back(std::move(heat));
      if (refused) continue;
      seconds += cost_[c] * static_cast<double>(enough_of(o_.longest[c]));
      if (alive_.size() >= least && seconds > seconds_left() * share_of(alive_.size() + 1, rungs_)) break;
      alive_.push_back(c);
    }
  }
  // A few steps; and four times as many if those took no time to speak of, and so say little.
  Heat timed(std::size_t candidate) {
    constexpr double worth_speaking_of = 0.005;  // of the seconds
    Heat heat;
    for (const Index rows : {pilot_rows, 4 * pilot_rows}) {
      heat = trial_(candidate, {1, std::min(o_.rows, rows)});
      account(heat, heat.rows);
      if (!trained(heat) || rows >= o_.rows || heat.seconds > worth_speaking_of * o_.seconds) break;
    }
    return heat;
  }
  // An epoch has its steps, and what comes once, such as looking at the validation rows.
  void account(const Heat& heat, Index rows) {
    spent_ += heat.seconds;
    if (!trained(heat) && cost_[heat.candidate] > 0) return;
    const double passes = static_cast<double>(heat.epochs) * static_cast<double>(rows) / static_cast<double>(o_.rows);
    cost_[heat.candidate] =
        heat.step_seconds / passes + (heat.seconds - heat.step_seconds) / static_cast<double>(heat.epochs);
  }

  // How long those of a rung are trained, on so many rows.
  struct Plan {
    Index epochs = 0;     // without a clock, but no longer than a candidate's own training
    double seconds = 0;   // with one: of each candidate, but an epoch at least
    bool enough = false;  // and so many epochs that they say something
    double most = 0;      // and at most this part of its own training
    Index rows = 0;
  };
  Index epochs_of(std::size_t candidate, const Plan& plan) const {
    const Index longest = o_.longest[candidate];
    if (o_.epochs) return std::min(plan.epochs, longest);
    const Index least = plan.enough ? enough_of(longest) : 1;
    const double most = std::max(plan.most * static_cast<double>(longest), static_cast<double>(least));
    return std::max(least, static_cast<Index>(std::min(most, plan.seconds / cost_[candidate])));
  }
  static Index enough_of(Index longest) { return std::min(longest, std::max(least_epochs, longest / least_part)); }
  bool is_longer(const Plan& plan) const {
    return std::ranges::any_of(
        alive_, [&](std::size_t c) { return epochs_of(c, plan) * plan.rows > epochs_of(c, plan_) * plan_.rows; });
  }

  double seconds_left() const { return o_.seconds - spent_; }
  double seconds_of(const Plan& plan) const {
    double seconds = 0;
    for (const std::size_t c : alive_) seconds += cost_[c] * static_cast<double>(epochs_of(c, plan));
    return seconds;
  }
  // At most this part of a candidate's own training: whole ones are for the last rung.
  double most_of(Index rung) const { return std::pow(factor(), static_cast<double>(rung - rungs_ + 1)); }
  // Of all that may be trained from this rung on, if every candidate stays.
  double seconds_of_all(Index rung) const {
    double seconds = 0;
    for (Index r = rung; r < rungs_; ++r) seconds += seconds_of({.seconds = o_.seconds, .most = most_of(r)});
    return seconds;
  }

  // The rung's share of the time that is left for so many rungs; as far as it needs that.
  Plan plan_of(Index rung, Index rungs) const {
    if (o_.epochs) return {.epochs = o_.epochs >> (rungs_ - 1 - rung), .rows = o_.rows};
    Plan plan{.seconds = o_.seconds, .most = most_of(rung), .rows = o_.rows};
    if (seconds_of_all(rung) <= seconds_left()) return plan;
    const double share = seconds_left() * share_of(alive_.size(), rungs);
    const double passes = share / seconds_of({});  // an epoch each
    if (passes < 1) {
      const auto rows = static_cast<Index>(std::max(0.0, passes) * static_cast<double>(o_.rows));
      return {.rows = std::clamp(rows, std::min(o_.rows, pilot_rows), o_.rows)};
    }
    plan.enough = seconds_of({.enough = true}) <= share;
    plan.seconds = 0;  // as many as come to the share, whichever candidates need less
    for (double step = share; step > share / 4096; step /= 2) {
      plan.seconds += step;
      if (seconds_of(plan) > share) plan.seconds -= step;
    }
    return plan;
  }

  void run_rung(const Plan& plan, Index rung) {
    plan_ = plan;
    // With hardly any time the first rung is no longer than the timed steps: its outcome is known already.
    const bool known = !pilots_.empty() && o_.epochs == 0 && plan.most == 0 && plan.rows <= pilot_rows;
    if (known) std::ranges::move(pilots_, std::back_inserter(heats_));
    for (const std::size_t c : known ? std::vector<std::size_t>{} : alive_) {
      heats_.push_back(trial_(c, {epochs_of(c, plan), plan.rows}));
      account(heats_.back(), plan.rows);
    }
    pilots_.clear();
    const auto all = static_cast<std::size_t>(std::ranges::count_if(heats_, trained));
    const bool time_for_all = o_.epochs == 0 && seconds_of_all(rung + 1) <= seconds_left();
    const auto staying = static_cast<std::size_t>(std::ceil(static_cast<double>(all) / factor()));
    finish_rung(rung + 1 == rungs_ ? 0 : time_for_all ? all : staying);
    if (o_.after_rung) o_.after_rung(race_.rungs.back(), rung + 1, rungs_);
  }

  void finish_rung(std::size_t keep) {
    Length length{0, plan_.rows};
    for (const Heat& heat : heats_) length.epochs = std::max(length.epochs, heat.epochs);
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
    const double enough = race_.best.error * (1 + o_.tolerance);
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
  Plan plan_;                       // of the same
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
