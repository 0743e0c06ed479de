#include "espalier/optim/fit.h"

#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/optim/progress.h"

namespace espalier {

std::vector<EpochResult> fit(Trainer& trainer, Loader& train, const Loader* validation, const FitOptions& options) {
  require(options.epochs >= 1, "[fit] expected at least 1 epoch, got {}", options.epochs);
  require(train.data().samples() > 0, "[fit] expected at least 1 training sample, got none");
  const RateOptions rate = settled(options.rate);
  const Index steps = options.epochs * train.batches();
  Progress progress(options.label, (steps - options.from.step) * train.options().batch, options.progress);
  std::vector<EpochResult> history;
  Index step = options.from.step;
  Index samples_done = 0;
  for (Index epoch = 1 + step / train.batches(); epoch <= options.epochs; ++epoch) {
    // The sums of this epoch so far: none, or those of the call that was interrupted in it.
    const Index first = step % train.batches();
    EpochResult result = first > 0 ? options.from.epoch : EpochResult{};
    result.epoch = epoch;
    const double seconds_before = result.seconds;
    double seconds_saving = 0;
    const Stopwatch watch;
    const auto seconds_so_far = [&] { return seconds_before + watch.seconds() - seconds_saving; };
    const auto save = [&] {
      result.seconds = seconds_so_far();
      if (options.save) seconds_saving += seconds_of([&] { options.save({step, result}); });
    };
    train.start_epoch(epoch - 1);
    for (Index b = first; b < train.batches(); ++b) {
      if (options.stop && options.stop()) {
        save();
        throw InterruptedError(fmt::format("{}: interrupted after step {} of {}", options.label, step, steps));
      }
      if (options.save_now && options.save_now()) save();
      result.rate = rate_at(rate, step, steps);
      const StepResult done = trainer.step(train, b, result.rate);
      ++step;
      result.train_loss += done.loss * static_cast<double>(done.samples);
      result.gradient_norm += done.gradient_norm / static_cast<double>(train.batches());
      result.samples += done.samples;
      result.flops += done.flops;
      samples_done += done.samples;
      if (options.after_step) options.after_step(step, steps);
      if (progress.due())
        progress.update(samples_done, fmt::format("epoch {}/{}  loss {:.4f}", epoch, options.epochs,
                                                  result.train_loss / static_cast<double>(result.samples)));
    }
    result.train_loss /= static_cast<double>(result.samples);
    result.seconds = seconds_so_far();
    if (validation) result.validation = trainer.evaluate(*validation);
    progress.clear();
    if (options.after_epoch) options.after_epoch(result);
    history.push_back(result);
    if (options.enough && options.enough()) break;
  }
  return history;
}

}  // namespace espalier
