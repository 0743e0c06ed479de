// Schedule: how many weights are left by when?
//
//   one-shot   1 until `begin`, then the final density at once
//   linear     s(t) = s_f t, s = 1 - density, t from 0 at `begin` to 1 at `end`, every `interval` steps: equally many
//              each time
//   cubic      s(t) = s_f (1 - (1 - t)^3), likewise (Zhu & Gupta, "To prune, or not to prune", 2017): fast while there
//              is much redundancy, slow at the end
//   iterative  `rounds` equal factors, d_r = d_f^(r / rounds), evenly spaced from `begin` to `end` (Han et al. 2015).
//              Each has a step of its own. Only with begin == end == 0 do all happen before the first step.
//
// With rewinding, the rounds of `iterative` are whole trainings instead (pruning/rewind.h).
#pragma once

#include <string>
#include <string_view>

#include "espalier/core/real.h"

namespace espalier {

struct Schedule {
  enum class Kind { one_shot, linear, cubic, iterative };
  Kind kind = Kind::cubic;
  double density = 0.1;  // the final one
  double begin = 0.05;   // fractions of all steps
  double end = 0.6;
  Index interval = 100;  // steps between two prunings (linear, cubic)
  Index rounds = 5;      // iterative

  // Whether pruning happens after step `step` of `steps` (counted from 1); begin == 0 also prunes before the first.
  // Throws UsageError, as density_at does, unless iterative rounds have a step each.
  bool due(Index step, Index steps) const;
  // The density that the network should have after step `step`.
  double density_at(Index step, Index steps) const;
  bool operator==(const Schedule&) const = default;
};

// The schedule itself. Throws UsageError for impossible numbers.
Schedule settled(Schedule schedule);
// The same for a training of so many steps, in which iterative rounds need a step each.
Schedule settled(Schedule schedule, Index steps);

// one-shot, linear, cubic or iterative. Throws UsageError, listing them, for another word.
Schedule::Kind schedule_named(std::string_view name);
std::string name_of(Schedule::Kind kind);

}  // namespace espalier
