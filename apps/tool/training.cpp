#include "apps/tool/training.h"

#include <cmath>
#include <csignal>

#include "core/error.h"
#include "layers/models.h"
#include "pruning/rewind.h"

namespace espalier {
namespace {

volatile std::sig_atomic_t interrupt_flag = 0;

constexpr Index evaluation_batch = 1024;

Loader evaluation_loader(const DatasetPtr& set, const RunConfig& config) {
  return Loader(set, {.batch = evaluation_batch, .lanes = config.lanes, .shuffle = false});
}

}  // namespace

bool interrupted() {
  return interrupt_flag != 0;
}

void watch_for_interrupt() {
  const auto note = [](int signal) {
    interrupt_flag = 1;
    std::signal(signal, SIG_DFL);  // a second Ctrl-C ends the program at once
  };
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

int threads_of(const RunConfig& config) {
  return config.threads ? config.threads : default_threads();
}

PrunerOptions pruner_options(const RunConfig& c) {
  return {.criterion = c.method,
          .allocation = allocation_named(c.allocation),
          .schedule = c.schedule,
          .storage = c.storage,
          .protect = c.protect,
          .seed = c.seed};
}

std::string name_of(Side side) {
  return side == Side::dense ? "dense" : "sparse";
}

Trained train_model(const RunConfig& c, const Data& data, Side side, const Observer& observer) {
  const bool prune = side == Side::sparse;
  Trained result;
  result.model = make_model(c.model, {.input = data.train->shape(), .outputs = data.train->classes(), .seed = c.seed});
  const auto optimizer = make_optimizer(c.optimizer);
  Trainer trainer(*result.model, softmax_cross_entropy, *optimizer,
                  {.threads = threads_of(c), .seed = c.seed, .clip_norm = c.clip_norm});
  Loader train(data.train, {.batch = c.batch, .lanes = c.lanes, .seed = c.seed});
  const Loader validation = evaluation_loader(data.validation, c);
  Pruner pruner(trainer.parameters(), pruner_options(c));
  const auto report = [&](const std::vector<PruneEvent>& events) {
    if (!events.empty() && observer.pruned) observer.pruned(events);
  };

  Index round = 0;
  std::optional<Snapshot> early;  // what rewinding goes back to
  const bool rewinding = prune && c.rewind != "none";
  const Index rewind_step = rewinding && c.rewind != "init" ? std::stoll(c.rewind) : 0;
  require(rewind_step <= c.epochs * train.batches(), "[--rewind] expected a step within the training's {}, got {}",
          c.epochs * train.batches(), rewind_step);
  FitOptions fit_options{.epochs = c.epochs,
                         .rate = c.rate,
                         .label = name_of(side),
                         .after_step = {},
                         .after_epoch = {},
                         .stop = interrupted};
  fit_options.after_step = [&](Index step, Index steps) {
    if (rewinding && !early && step == rewind_step) early.emplace(trainer.parameters());
    if (prune && !rewinding) report(pruner.after_step(step, steps));
  };
  fit_options.after_epoch = [&](const EpochResult& epoch) {
    result.train_seconds += epoch.seconds;
    result.train_flops += epoch.flops;
    if (observer.epoch) observer.epoch(epoch, round);
  };
  if (rewinding && rewind_step == 0) early.emplace(trainer.parameters());
  if (prune && !rewinding) report(pruner.after_step(0, c.epochs * train.batches()));

  // With rewinding: train, prune a factor, go back, train again ... Otherwise one training with pruning inside.
  std::vector<EpochResult> history = fit(trainer, train, &validation, fit_options);
  for (round = 1; rewinding && round <= c.schedule.rounds; ++round) {
    report(pruner.prune_to(
        std::pow(c.schedule.density, static_cast<double>(round) / static_cast<double>(c.schedule.rounds)), 0));
    early->restore(trainer.parameters());
    trainer.restart();
    history = fit(trainer, train, &validation, fit_options);
  }
  result.validation = history.back().validation;
  result.test = trainer.evaluate(evaluation_loader(data.test, c));
  return result;
}

}  // namespace espalier
