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
  double gradient_norm = 0;  // the mean over the steps, before clipping
  double rate = 0;           // the learning rate of the last step
  Evaluation validation{};   // of the model after the epoch; samples == 0 if there is no validation set
  double seconds = 0;        // of training, without the evaluation
  Index samples = 0;         // trained on
  Flops flops{};             // of training, without the evaluation
};

// A place between two steps, from which fit can go on.
struct FitPosition {
  Index step = 0;          // the number of steps that are done
  EpochResult epoch = {};  // the sums of the current epoch so far
};

struct FitOptions {
  Index epochs = 10;
  RateOptions rate{};
  std::string label = "training";  // begins the progress line
  bool progress = true;            // a live line on stderr, if stderr is a terminal
  // Called after every step with the number of steps done so far and the number of all steps (to prune, for example).
  std::function<void(Index step, Index steps)> after_step{};
  std::function<void(const EpochResult&)> after_epoch{};
  // Asked after every epoch, after after_epoch. If it returns true, that was the last one.
  std::function<bool()> enough{};
  // Both are asked before every step. If either returns true, `save` is called with the position. Another call that
  // begins `from` this position, with the trainer and the parameters as they are then, computes what this call would
  // have computed, to the bit. After `stop` the call ends with InterruptedError, after `save_now` it goes on. Saving
  // takes no part in the seconds of training.
  std::function<bool()> stop{}, save_now{};
  std::function<void(const FitPosition&)> save{};
  FitPosition from{};  // where to begin
};

// Trains for options.epochs epochs; evaluates on `validation` (may be null) after each. Steps and rates count from the
// beginning of this call.
std::vector<EpochResult> fit(Trainer& trainer, Loader& train, const Loader* validation, const FitOptions& options);

}  // namespace espalier
