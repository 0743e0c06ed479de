// The training loop: epochs over a loader, an evaluation after each, a progress line for people.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "espalier/optim/rate.h"
#include "espalier/optim/trainer.h"

namespace espalier {

struct EpochResult {
  Index epoch = 0;  // counted from 1
  double train_loss = 0;
  double gradient_norm = 0;  // mean over the steps
  double rate = 0;           // of the last step
  Evaluation validation{};   // samples == 0 if there is no validation set
  double seconds = 0;        // training only
  Index samples = 0;
  Flops flops{};  // training only
};

// A place between two steps, from which fit can go on: how many steps are done, and the sums so far of the epoch under
// way.
struct FitPosition {
  Index step = 0;
  EpochResult epoch = {};
};

struct FitOptions {
  Index epochs = 10;
  RateOptions rate{};
  std::string label = "training";  // begins the progress line
  bool progress = true;            // a live line on stderr, if stderr is a terminal
  // Called after every step with the number of steps done so far and of all steps (pruning hangs here).
  std::function<void(Index step, Index steps)> after_step{};
  std::function<void(const EpochResult&)> after_epoch{};
  // Asked before every step; if true, `stopped` is told where, and InterruptedError ends the call. Another call that
  // begins `from` there, with trainer and parameters as they were, computes what this one would have, to the bit.
  std::function<bool()> stop{};
  std::function<void(const FitPosition&)> stopped{};
  FitPosition from{};
};

// Trains for options.epochs epochs; evaluates on `validation` (may be null) after each. Steps and rates count from the
// beginning of this call.
std::vector<EpochResult> fit(Trainer& trainer, Loader& train, const Loader* validation, const FitOptions& options);

}  // namespace espalier
