// Successive halving: which of several configurations is best, and how long is it to be trained?
//
//   rung 1   n candidates      e epochs      the worse half goes
//   rung 2   n/2               2e            the worse half goes
//   ...
//   rung R   about 2           2^(R-1) e
//   the best of all rungs is the winner
//
// Every rung costs as much as two whole trainings, so that R = log2(n) of them cost 2 log2(n) where trying all costs n.
// A training here is a whole one, its rate and pruning schedules fitted into the rung's epochs, from the same first
// step: half of a pruned training would be one that is not pruned yet. So a training of an early rung is a result like
// any other, and wins if longer ones only learnt the rows by heart.
//
// With a clock there are three rungs, of which the next one keeps a third of the candidates, and the candidates of a
// rung have the same seconds, not the same epochs: what is wanted is the best for the time. The last rung has whole
// trainings at most, the one before a third of each candidate's own, and so on; if there is time for everything, no
// candidate has to go. If there is little, the candidates that come last stay at home: ten that were trained for an
// epoch say less than five that were trained for two. So the order in which they are given counts.
//
// What can go wrong: a candidate that is slow at first and best in the end goes in the first rung. `espalier recommend
// --exhaustive` asks by how much.
//
// Karnin, Koren, Somekh, "Almost optimal exploration in multi-armed bandits", 2013; Jamieson & Talwalkar,
// "Non-stochastic best arm identification and hyperparameter optimization", 2016.
//
// Invariants (tests/apps/race_test.cpp names them by number):
//   1. Without a clock (epochs > 0) the race is a function of what `trial` returns, and of nothing else.
//   2. A candidate that diverges or is refused never stays, and never ends the race while another one is left.
//   3. No candidate is trained for longer than `longest` says.
//   4. The winner is one of the trainings that took place, on as many rows as any.
//   5. With a clock, no candidate begins while one before it does not.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

enum class Outcome { trained, diverged, refused };  // refused: the configuration does not go with the data

// One candidate's training in one rung.
struct Heat {
  std::size_t candidate = 0;
  Index epochs = 0, rows = 0;
  double error = 0;                      // of validation samples; lower is better
  double test_error = 0;                 // known in an exhaustive race only
  double accuracy = 0;                   // of the validation samples; for people
  Index nonzeros = 0;                    // parameters left
  double seconds = 0, step_seconds = 0;  // of all of it; of the training steps, which are more where rows are more
  Outcome outcome = Outcome::trained;
  std::string note = {};  // what went wrong
  bool stays = false;
};

// How long a training is: passes over so many of the rows.
struct Length {
  Index epochs = 0, rows = 0;
};

struct Rung {
  Length length;
  std::vector<Heat> heats;  // best first
};

// Trains a candidate. Throws InterruptedError if it is asked to stop.
using Trial = std::function<Heat(std::size_t candidate, Length length)>;

struct RaceOptions {
  Index rows = 0;              // of the data
  std::vector<Index> longest;  // epochs of each candidate's whole training; the likeliest candidates first
  Index rungs = 0;             // at most; 0: until two are left to compare; with a clock, until a few are
  Index epochs = 0;            // of the last rung; each one before has half of the next. 0: what the seconds allow
  double seconds = 60;         // for the whole race, if no epochs are given
  // The winner is the smallest of those whose error is at most (1 + tolerance) times that of the best.
  double tolerance = 0;
  std::function<void(const Rung&, Index number, Index of)> after_rung = nullptr;
};

struct Race {
  std::vector<Rung> rungs;
  Heat winner, best;         // best: without regard to how large it is
  bool interrupted = false;  // the winner is the best of the rungs that were complete
};

// Throws UsageError or DivergedError if no candidate can be trained at all, InterruptedError if nothing is known yet.
Race run_race(const Trial& trial, const RaceOptions& options);

// Sorts best first: what was trained before what was not, then lower errors, then fewer nonzeros, then as given.
void sort_heats(std::vector<Heat>& heats);

}  // namespace espalier
