#include "apps/tool/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <iterator>
#include <nlohmann/json.hpp>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/controls.h"
#include "espalier/pruning/rewind.h"

namespace espalier {
namespace {

volatile std::sig_atomic_t interrupt_flag = 0;
Index questions_left = -1;

// Where a training is, beside its parameters: JSON in the checkpoint's metadata.
struct Progress {
  bool finished = false;
  Index round = 0, trainer_steps = 0;
  FitPosition position;
};

constexpr const char* progress_key = "progress";

nlohmann::json to_json(const Flops& f) {
  return {f.executed, f.useful};
}
Flops flops_of(const nlohmann::json& j) {
  return {j.at(0), j.at(1)};
}
nlohmann::json to_json(const Evaluation& e) {
  return {{"loss", e.loss},       {"accuracy", e.accuracy},    {"rmse", e.rmse},
          {"samples", e.samples}, {"flops", to_json(e.flops)}, {"classes", e.classes}};
}
Evaluation evaluation_of(const nlohmann::json& j) {
  return {j.at("loss"),    j.at("accuracy"),        j.at("rmse"),
          j.at("samples"), flops_of(j.at("flops")), j.value("classes", Index{1})};  // once, all were of classes
}
// Numbers that are not defined become null.
nlohmann::json to_json(const Metrics& m) {
  return {{"samples", m.samples},
          {"classes", m.classes},
          {"accuracy", m.accuracy},
          {"balanced", m.balanced_accuracy},
          {"auc", m.auc},
          {"log_loss", m.log_loss},
          {"rmse", m.rmse},
          {"mae", m.mae},
          {"r2", m.r2}};
}
Metrics metrics_of(const nlohmann::json& j) {
  const auto number = [&](const char* key) { return j.at(key).is_null() ? Metrics::unknown : j.at(key).get<double>(); };
  return {.samples = j.at("samples"),
          .classes = j.at("classes"),
          .accuracy = number("accuracy"),
          .balanced_accuracy = number("balanced"),
          .auc = number("auc"),
          .log_loss = number("log_loss"),
          .rmse = number("rmse"),
          .mae = number("mae"),
          .r2 = number("r2")};
}

// What there is to remember: of the model and, while it is in training, of the method.
std::vector<Parameter*> everything(const Trained& t, Method* method) {
  std::vector<Parameter*> all = parameters_of(*t.model);
  if (method) std::ranges::copy(method->latents(), std::back_inserter(all));
  return all;
}
std::vector<NamedNumbers> state_of(const Trained& t, Method* method) {
  std::vector<NamedNumbers> all = state_of(*t.model);
  if (method) std::ranges::copy(method->state(), std::back_inserter(all));
  return all;
}

void save(const Progress& p, const Trained& t, Method* method, const std::filesystem::path& path) {
  const EpochResult& e = p.position.epoch;
  const nlohmann::json json = {{"finished", p.finished},
                               {"round", p.round},
                               {"trainer_steps", p.trainer_steps},
                               {"step", p.position.step},
                               {"epoch",
                                {{"train_loss", e.train_loss},
                                 {"gradient_norm", e.gradient_norm},
                                 {"seconds", e.seconds},
                                 {"samples", e.samples},
                                 {"flops", to_json(e.flops)}}},
                               {"train_seconds", t.train_seconds},
                               {"train_flops", to_json(t.train_flops)},
                               {"validation", to_json(t.validation)},
                               {"test", to_json(t.test)},
                               {"metrics", to_json(t.metrics)}};
  save_checkpoint(everything(t, method), {{progress_key, json.dump()}}, path, state_of(t, method));
}

Progress load(Trained& t, Method* method, const std::filesystem::path& path) {
  const auto metadata = load_checkpoint(everything(t, method), path, state_of(t, method));
  try {
    const auto json = nlohmann::json::parse(metadata.at(progress_key));
    Progress p{json.at("finished"), json.at("round"), json.at("trainer_steps"), {json.at("step"), {}}};
    const auto& epoch = json.at("epoch");
    p.position.epoch.train_loss = epoch.at("train_loss");
    p.position.epoch.gradient_norm = epoch.at("gradient_norm");
    p.position.epoch.seconds = epoch.at("seconds");
    p.position.epoch.samples = epoch.at("samples");
    p.position.epoch.flops = flops_of(epoch.at("flops"));
    t.train_seconds = json.at("train_seconds");
    t.train_flops = flops_of(json.at("train_flops"));
    t.validation = evaluation_of(json.at("validation"));
    t.test = evaluation_of(json.at("test"));
    if (json.contains("metrics")) t.metrics = metrics_of(json.at("metrics"));
    return p;
  } catch (const std::exception& error) {
    throw FileError(fmt::format("{}: expected a checkpoint of a training, found: {}", path.string(), error.what()));
  }
}

// With rewinding, what is gone back to stands in a file of its own. So does a control's training.
std::filesystem::path early_file(std::filesystem::path checkpoint) {
  return checkpoint += ".early";
}
std::filesystem::path control_file(std::filesystem::path checkpoint) {
  return checkpoint += ".control";
}

constexpr Index evaluation_batch = 1024;

Loader evaluation_loader(const DatasetPtr& set, const RunConfig& config) {
  return Loader(set, {.batch = evaluation_batch, .lanes = config.lanes, .shuffle = false});
}

}  // namespace

bool interrupted() {
  if (questions_left > 0 && --questions_left == 0) interrupt_flag = 1;
  return interrupt_flag != 0;
}

void interrupt_after(Index steps) {
  interrupt_flag = steps == 0;
  questions_left = steps;
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

PrunerOptions pruner_options(const RunConfig& c, Module& model, const Shape& input) {
  return {.method = c.method,
          .allocation = allocation_named(c.allocation),
          .structure = structure_named(c.structure),
          .schedule = c.schedule,
          .storage = c.storage,
          .protect = c.protect,
          .seed = c.seed,
          .settings = c.settings,
          .geometry = geometries_of(model, input)};
}

ModulePtr model_of(const RunConfig& c, const Data& data) {
  return make_model(c.model, {.input = data.train->shape(), .outputs = outputs_for(*data.train), .seed = c.seed});
}

Loss loss_of(const RunConfig& c, const Data& data) {
  const bool classes = data.train->classes() > 0;
  const LossEntry& entry = losses().named(c.loss != "auto" ? c.loss : classes ? "cross-entropy" : "mse");
  std::vector<std::string> possible{"auto"};
  for (const LossEntry& other : losses().entries())
    if (other.classification == classes) possible.push_back(other.name);
  require(entry.classification == classes, "[--loss] expected {} for {}, got {}", listed(possible),
          classes ? "data of classes" : "data of numbers to predict", entry.name);
  require(classes || c.class_weights == "none", "[--class-weights] expected none for data without classes, got {}",
          c.class_weights);
  LossOptions options{.huber_delta = c.huber_delta, .quantile = c.quantile};
  if (c.class_weights == "balanced") options.class_weights = balanced_weights(samples_of_class(*data.train));
  return entry.make(options);
}

namespace {

// As many parameters as the method was asked to leave.
RunConfig small_dense_of(RunConfig c, const Data& data) {
  const ModulePtr model = model_of(c, data);
  Index prunable = 0;
  for (const Parameter* W : pruned_layers(parameters_of(*model), c.protect)) prunable += W->positions();
  const Index kept = std::llround(c.schedule.density * static_cast<double>(prunable));
  c.model = small_dense(c.model, *model, census_of(*model).parameters() - prunable + kept);
  return c;
}

}  // namespace

void require_possible(const RunConfig& c, const Data& data, const std::vector<double>& densities) {
  const Loss loss = loss_of(c, data);
  if (control_named(c.control) == Control::small_dense) {
    for (RunConfig one = c; const double density : densities) {
      one.schedule.density = density;
      small_dense_of(one, data);
    }
    return;
  }
  const ModulePtr model = model_of(c, data);
  const auto optimizer = make_optimizer(c.optimizer);
  Trainer trainer(*model, loss, *optimizer, {.seed = c.seed});
  const Loader train(data.train, {.batch = c.batch, .lanes = c.lanes, .seed = c.seed});
  const auto method = make_method({trainer, train, pruner_options(c, *model, data.train->shape())});
  for (const double density : densities) method->require_possible(density);
}

std::string name_of(Side side) {
  return side == Side::dense ? "dense" : "sparse";
}

void save_finished(const Trained& trained, const std::filesystem::path& checkpoint) {
  save({.finished = true, .position = {}}, trained, nullptr, checkpoint);
}

namespace {

// Trains `model`, with the method's pruning or without.
Trained train_from(ModulePtr model, const RunConfig& c, const Data& data, bool prune, const Observer& observer,
                   const std::filesystem::path& checkpoint) {
  Trained result;
  result.model = std::move(model);
  const auto optimizer = make_optimizer(c.optimizer);
  Trainer trainer(*result.model, loss_of(c, data), *optimizer,
                  {.threads = threads_of(c), .seed = c.seed, .clip_norm = c.clip_norm});
  Loader train(data.train,
               {.batch = c.batch, .lanes = c.lanes, .seed = c.seed, .augment = augmentation_named(c.augment)});
  const Loader validation = evaluation_loader(data.validation, c);
  const auto method = prune ? make_method({trainer, train, pruner_options(c, *result.model, data.train->shape()),
                                           c.epochs * train.batches()})
                            : nullptr;
  if (method) result.origin = method->origin();
  const auto report = [&](const std::vector<PruneEvent>& events) {
    if (!events.empty() && observer.pruned) observer.pruned(events);
  };

  const bool rewinding = prune && c.rewind != "none";
  const Index rounds = rewinding ? c.schedule.rounds : 0;
  const Index rewind_step = rewinding && c.rewind != "init" && c.rewind != "rate" ? std::stoll(c.rewind) : 0;
  require(rewind_step < c.epochs * train.batches(), "[--rewind] expected a step within the training's {}, got {}",
          c.epochs * train.batches(), rewind_step);
  std::optional<Snapshot> early;  // what rewinding goes back to
  const std::vector<NamedNumbers> statistics = state_of(*result.model);

  Progress progress;
  if (!checkpoint.empty() && std::filesystem::exists(checkpoint)) {
    if (std::filesystem::exists(early_file(checkpoint))) {
      load_checkpoint(trainer.parameters(), early_file(checkpoint), statistics);
      early.emplace(trainer.parameters(), statistics);
    }
    progress = load(result, method.get(), checkpoint);
    if (progress.finished) return result;
    trainer.resume_at(progress.trainer_steps);
  }
  FitOptions options{.epochs = c.epochs, .rate = c.rate, .label = name_of(prune ? Side::sparse : Side::dense)};
  options.from = progress.position;
  options.stop = interrupted;
  options.stopped = [&](const FitPosition& position) {
    if (checkpoint.empty()) return;
    progress.position = position;
    progress.trainer_steps = trainer.steps();
    if (early) save_checkpoint(early->copies(), {}, early_file(checkpoint), early->state());
    save(progress, result, method.get(), checkpoint);
  };
  options.after_step = [&](Index step, Index steps) {
    if (rewinding && !early && step == rewind_step) early.emplace(trainer.parameters(), statistics);
    if (prune && !rewinding) report(method->after_step(step, steps));
  };
  options.after_epoch = [&](const EpochResult& epoch) {
    result.train_seconds += epoch.seconds;
    result.train_flops += epoch.flops;
    result.validation = epoch.validation;
    if (observer.epoch)
      observer.epoch(epoch, progress.round, prune ? method->density() : census_of(*result.model).density());
  };
  const auto timed = [&](const auto& work) {  // what happens between trainings is part of what they cost
    const auto start = std::chrono::steady_clock::now();
    work();
    result.train_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  if (progress.trainer_steps == 0 && progress.round == 0)
    timed([&] { options.after_step(0, c.epochs * train.batches()); });

  // Without rewinding one training, with pruning inside. With it: train, prune a factor, go back, train again ...
  while (true) {
    fit(trainer, train, &validation, options);
    // From step k on to the end, at the rates that belong there (Frankle et al. 2020).
    options.from = {.step = rewind_step};
    if (progress.round == rounds) break;
    ++progress.round;
    const double done = static_cast<double>(progress.round) / static_cast<double>(rounds);
    timed([&] {
      report(method->prune_to(std::pow(c.schedule.density, done), progress.round * c.epochs * train.batches()));
      if (c.rewind != "rate") early->restore(trainer.parameters(), statistics);
      trainer.restart();
    });
  }
  if (prune) timed([&] { report(method->finish(c.epochs * train.batches())); });
  result.train_flops += trainer.take_probe_flops();
  const Loader test = evaluation_loader(data.test, c);
  result.test = trainer.evaluate(test);
  result.metrics = metrics_of(trainer.predict(test), *data.test);
  if (result.metrics.classes == 0 && result.metrics.samples > 0 && !std::isfinite(result.metrics.rmse))
    throw DivergedError("training diverged at its last step: outputs are not finite; try a smaller --rate");
  return result;
}

// The network that a control trains once more, and may compare with what was found.
ModulePtr control_model(Control control, const RunConfig& c, const Data& data, Module& found) {
  RunConfig fresh = c;
  fresh.seed = initial_seed(control, c.seed);
  ModulePtr model = model_of(fresh, data);
  apply_pattern(control, parameters_of(found), parameters_of(*model), c.seed);
  return model;
}

}  // namespace

Trained train_model(const RunConfig& c, const Data& data, Side side, const Observer& observer,
                    const std::filesystem::path& checkpoint) {
  const Control control = side == Side::sparse ? control_named(c.control) : Control::none;
  if (control == Control::small_dense) {  // no method has to run for that
    const RunConfig small = small_dense_of(c, data);
    return train_from(model_of(small, data), small, data, /*prune=*/false, observer, checkpoint);
  }
  Trained found = train_from(model_of(c, data), c, data, side == Side::sparse, observer, checkpoint);
  if (control == Control::none) return found;
  Observer later = observer;  // what the control's epochs come after
  if (observer.epoch)
    later.epoch = [&](const EpochResult& epoch, Index, double density) {
      observer.epoch(epoch, (c.rewind == "none" ? 0 : c.schedule.rounds) + 1, density);
    };
  try {
    Trained trained = train_from(control_model(control, c, data, *found.model), c, data, /*prune=*/false, later,
                                 checkpoint.empty() ? checkpoint : control_file(checkpoint));
    trained.train_seconds += found.train_seconds;
    trained.train_flops += found.train_flops;
    return trained;
  } catch (const InterruptedError&) {
    if (!checkpoint.empty()) save_finished(found, checkpoint);
    throw;
  }
}

}  // namespace espalier
