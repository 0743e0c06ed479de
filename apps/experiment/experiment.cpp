#include "espalier/experiment/experiment.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/experiment/best_epoch.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/experiment/training_state.h"
#include "espalier/optim/progress.h"
#include "espalier/optim/recalibrate.h"
#include "espalier/pruning/storage_rules.h"

namespace espalier {
namespace {

constexpr Index evaluation_batch = 1024;

Loader in_order(const DatasetPtr& set, const Experiment& e) {
  return Loader(set, {.batch = evaluation_batch, .lanes = e.lanes, .shuffle = false});
}

Loader shuffled(const Experiment& e) {
  return Loader(e.data.train, {.batch = e.batch, .lanes = e.lanes, .seed = e.seed, .augment = e.augment});
}

// A trainer needs a model, a loss and an optimizer; it and all that follows need the three parts of the data.
Experiment& complete(Experiment& e) {
  require(e.model && e.loss && e.optimizer, "[experiment] expected a model, a loss and an optimizer, got none of {}",
          !e.model  ? "the first"
          : !e.loss ? "the second"
                    : "the third");
  require(e.data.train && e.data.validation && e.data.test,
          "[experiment] {}: expected parts to train on, to validate and to test, got none to {}", e.data.name,
          !e.data.train        ? "train on"
          : !e.data.validation ? "validate"
                               : "test");
  return e;
}

// Without epochs weights can be scored and pruned; all else that methods do takes place while a network is trained.
void require_epochs_for(const Experiment& e) {
  require(e.epochs > 0 || !e.pruning || (needs_scores_alone(e.pruning->method) && !e.pruning->rewind),
          "[epochs] expected at least 1 with {}, which needs training, got 0 (magnitude, random, snip and others that "
          "score weights as they are can do without)",
          e.pruning->method.name);
}

// What a method may ask of a training, and say to it.
struct Listening {
  bool histograms = false;
  Judge judge = nullptr;
  SensitivityProgress measuring = nullptr;
  std::function<void(const std::string&)> measured = nullptr;
};

std::unique_ptr<Method> method_of(const Experiment& e, Trainer& trainer, const Loader& train, Index steps,
                                  Listening listening) {
  if (!e.pruning) return nullptr;
  PrunerOptions options = e.pruning->options;
  options.seed = e.seed;
  options.storage.histograms = listening.histograms;
  if (e.data.validation->samples() > 0) options.judge = std::move(listening.judge);
  options.measuring = std::move(listening.measuring);
  options.measured = std::move(listening.measured);
  if (options.geometry.empty()) options.geometry = geometries_of(*e.model, e.data.train->shape());
  return make_method(e.pruning->method, {.trainer = trainer,
                                         .train = train,
                                         .options = std::move(options),
                                         .steps = steps,
                                         .settings = e.pruning->settings});
}

// One run of `train`, in the order of its functions: begin, rounds, finish.
class Training {
 public:
  Training(Experiment& e, const Observer& observer, const Checkpoint& checkpoint)
      : e_(complete(e)),
        observer_(observer),
        checkpoint_(checkpoint),
        trainer_(*e.model, e.loss, *e.optimizer, {.threads = e.threads, .seed = e.seed, .clip_norm = e.clip_norm}),
        train_(shuffled(e)),
        validation_(in_order(e.data.validation, e)),
        steps_(e.epochs * train_.batches()),
        method_(method_of(
            e, trainer_, train_, steps_,
            {.histograms = observer.pruned != nullptr,
             .judge = [this] { return judged(); },
             .measuring = [this](Index done, Index most, const std::string& layer) { measuring(done, most, layer); },
             .measured = [this](const std::string& text) { measured(text); }})),
        rewind_(e.pruning ? e.pruning->rewind : Rewind{}),
        rounds_(rewind_ ? e.pruning->options.schedule.rounds : 0),
        statistics_(state_of(*e.model)),
        best_(trainer_.parameters(), statistics_, e.patience) {
    require_epochs_for(e);
    require(e.epochs_before >= 0 && e.epochs_before < std::max<Index>(e.epochs, 1),
            "[experiment] expected fewer epochs before than the {} in all, got {}", e.epochs, e.epochs_before);
    require(checkpoint_.every >= 0, "[checkpoint] expected at least 0 seconds from one to the next, got {}",
            checkpoint_.every);
    require(rewind_.step < std::max<Index>(steps_, 1), "[rewind] expected a step within the training's {}, got {}",
            steps_, rewind_.step);
    result_.model = e.model;
    if (method_) result_.origin = method_->origin();
    if (!checkpoint_.file.empty()) result_.data = checkpoint_.data != 0 ? checkpoint_.data : fingerprint(e.data);
  }

  Trained run() {
    if (!resume()) {
      try {
        train_all();
        finish();
      } catch (const DivergedError&) {
        show_last_epoch();
        throw;
      } catch (const InterruptedError&) {
        if (failure_) std::rethrow_exception(failure_);
        throw;
      }
    }
    if (method_) result_.units = method_->units();
    return std::move(result_);
  }

 private:
  // Takes over what a checkpoint holds, if there is one. True: the training is finished already.
  bool resume() {
    state_.position.step = first_step();
    if (checkpoint_.file.empty()) return false;
    const auto found = load_training(parts(), limits(), checkpoint_.file);
    watch_anew();
    if (!found) return false;
    state_ = *found;
    trainer_.resume_at(state_.trainer_steps, state_.probe_flops);
    if (observer_.go_on_behind) observer_.go_on_behind(state_.noted);
    if (state_.finished) result_.kept_in = checkpoint_file(checkpoint_.file, state_.number);
    return state_.finished;
  }

  void train_all() {
    const FitOptions options = fit_options();
    if (observer_.diverged && state_.number > 0) remember(state_.position.step / train_.batches());
    if (state_.number == 0) timed([&] { options.after_step(0, steps_); });  // else that has happened
    train_rounds(options);
  }

  Index first_step() const { return e_.epochs_before * train_.batches(); }
  TrainingParts parts() {
    return {.trained = result_,
            .method = method_.get(),
            .early = &early_,
            .best = &best_,
            .config = checkpoint_.config,
            .narrowing = narrowing()};
  }
  const Narrowing* narrowing() const { return method_ ? method_->narrowing() : nullptr; }
  TrainingLimits limits() const {
    return {.steps = steps_,
            .batches = train_.batches(),
            .batch = e_.batch,
            .first_step = first_step(),
            .rewound_step = rewind_.step,
            .rounds = rounds_,
            .classes = e_.data.test->classes(),
            .name = e_.data.train->name()};
  }

  void save(const FitPosition& position) {
    if (checkpoint_.file.empty()) return;
    state_.position = position;
    state_.trainer_steps = trainer_.steps();
    state_.probe_flops = trainer_.probe_flops();
    write(parts());
  }
  void write(const TrainingParts& parts) {
    result_.checkpoint_seconds += seconds_of([&] {
      if (observer_.noted) state_.noted = observer_.noted();
      ++state_.number;
      try {
        save_training(state_, parts, checkpoint_.file);
      } catch (const FileError&) {
        if (!removed_older()) throw;
        save_training(state_, parts, checkpoint_.file);
      }
    });
    since_saved_ = Stopwatch();
  }
  // On a full disk there is room without the checkpoint that was to be replaced; the one that came after it stands.
  bool removed_older() const {
    std::error_code ignored;
    return std::filesystem::remove(checkpoint_file(checkpoint_.file, state_.number), ignored);
  }

  FitOptions fit_options() {
    FitOptions options{.epochs = e_.epochs, .rate = e_.rate, .label = e_.label};
    options.from = state_.position;
    options.stop = [this] { return failure_ || checkpoint_.stop(); };
    options.save_now = [this] { return checkpoint_.every > 0 && since_saved_.seconds() >= checkpoint_.every; };
    options.save = [this](const FitPosition& position) { save(position); };
    options.after_step = [this](Index step, Index steps) {
      if (rewind_.kind == Rewind::Kind::step && !early_ && step == rewind_.step)
        early_.emplace(trainer_.parameters(), statistics_);
      if (!method_ || rewind_) return;
      const std::vector<PruneEvent> events = pruned(method_->after_step(step, steps));
      if (!events.empty()) state_.pruned_step = step;
      report(events);
    };
    options.after_epoch = [this](const EpochResult& epoch) {
      result_.train_seconds += epoch.seconds;
      result_.train_flops += epoch.flops;
      result_.validation = epoch.validation;
      if (pruning_has_ended(epoch.epoch)) best_.add(epoch.epoch, epoch.validation);
      if (observer_.diverged && (epoch.validation.samples == 0 || std::isfinite(epoch.validation.loss)))
        remember(epoch.epoch);
      if (observer_.epoch)
        tell([&] {
          observer_.epoch(epoch, state_.round, method_ ? method_->density() : census_of(*e_.model).density());
        });
    };
    options.enough = [this] { return best_.enough(); };
    return options;
  }

  // What a method that takes units out of the model leaves of it: its state stands elsewhere.
  void watch_anew() {
    if (!method_ || !method_->narrowing()) return;
    statistics_ = state_of(*e_.model);
    best_.watch(statistics_);
  }
  std::vector<PruneEvent> pruned(std::vector<PruneEvent> events) {
    if (!events.empty()) watch_anew();
    return events;
  }

  // The model as it would be if the training ended now, for the case that it diverges.
  void remember(Index epochs) {
    trainer_.show_as_trained([&] {
      last_epoch_.clear();
      for (const Parameter* W : trainer_.parameters()) last_epoch_.push_back(*W);
    });
    last_statistics_.emplace(std::span<Parameter* const>(), statistics_);
    last_epoch_number_ = epochs;
  }
  void show_last_epoch() {
    if (last_epoch_number_ == 0) return;
    const std::vector<NamedNumbers> then = last_statistics_->state();  // perhaps of a wider network
    std::size_t next = 0;
    e_.model->visit_state(
        [&](const std::string&, std::vector<Real>& numbers) { numbers.resize(then[next++].numbers.size()); });
    last_statistics_->restore({}, state_of(*e_.model));
    for (std::size_t i = 0; i < last_epoch_.size(); ++i) *trainer_.parameters()[i] = std::move(last_epoch_[i]);
    observer_.diverged(*e_.model, last_epoch_number_);
  }

  // From then on the network only learns. A method that prunes in the end, after the last step, has not.
  bool pruning_has_ended(Index epoch) const {
    if (!method_) return true;
    if (rewind_) return state_.round == rounds_;
    const Schedule& schedule = e_.pruning->options.schedule;
    constexpr double rounding = 1e-3;
    return static_cast<double>(epoch) >= schedule.end * static_cast<double>(e_.epochs) &&
           (method_->narrowing() || method_->density() <= schedule.density + rounding);
  }

  // Without rewinding one training, with pruning inside. With it: train, prune by a factor, go back, train again ...
  void train_rounds(FitOptions options) {
    if (steps_ == 0) {  // nothing happens after the pruning in front of the first step
      result_.validation = trainer_.evaluate(validation_);
      return;
    }
    while (true) {
      fit(trainer_, train_, &validation_, options);
      // From step k on to the end, at the rates that belong there (Frankle et al. 2020).
      options.from = {.step = rewind_.step};
      if (state_.round == rounds_) return;
      ++state_.round;
      timed([&] { begin_round(); });
    }
  }

  void begin_round() {
    const double done = static_cast<double>(state_.round) / static_cast<double>(rounds_);
    report(pruned(method_->prune_to(std::pow(e_.pruning->options.schedule.density, done), state_.round * steps_)));
    if (rewind_.kind == Rewind::Kind::step) early_->restore(trainer_.parameters(), statistics_);
    trainer_.restart();
  }

  void finish() {
    if (const auto validation = best_.restore()) {
      result_.validation = *validation;
      result_.epoch = best_.epoch();
    }
    if (method_) timed([&] { prune_in_the_end(); });
    result_.train_flops += trainer_.take_probe_flops();
    const Score score = trainer_.score(in_order(e_.data.test, e_));
    result_.test = score.evaluation;
    result_.metrics = score.metrics;
    if (e_.data.test->classes() > 0 && e_.data.test->tokens() == 0)  // characters are many, and have no names
      result_.confusion = confusion_of(score.outputs, *e_.data.test);
    if (method_ && !rewind_ && method_->idle(steps_)) note_idle();
    if (method_ && method_->narrowing()) note_units();
    if (result_.metrics.classes == 0 && result_.metrics.samples > 0 && !std::isfinite(result_.metrics.rmse))
      throw DivergedError("training diverged at its last step: outputs are not finite; try a smaller learning rate");
    keep_finished();
    if (failure_) std::rethrow_exception(failure_);
  }

  // The method's own pruning behind the last step. If that, or the step that counts, was the last change of the
  // weights, running statistics are those of the network before.
  void prune_in_the_end() {
    const std::vector<PruneEvent> events = pruned(method_->finish(steps_));
    report(events);
    const Index counted = result_.epoch > 0 ? result_.epoch * train_.batches() : steps_;
    if (statistics_.empty() || !e_.pruning->recalibrate || (events.empty() && state_.pruned_step != counted)) return;
    result_.train_flops += recalibrate(*e_.model, shuffled(e_), {.threads = e_.threads, .seed = e_.seed});
    result_.validation = trainer_.evaluate(validation_);
    result_.notes.push_back(
        fmt::format("running statistics were taken anew from the {} training samples, for no step followed the last "
                    "pruning (--no-recalibrate leaves them)",
                    e_.data.train->samples()));
  }

  // --- what a method asks and says ---
  // How good the network is now, on samples that it does not learn from; counted as what it costs.
  Evaluation judged() {
    const Evaluation now = trainer_.evaluate(validation_);
    Flops probes = trainer_.probe_flops();
    trainer_.resume_at(trainer_.steps(), probes += now.flops);
    return now;
  }
  void measuring(Index done, Index most, const std::string& layer) {
    const Index samples = e_.data.validation->samples();
    if (!progress_) {
      if (!e_.label.empty())
        fmt::print(stderr, "  measuring sensitivity of {} layers on {} validation samples ...\n",
                   most / std::ssize(tolerance_densities()), samples);
      progress_.emplace("sensitivity", most * samples, !e_.label.empty());
    }
    progress_->update(done * samples, layer);
  }
  void measured(const std::string& text) {
    progress_.reset();
    if (!e_.label.empty()) fmt::print(stderr, "  {}\n", text);
    result_.notes.push_back(text);
  }

  // A model that cannot be kept here may still be written elsewhere.
  void keep_finished() {
    if (checkpoint_.file.empty()) return;
    state_.finished = true;
    try {
      write({.trained = result_, .config = checkpoint_.config, .narrowing = narrowing()});
      result_.kept_in = checkpoint_file(checkpoint_.file, state_.number);
    } catch (const FileError& error) {
      result_.not_kept = error.what();
    }
  }

  void note_idle() {
    const Schedule& schedule = e_.pruning->options.schedule;
    result_.notes.push_back(fmt::format(
        "{} exchanged no weights, and was the method static: its interval is {} steps, and exchanges end at "
        "{:g} of the {} steps",
        e_.pruning->method.name, schedule.interval, schedule.end, steps_));
  }

  // Guards, multiples and rounding come before the density.
  void note_units() {
    constexpr double rounding = 0.01;
    const double left = method_->density(), asked = e_.pruning->options.schedule.density;
    if (std::abs(left - asked) > rounding)
      result_.notes.push_back(
          fmt::format("{:.1f} % of the units are left where {:.1f} % were asked for: a minimum, multiples, or the "
                      "rounding of layers",
                      100 * left, 100 * asked));
  }

  void report(const std::vector<PruneEvent>& events) {
    if (!events.empty() && observer_.pruned) tell([&] { observer_.pruned(events); });
    for (const PruneEvent& event : events)
      if (event.histogram) result_.event_seconds += event.histogram->seconds;
  }
  // Where a training can be kept, an observer that fails ends it at the next place from which it can go on.
  template <typename Telling>
  void tell(Telling&& telling) {
    const Stopwatch watch;
    try {
      telling();
    } catch (const FileError&) {
      if (checkpoint_.file.empty()) throw;
      if (!failure_) failure_ = std::current_exception();
    }
    result_.event_seconds += watch.seconds();
  }
  // What happens between trainings is part of what they cost.
  template <typename Work>
  void timed(Work&& work) {
    result_.train_seconds += seconds_of(work);
  }

  Experiment& e_;
  const Observer& observer_;
  const Checkpoint& checkpoint_;
  Trainer trainer_;
  Loader train_;
  const Loader validation_;
  Index steps_;  // of a round
  std::unique_ptr<Method> method_;
  Rewind rewind_;
  Index rounds_;
  std::vector<NamedNumbers> statistics_;
  BestEpoch best_;
  std::optional<Snapshot> early_;      // what rewinding goes back to
  std::vector<Parameter> last_epoch_;  // with observer_.diverged
  std::optional<Snapshot> last_statistics_;
  Index last_epoch_number_ = 0;
  std::exception_ptr failure_;        // an observer's
  std::optional<Progress> progress_;  // of measuring sensitivity
  Stopwatch since_saved_;
  TrainingState state_;
  Trained result_;
};

}  // namespace

Pruning prune_by(const std::string& method, double density) {
  Pruning pruning{.method = methods().named(method)};
  const MethodDefaults& own = pruning.method.defaults;
  pruning.options.structure = own.structure;
  pruning.options.allocation = own.allocation;
  pruning.options.schedule = own.schedule;
  if (density != 0) pruning.options.schedule.density = density;
  pruning.rewind = own.rewind;
  return pruning;
}

Trained train(Experiment& e, const Observer& observer, const Checkpoint& checkpoint) {
  return Training(e, observer, checkpoint).run();
}

void require_possible(Experiment& e, const std::vector<double>& densities) {
  complete(e);
  require_epochs_for(e);
  model_bytes(*e.model, card_of(*e.model, e.data));  // that its file could be written
  Trainer trainer(*e.model, e.loss, *e.optimizer, {.seed = e.seed});
  const Loader train = shuffled(e);
  const auto method = method_of(e, trainer, train, /*steps=*/0,
                                {.judge = [&] { return trainer.evaluate(in_order(e.data.validation, e)); }});
  if (!method) return;
  for (const double density : densities) method->require_possible(density);
  if (densities.empty()) method->require_possible(e.pruning->options.schedule.density);
}

void save_finished(const Trained& trained, const std::filesystem::path& checkpoint) {
  Trained copy = trained;
  save_training({.finished = true, .number = 1}, {.trained = copy}, checkpoint);
}

void remove_checkpoint(const std::filesystem::path& checkpoint) {
  std::error_code ignored;
  const std::string name = checkpoint.filename().string();
  std::vector<std::filesystem::path> found;
  const auto folder = checkpoint.has_parent_path() ? checkpoint.parent_path() : std::filesystem::path(".");
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (const std::string other = entry.path().filename().string(); other == name || other.starts_with(name + "."))
      found.push_back(entry.path());
  for (const auto& file : found) std::filesystem::remove(file, ignored);
}

}  // namespace espalier
