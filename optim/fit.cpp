#include "optim/fit.h"

#include <chrono>

#include "core/error.h"
#include "optim/progress.h"

namespace espalier {

std::vector<EpochResult> fit(Trainer& trainer, Loader& train, const Loader* validation, const FitOptions& options) {
  require(options.epochs >= 1, "[fit] expected at least 1 epoch, got {}", options.epochs);
  require(train.data().samples() > 0, "[fit] expected at least 1 training sample, got none");
  check_rate(options.rate);
  using Clock = std::chrono::steady_clock;
  const Index steps = options.epochs * train.batches();
  Progress progress(options.label, options.epochs * train.data().samples(), options.progress);
  std::vector<EpochResult> history;
  Index step = 0, samples_done = 0;
  for (Index epoch = 1; epoch <= options.epochs; ++epoch) {
    EpochResult result{.epoch = epoch, .validation = {}, .flops = {}};
    const Clock::time_point start = Clock::now();
    train.start_epoch(epoch - 1);
    for (Index b = 0; b < train.batches(); ++b) {
      result.rate = rate_at(options.rate, step, steps);
      const StepResult done = trainer.step(train, b, result.rate);
      ++step;
      result.train_loss += done.loss * static_cast<double>(done.samples);
      result.gradient_norm += done.gradient_norm / static_cast<double>(train.batches());
      result.samples += done.samples;
      result.flops += done.flops;
      samples_done += done.samples;
      if (options.after_step) options.after_step(step, steps);
      if (options.stop && options.stop())
        throw InterruptedError(fmt::format("interrupted after step {} of {} ({})", step, steps, options.label));
      if (progress.due())
        progress.update(samples_done, fmt::format("epoch {}/{}  loss {:.4f}", epoch, options.epochs,
                                                  result.train_loss / static_cast<double>(result.samples)));
    }
    result.train_loss /= static_cast<double>(result.samples);
    result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (validation) result.validation = trainer.evaluate(*validation);
    progress.clear();
    if (options.after_epoch) options.after_epoch(result);
    history.push_back(result);
  }
  return history;
}

}  // namespace espalier
