// espalier train: a dense twin, then the pruned network, then everything measured side by side.
#include "apps/tool/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "apps/tool/colour.h"
#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/experiment/baselines.h"
#include "espalier/experiment/config_changes.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/recommend.h"
#include "espalier/experiment/report.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/sweep.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/layers/initial_weights.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/group_criterion.h"

namespace espalier {
namespace {

// "drop=0.3" -> settings["drop"] = 0.3
void set_settings(std::map<std::string, double>& settings, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = equals == std::string::npos ? std::from_chars_result{end, std::errc::invalid_argument}
                                                           : std::from_chars(text.data() + equals + 1, end, value);
    require(error == std::errc() && stop == end && std::isfinite(value),
            "[--set] expected NAME=NUMBER such as drop=0.3, got \"{}\"", text);
    settings[text.substr(0, equals)] = value;
  }
}

void add_pruning_flags(CLI::App& app, TrainFlags& f) {
  RunConfig& c = f.config;
  app.option_defaults()->group("Pruning: how, and how much");
  app.add_option("--method", c.method, "How to prune: `espalier methods` lists them")->capture_default_str();
  app.add_option_function<std::vector<std::string>>(
         "--set", [&c](const std::vector<std::string>& texts) { set_settings(c.settings, texts); },
         "The method's own settings, e.g. drop=0.3; `espalier explain METHOD` lists them")
      ->delimiter(',');
  app.add_option(
         "--density", f.densities,
         "Fraction of weights kept, in (0, 1]; with a structure of whole units, the share of units kept; several "
         "give several runs (default: the method's)")
      ->delimiter(',');
  app.option_defaults()->group("Pruning: when");
  app.add_option("--schedule", c.schedule.kind, "one-shot, linear, cubic or iterative (default: the method's)");
  app.add_option("--begin", c.schedule.begin, "Pruning begins after this fraction of the steps (default: the method's)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--end", c.schedule.end, "Pruning ends after this fraction of the steps (default: the method's)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--interval", c.schedule.interval, "Steps between two prunings (default: the method's)")
      ->check(CLI::PositiveNumber);
  app.add_option("--rounds", c.schedule.rounds, "Rounds, if iterative (default: the method's)")
      ->check(CLI::PositiveNumber);
  app.add_option("--rewind", c.rewind,
                 "none, init, a step, or rate (the learning rate only): each iterative round trains again from there");
  app.option_defaults()->group("Pruning: how, and how much");
  app.add_option(
      "--allocation", c.allocation,
      "uniform, er, erk, global, lamp, sensitivity:DROP (by how far each layer alone can be pruned for DROP points of "
      "accuracy, or per cent of the RMSE, measured on validation samples), or a density for each layer, e.g. "
      "fc1=0.05,fc2=0.1,output=1 (default: the method's)");
  app.add_option("--structure", c.structure,
                 "elements, N:M (e.g. 2:4), block:RxC (e.g. block:4x4) or fan-in; or whole units, which are taken out: "
                 "neurons, channels, heads, or units for all three (default: the method's)");
  app.add_option("--criterion", c.units.criterion,
                 fmt::format("By what whole units are chosen: auto (the method's), {}", group_criteria().names()))
      ->capture_default_str();
  app.add_option("--round-to", c.units.round_to, "Of whole units: each layer keeps a multiple of so many")
      ->capture_default_str();
  app.add_option("--minimum", c.units.minimum, "Of whole units: so many of each layer stay, if it has so many")
      ->capture_default_str();
  app.add_option("--control", c.control,
                 "none, reinit, random-pattern, shuffled-mask or small-dense: what is trained in the pruned network's "
                 "place, for comparison")
      ->capture_default_str();
  app.add_option("--protect", c.protect,
                 "Weights never to prune, e.g. output.weight; of whole units, layers that keep all of theirs, e.g. fc1")
      ->delimiter(',');
  app.add_flag_callback(
      "--no-recalibrate", [&c] { c.recalibrate = false; },
      "Where no step follows the last pruning: leave batch norm's running statistics as they were before it");
}

void add_training_flags(CLI::App& app, RunConfig& c) {
  app.option_defaults()->group("Training");
  app.add_option("--epochs", c.epochs,
                 "Epochs (of each round, with --rewind); 0, with --init: prune the weights as they are, and evaluate")
      ->capture_default_str();
  app.add_option("--members", c.members, "Networks to train, each with a seed of its own; their average is the result")
      ->capture_default_str();
  app.add_option(
         "--patience", c.patience,
         "Above 0: keep the epoch that is best on validation samples, of those after pruning has ended, and end "
         "after so many without a better one")
      ->capture_default_str();
  app.add_option("--batch", c.batch, "Samples per step")->capture_default_str();
  app.add_option("--loss", c.loss, "auto (cross-entropy for classes, mse for numbers), " + losses().names())
      ->capture_default_str();
  app.add_option("--huber-delta", c.huber_delta, "Errors above this pull no harder; in standardised units")
      ->capture_default_str();
  app.add_option("--quantile", c.quantile, "The quantile to predict, in (0, 1)")->capture_default_str();
  app.add_option("--class-weights", c.class_weights, "none, or balanced: each class counts the same, however rare")
      ->capture_default_str();
  app.add_option("--optimizer", c.optimizer.name, optimizers().names())->capture_default_str();
  app.add_option("--momentum", c.optimizer.momentum, "sgd, nesterov")->capture_default_str();
  app.add_option("--weight-decay", c.optimizer.weight_decay, "On weights, not on biases")->capture_default_str();
  app.add_option(
         "--rate", c.rate.rate,
         "Highest learning rate; 0: what suits the model and the optimizer: with sgd 0.1, or with a warm-up 0.01 "
         "to 0.05 for convolutional models and 0.4 for recurrent ones; with adam 0.001")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--rate-schedule", [&c](const std::string& name) { c.rate.schedule = rate_schedule_named(name); },
         "constant, step or cosine")
      ->default_str(std::string(name_of(c.rate.schedule)));
  app.add_option("--warmup", c.rate.warmup, "Fraction of the steps")->capture_default_str();
  app.add_option("--clip-norm", c.clip_norm,
                 "Clip the gradient's global norm; 0: never; -1: what suits the model: 1 for tables, else never")
      ->capture_default_str();
}

void add_resume_flags(CLI::App& app, TrainFlags& f) {
  app.add_option("--resume", f.resume,
                 "Go on with an interrupted run's folder; with --epochs, train the network of a finished run on, to so "
                 "many epochs in all, at its last learning rate or at --rate")
      ->check(a_path());
  app.add_option("--checkpoint-every", f.checkpoint_every,
                 "Seconds between two checkpoints; 0: only when the run is stopped")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
}

void add_run_flags(CLI::App& app, TrainFlags& f) {
  RunConfig& c = f.config;
  app.option_defaults()->group("Run");
  app.add_option("--seed", c.seed, "Of everything that is random")->check(counted())->capture_default_str();
  app.add_option("--seeds", f.seeds, "This many runs, with seeds --seed, --seed + 1, ...")
      ->check(counted())
      ->capture_default_str();
  app.add_option("--threads", c.threads, "0: one per processor; never changes the result")->capture_default_str();
  app.add_option("--lanes", c.lanes, "Samples side by side in a tile; 0: 64, or 16 for convolutional models")
      ->capture_default_str();
  app.add_option("--layout", c.layout,
                 "Of the model's file: smallest, or csr, in which other programs find .data, .indices, .indptr and "
                 ".shape of every matrix")
      ->capture_default_str();
  app.add_flag("--tune", f.tune, "Measure first where csr beats dense, layer by layer, and record it in config.toml");
  app.add_flag("--no-dense", f.no_dense, "Skip the dense twin");
  app.add_flag("--baselines", c.baselines,
               "Also what the majority class (or the mean) and a linear model reach; tables have them anyway");
  app.option_defaults()->group("Output");
  app.add_option(
         "--out", f.place.out,
         "Run folder (default: runs/DATA-MODEL-METHOD or, if that is used, the same with -2, -3, ... behind it)")
      ->check(a_path());
  app.add_flag("--overwrite", f.place.overwrite, "Remove what a run has left in the folder");
  app.add_flag("--json", f.json, "Print result.json instead of the table");
}

}  // namespace

void add_train_flags(CLI::App& app, TrainFlags& f) {
  RunConfig& c = f.config;
  app.option_defaults()->group("Where to begin");
  app.add_option("--config", f.config_file, "Begin with a run's config.toml; flags override it")->check(a_path());
  app.add_option("--recipe", f.recipe,
                 "Begin with a recipe (`espalier recipes` lists them; or a file .toml); flags override it. auto: race "
                 "those that fit the data, and train the best")
      ->excludes("--config");
  add_race_flags(app, f.race);
  add_resume_flags(app, f);
  add_data_flags(app, c);
  app.option_defaults()->group(data_group);
  app.add_option("--augment", c.augment, "none, flip (mirror half of the images) or crop-flip (move them as well)")
      ->capture_default_str();
  app.option_defaults()->group("Model");
  app.add_option("--model", c.model, fmt::format("{}", fmt::join(known_models(), ", ")))->capture_default_str();
  app.add_option("--init", c.init,
                 "Weights to begin with: a run, a model's file, or a safetensors file of another program")
      ->check(a_path());
  app.add_option("--init-names", c.init_names, "What layers are called in a file of another program, e.g. fc1=0,fc2=2")
      ->delimiter(',');
  add_pruning_flags(app, f);
  add_training_flags(app, c);
  add_run_flags(app, f);
  app.option_defaults()->group("Options");
  app.footer(
      "Examples:\n"
      "  espalier train --data mnist --density 0.05 --epochs 12\n"
      "  espalier train --data people.csv --target income --recipe auto\n"
      "  espalier train --data cifar10 --model conv-4 --method rigl --density 0.1 --allocation erk\n"
      "  espalier train --density 0.5,0.2,0.1,0.05 --seeds 3          # twelve runs and a table of them\n"
      "  espalier train --resume runs/mnist-lenet-300-100-magnitude");
}

namespace {

// What one command line asks for: a configuration, at several densities and seeds. Kept in the run folder, for
// --resume.
struct Sweep {
  RunConfig base;
  std::vector<double> densities;
  std::uint64_t seeds = 1;
  bool open = false;             // no density was asked for
  std::string fingerprint = {};  // of the data; empty: the run is from before it was kept
  // Of a run that is trained on: its configuration before that, and how long its metrics.jsonl was.
  std::string before = {};
  std::uintmax_t metrics_bytes = 0;
  bool many() const { return seeds * densities.size() > 1; }
};

// config.toml comes first, by which a folder is known to hold a run; of a run that is trained on it comes last, and
// until then it may say what it said before.
void write_sweep(const RunFolder& folder, const Sweep& sweep) {
  if (sweep.before.empty()) folder.write("config.toml", to_toml(sweep.base));
  const Json json = {{"densities", sweep.densities},         {"seeds", sweep.seeds},
                     {"config", to_toml(sweep.base)},        {"data", sweep.fingerprint},
                     {"metrics_bytes", sweep.metrics_bytes}, {"before", sweep.before}};
  folder.write(sweep_file_name, json.dump() + "\n");
  if (!sweep.before.empty()) folder.write("config.toml", to_toml(sweep.base));
}

// Throws FileError if config.toml says something else than when the run began. Threads change no bit, and files may
// have been moved; the density of a single run stands among the densities.
void require_unchanged(const Sweep& sweep, const std::string& before, const std::filesystem::path& file) {
  std::vector<std::string_view> free{"run.threads", "data.folder"};
  if (!sweep.many()) free.push_back("pruning.density");
  const auto changes = config_changes(before, to_toml(sweep.base), free);
  if (changes.empty()) return;
  const auto value = [](const std::string& text) { return text.empty() ? "the default" : text; };
  throw FileError(fmt::format("{}: expected {} = {} as when the run began, found {} (train --config begins anew)",
                              file.string(), changes[0].key, value(changes[0].before), value(changes[0].now)));
}

Sweep read_sweep(const std::filesystem::path& folder) {
  const std::filesystem::path config_file = folder / "config.toml";
  Sweep sweep{.base = from_toml(config_file)};
  const std::filesystem::path path = folder / sweep_file_name;
  constexpr std::uintmax_t limit_bytes = 1 << 20;
  try {
    const Json json = Json::parse(read_file(path, limit_bytes));
    sweep.densities = json.at("densities").get<std::vector<double>>();
    sweep.seeds = json.at("seeds").get<std::uint64_t>();
    sweep.fingerprint = json.value("data", "");
    sweep.before = json.value("before", "");
    sweep.metrics_bytes = json.value("metrics_bytes", std::uintmax_t{0});
    if (!sweep.before.empty() && to_toml(sweep.base) == sweep.before)
      sweep.base = from_toml_text(json.at("config").get<std::string>(), path.string());
    if (json.contains("config")) require_unchanged(sweep, json["config"].get<std::string>(), config_file);
  } catch (const Json::exception& error) {
    throw FileError(fmt::format("{}: expected densities and seeds, found: {}", path.string(), error.what()));
  }
  return sweep;
}

// What is trained once and compared with the pruned network, and where it is kept if the run is interrupted.
struct Beside {
  std::optional<Trained> dense;
  std::optional<std::vector<BaselineResult>> baselines;
  double race_seconds = 0;
  std::filesystem::path dense_file;
  std::uint64_t data = 0;       // its fingerprint
  double checkpoint_every = 0;  // seconds
  std::uintmax_t metrics_bytes = 0;
};

// The pruned network and what is measured of it, beside the dense one.
Result train_pruned(const RunConfig& config, const DataParts& data, const Trained* dense, MetricsLog& log,
                    const Beside& beside, const RunFolder& folder) {
  const Checkpoint checkpoint{
      .file = folder.checkpoint("sparse"), .data = beside.data, .every = beside.checkpoint_every};
  const Observer observer = keeping_last_epoch(log.observer(Side::sparse), config, data, folder, beside.data);
  const std::optional<Result> before = folder.result();  // of a run that is trained on
  if (!before) {
    const Trained sparse = train_side(config, data, Side::sparse, observer, checkpoint);
    log.finish();
    Result result = result_of(config, data, dense, sparse);
    if (beside.baselines) result.baselines = *beside.baselines;
    result.race_seconds = beside.race_seconds;
    leave_behind(folder, config, data, sparse, result);
    return result;
  }
  const Trained sparse = train_on(config, data, trained_in(folder, config, data), observer, checkpoint);
  log.finish();
  Result result = result_of(config, data, nullptr, sparse);
  result.dense = before->dense;
  result.baselines = before->baselines;
  result.race_seconds = before->race_seconds;
  const std::string note =
      fmt::format("the dense twin was trained for {} epochs, and measured then", config.continued.front());
  if (result.dense && std::ranges::count(result.notes, note) == 0) result.notes.push_back(note);
  leave_behind(folder, config, data, sparse, result);
  return result;
}

// One density of one seed.
Result run_once(const RunConfig& config, const DataParts& data, Beside& beside, const RunFolder& folder) {
  folder.write("config.toml", to_toml(config));
  MetricsLog log(folder, config.epochs, beside.metrics_bytes);
  const bool trains_on = folder.result().has_value();
  if (wants_baselines(config, data) && !beside.baselines && !trains_on) beside.baselines = baselines_of(config, data);
  if (config.dense_twin && !beside.dense && !trains_on) {
    beside.dense = train_side(config, data, Side::dense, log.observer(Side::dense),
                              {.file = beside.dense_file, .data = beside.data, .every = beside.checkpoint_every});
    if (!beside.dense->not_kept.empty()) throw FileError(beside.dense->not_kept);  // before more is lost
  }
  return train_pruned(config, data, beside.dense ? &*beside.dense : nullptr, log, beside, folder);
}

using Baselines = std::optional<std::vector<BaselineResult>>;

// What was found out before the training.
struct Before {
  Baselines baselines = {};  // of the first seed
  double race_seconds = 0;
};

// The run, or what is left of it to do.
Result run_single(const Sweep& sweep, const DataParts& data, const Before& before, const RunFolder& folder,
                  double checkpoint_every) {
  RunConfig config = sweep.base;
  config.schedule.density = sweep.densities.front();
  Beside beside{.dense = {},
                .baselines = before.baselines,
                .race_seconds = before.race_seconds,
                .dense_file = folder.checkpoint(fmt::format("dense-seed-{}", config.seed)),
                .data = std::stoull(sweep.fingerprint, nullptr, 16),
                .checkpoint_every = checkpoint_every,
                .metrics_bytes = sweep.metrics_bytes};
  // A result is there only when resuming; with fewer epochs, it is of the run that is trained on.
  const std::optional<Result> finished = folder.result();
  const bool is_done = finished && finished->epochs == config.epochs;
  if (is_done && !std::filesystem::exists(folder.path() / report_file_name)) write_report(folder.path());
  return is_done ? *finished : run_once(config, data, beside, folder);
}

// N:M, and densities given layer by layer, fix the overall density. Throws UsageError if another one was asked for.
void settle_densities(Sweep& sweep, Module& model) {
  RunConfig& base = sweep.base;
  if (const std::optional<double> fixed = fixed_density(base, model)) {
    if (!sweep.open) check_fixed_density(base, base.schedule.density, *fixed);
    for (const double density : sweep.densities) check_fixed_density(base, density, *fixed);
    base.schedule.density = *fixed;
    sweep.densities = {*fixed};
  }
  if (sweep.densities.empty()) sweep.densities = {base.schedule.density};
}

}  // namespace

// Without a word about the model it is that of the weights to begin with, or one that suits a table.
std::string unnamed_model(const RunConfig& c) {
  const std::string of_weights = c.init.empty() ? "" : model_of_weights(model_file_of(c.init));
  if (!of_weights.empty()) return of_weights;
  return names_table(c.data, c.format) ? default_table_model : c.model;
}

RunConfig base_config_of(const TrainFlags& f) {
  if (!f.config_file.empty()) return from_toml(f.config_file);
  RunConfig config;
  if (!f.recipe.empty() && f.recipe != auto_recipe) {
    const Recipe recipe = recipe_named(f.recipe);
    apply(recipe, config);
    config.recipe = recipe.name;
  }
  return config;
}

namespace {

bool has_race(const TrainFlags& f) {
  return f.resume.empty() && f.recipe == auto_recipe;
}

// Throws UsageError for flags that a run which goes on would ignore.
void require_flags_of_resume(CLI::App& app) {
  const bool trains_on = app.count("--epochs") > 0;
  std::vector<std::string> known{"--resume", "--json", "--checkpoint-every"};
  if (trains_on) known.insert(known.end(), {"--epochs", "--rate"});
  for (const CLI::Option* option : app.get_options())
    require(
        option->count() == 0 || std::ranges::count(known, option->get_name()) > 0,
        "[--resume] expected no flags besides but --json, --checkpoint-every and, of a finished run, --epochs{}, got "
        "{}",
        trains_on ? " and --rate" : " (with it --rate)", option->get_name());
}

// The configuration of a run that is trained on. Throws UsageError if it cannot be.
RunConfig trained_on(RunConfig config, Index epochs, double rate) {
  config.continued.push_back(config.epochs);
  config.continued_rates.push_back(rate);
  config.epochs = epochs;
  return settled(std::move(config));
}

// Throws UsageError unless the run in the folder can be trained on as the flags say.
void require_to_train_on(const Sweep& sweep, const TrainFlags& f, CLI::App& app) {
  const Index epochs = f.config.epochs;
  require(!sweep.many(), "[--epochs] {}: expected a single run to train on, got {} of them", f.resume,
          sweep.seeds * sweep.densities.size());
  const std::optional<Result> result = result_in(f.resume);
  require(result && result->epochs == sweep.base.epochs,
          "[--epochs] {}: expected a run that is finished, got one that was interrupted; without --epochs it goes on",
          f.resume);
  require(epochs > sweep.base.epochs && epochs <= 1000000,
          "[--epochs] expected more than the {} that {} was trained for, and at most 1000000, got {}",
          sweep.base.epochs, f.resume, epochs);
  require(!result->sparse.mask_entropy_bytes,
          "[--epochs] {}: expected a network whose weights are trained, got one of method {}", f.resume,
          sweep.base.method);
  trained_on(settled(sweep.base), epochs, app.count("--rate") ? f.config.rate.rate : 1);
}

// The learning rate of a run's last step.
double last_rate(const RunConfig& c, const DataParts& data) {
  if (!c.continued.empty()) return c.continued_rates.back();
  if (c.epochs == 0) return c.rate.rate;
  const Index steps = c.epochs * Loader(data.train, {.batch = c.batch, .lanes = c.lanes}).batches();
  return rate_at(c.rate, steps - 1, steps);
}

// From here on the sweep is that of the longer run.
void train_on(Sweep& sweep, const TrainFlags& f, CLI::App& app, const DataParts& data) {
  const double rate = app.count("--rate") ? f.config.rate.rate : last_rate(sweep.base, data);
  fmt::print(stderr, "  training on from epoch {} to {} at a learning rate of {:g}\n", sweep.base.epochs,
             f.config.epochs, rate);
  sweep.before = to_toml(sweep.base);
  sweep.base = trained_on(sweep.base, f.config.epochs, rate);
  sweep.metrics_bytes = std::filesystem::file_size(std::filesystem::path(f.resume) / "metrics.jsonl");
}

// A method of whole units takes those of every kind, unless it is told which.
void say_implied_structure(const RunConfig& c) {
  const MethodInfo* const method = methods().find(c.method);
  if (c.structure == "auto" && method && method->defaults.structure.of_units())
    fmt::print(
        stderr,
        "  {} takes out whole units of all kinds: --structure neurons, channels or heads takes out those alone\n",
        c.method);
}

// What is asked for, by the flags or by the folder of an interrupted run. Throws UsageError, FileError.
Sweep sweep_of(TrainFlags& f, CLI::App& app) {
  Sweep sweep;
  if (f.resume.empty()) {
    f.config = with_flags(app, f.config, base_config_of(f));
    sweep = {f.config, f.densities, f.seeds};
    sweep.base.dense_twin = sweep.base.dense_twin && !f.no_dense;
    if (f.recipe.empty() && app.count("--model") == 0 && sweep.base.model == RunConfig().model)
      sweep.base.model = unnamed_model(sweep.base);
    require(!has_race(f) || sweep.base.epochs > 0, "[epochs] expected at least 1 with a race of recipes, got 0");
  } else {
    require_flags_of_resume(app);
    sweep = read_sweep(f.resume);
    if (app.count("--epochs")) require_to_train_on(sweep, f, app);
  }
  for (const double density : sweep.densities)
    require(density > 0 && density <= 1 && std::ranges::count(sweep.densities, density) == 1,
            "[--density] expected different fractions in (0, 1], got {}", fmt::join(sweep.densities, ","));
  require(sweep.seeds >= 1 && sweep.seeds <= 1000, "[--seeds] expected 1 to 1000, got {}", sweep.seeds);
  say_implied_structure(sweep.base);
  sweep.open = has_race(f) || sweep.base.schedule.density == 0;
  if (!has_race(f)) sweep.base = settled(sweep.base);
  return sweep;
}

// Throws FileError if the run began with other data.
void require_same_data(Sweep& sweep, const DataParts& data, const TrainFlags& f) {
  const std::string print = fmt::format("{:016x}", fingerprint(data));
  if (!f.resume.empty() && !sweep.fingerprint.empty() && sweep.fingerprint != print)
    throw FileError(fmt::format("{}: expected the data of {} as when this run began, found other ones",
                                (std::filesystem::path(f.resume) / sweep_file_name).string(), data.train->name()));
  sweep.fingerprint = print;
}

// The recipe that wins a race for `data`, as it was trained there. The flags hold for every recipe in it.
Recommendation raced(CLI::App& app, TrainFlags& f, const RunConfig& base, const DataParts& data) {
  const auto settle = [&](const Recipe& recipe) {
    RunConfig config = base;
    apply(recipe, config);
    config = with_flags(app, f.config, std::move(config));
    config.data = base.data;  // as it was found
    config.dense_twin = base.dense_twin;
    if (!f.densities.empty()) config.schedule.density = f.densities.front();
    return config;
  };
  constexpr double share = 0.6;  // of the seconds; more for the training, which is several members if there is time
  f.race.share = share;
  Recommendation chosen = recommend(settle, base, data, f.race, stderr);
  if (chosen.interrupted)
    throw InterruptedError(
        fmt::format("the race was stopped while {} led; it cannot be resumed; to train that: --recipe {} --epochs {}",
                    chosen.recipe.name, chosen.recipe.name, chosen.heat.epochs));
  return chosen;
}

// Races, and puts what was chosen into the sweep; what is left of the budget buys members. Baselines come first: they,
// too, are paid from the budget.
Before race_for(CLI::App& app, TrainFlags& f, Sweep& sweep, DataParts& data) {
  Before before;
  try {
    if (wants_baselines(sweep.base, data)) before.baselines = baselines_of(sweep.base, data);
  } catch (const InterruptedError& error) {
    throw InterruptedError(fmt::format("{}, before the race; it cannot be resumed", error.what()));
  }
  const bool open = f.race.budget.epochs == 0 && app.count("--members") == 0;
  f.race.average = open;
  const Stopwatch watch;
  Recommendation chosen = raced(app, f, sweep.base, data);
  before.race_seconds = watch.seconds();
  if (open) {
    const auto runs =
        static_cast<double>(sweep.seeds) * static_cast<double>(std::max<std::size_t>(1, sweep.densities.size()));
    const double left = (1 - budget_reserve) * f.race.budget.seconds - f.race.clock.seconds();
    chosen.config.members = affordable_members(chosen, left / runs, chosen.config.dense_twin);
  }
  fmt::print(stderr, "  trained for {} epochs{}\n", chosen.config.epochs,
             chosen.config.members > 1
                 ? fmt::format(", {} times; the average of these networks is the result", chosen.config.members)
                 : "");
  sweep.base = std::move(chosen.config);
  data = std::move(chosen.data);
  return before;
}

// What cannot work is said before anything is trained: a model that does not fit, a density that empties a layer.
ModulePtr checked_model(Sweep& sweep, const DataParts& data) {
  const RunConfig& base = sweep.base;
  ModulePtr model = model_of(base, data);
  settle_densities(sweep, *model);
  if (base.rewind == "none")
    settled(schedule_of(base.schedule), base.epochs * ((data.train->samples() + base.batch - 1) / base.batch));
  require_possible(base, data, sweep.densities);
  return model;
}

// What may be done with what was trained, as a shell takes it.
std::string next_commands_of(const RunConfig& config, const std::filesystem::path& of_run) {
  const std::string run = in_a_shell(of_run.string());
  const bool table = names_table(config.data, config.format);
  return fmt::format("next:  espalier inspect {0}{1}\n", run,
                     table ? fmt::format("\n       espalier predict {} MORE_ROWS.csv", run) : "");
}

// Prints what came of it. run: what is to be looked at next.
void report(const TrainFlags& f, const RunConfig& config, const RunFolder& folder, const std::string& json,
            const std::string& text, const std::filesystem::path& run) {
  fmt::print("{}", f.json ? json + "\n" : in_colours(text, shows_colours(stdout)));
  std::FILE* const to = f.json ? stderr : stdout;  // behind JSON nothing else may stand
  fmt::print(to, "\nrun folder: {}, after {:.1f} s\n", folder.path().string(), f.race.clock.seconds());
  fmt::print(to, "as a page: {}\n", (folder.path() / report_file_name).string());
  if (!f.json) fmt::print(to, "{}", next_commands_of(config, run));
}

// --- several seeds or densities: a sweep (experiment/sweep.h) of one method ------------------------------------------

SweepPlan plan_of_many(const Sweep& sweep, const DataParts& data, double race_seconds) {
  SweepGrid grid{.base = sweep.base,
                 .methods = {},
                 .densities = sweep.densities,
                 .structures = {},
                 .seeds = {},
                 .dense = sweep.base.dense_twin,
                 .random = false};
  for (std::uint64_t s = 0; s < sweep.seeds; ++s) grid.seeds.push_back(sweep.base.seed + s);
  return {
      .runs = runs_of(grid, data), .data = sweep.fingerprint, .race_seconds = race_seconds, .dense_beside = grid.dense};
}

// Prints what came of the runs that did not fail, and writes what they have in common.
void report_many(const TrainFlags& f, const SweepPlan& plan, const RunFolder& folder, const SweepOutcome& outcome) {
  std::vector<Result> results;
  std::filesystem::path first;
  for (const SweepRun& run : plan.runs) {
    const std::filesystem::path path = folder.path() / run.name;
    const bool beside = plan.dense_beside && is_dense(run.config);  // what the others are compared with
    if (beside || std::ranges::count(outcome.runs, path) == 0) continue;
    if (results.empty()) first = path;
    results.push_back(*result_in(path));
  }
  if (results.empty()) return;
  const std::string table =
      seeds_table_of(results) + fmt::format("\n{} runs, {:.0f} s in all; {} threads, {}\n", results.size(),
                                            f.race.clock.seconds(), results[0].threads, processor_name());
  folder.write("table.txt", table);
  Json all = Json::array();
  for (const Result& result : results) all.push_back(to_json(result));
  folder.write("results.json", all.dump(2) + "\n");
  report(f, plan.runs.back().config, folder, all.dump(2), table, first);
}

void train_many(const TrainFlags& f, const SweepPlan& plan, const RunFolder& folder, SweepOptions options) {
  options.checkpoint_every = f.checkpoint_every;
  watch_for_interrupt();
  try {
    const SweepOutcome outcome = run_sweep(plan, folder, options);
    report_many(f, plan, folder, outcome);
    require_no_failure(outcome, folder);
  } catch (const InterruptedError& error) {
    throw InterruptedError(
        fmt::format("{}; to go on: espalier train --resume {}", error.what(), folder.path().string()));
  }
}

// Goes on with a sweep, if the folder holds one; false: it does not.
bool resumes_many(const TrainFlags& f, CLI::App& app) {
  const std::optional<SweepPlan> plan = plan_in(f.resume);
  if (!plan) return false;
  require_flags_of_resume(app);
  require(app.count("--epochs") == 0, "[--epochs] {}: expected a single run to train on, got {} of them", f.resume,
          plan->runs.size());
  const RunFolder folder(f.resume, Begin::where_it_stopped);
  train_many(f, *plan, folder, {.threads = f.config.threads});
  return true;
}

// The folder of the run, locked.
RunFolder folder_of(TrainFlags& f, const Sweep& sweep, const DataParts& data) {
  if (!f.resume.empty()) return RunFolder(f.resume, Begin::where_it_stopped);
  f.place.name = fmt::format("runs/{}-{}-{}", data.name, sweep.base.model, sweep.base.method);
  std::ranges::replace(f.place.name, ':', '-');
  return new_run(f.place);
}

// Trains, and says how to go on if that does not come to its end.
void train_and_report(const TrainFlags& f, const Sweep& sweep, const DataParts& data, const Before& before,
                      const RunFolder& folder) {
  const auto to_go_on = [&](const Error& error) {
    return fmt::format("{}; to go on: espalier train --resume {}", error.what(), folder.path().string());
  };
  try {
    const Result result = run_single(sweep, data, before, folder, f.checkpoint_every);
    folder.remove_checkpoints();
    report(f, sweep.base, folder, to_json(result).dump(2), page_of(result), folder.path());
  } catch (const InterruptedError& error) {
    throw InterruptedError(to_go_on(error));
  } catch (const FileError& error) {
    if (!folder.has_checkpoint()) throw;
    throw FileError(to_go_on(error));
  }
}

void run_train(TrainFlags& f, CLI::App& app) {
  if (f.resume.empty())
    require_free(f.place);
  else
    require_not_in_use(f.resume);
  if (!f.resume.empty() && resumes_many(f, app)) return;
  Sweep sweep = sweep_of(f, app);
  RunConfig& base = sweep.base;
  DataParts data = load_data(base);  // "auto" is settled once, for all seeds
  for (const std::string& note : data.notes) fmt::print(stderr, "{}\n", in_flags(note, app));
  constexpr Index few = 20;
  if (const Index tested = data.test->samples(); tested > 0 && tested < few)
    fmt::print(stderr, "{} test sample{}: figures on so few say little\n", tested, tested == 1 ? "" : "s");
  Before before;
  if (has_race(f)) before = race_for(app, f, sweep, data);
  require_same_data(sweep, data, f);
  if (!f.resume.empty() && app.count("--epochs")) train_on(sweep, f, app, data);
  const ModulePtr model = checked_model(sweep, data);
  const RunFolder folder = folder_of(f, sweep, data);
  if (f.tune && f.resume.empty()) {
    base.storage = tune(*model, data.train->shape(), base.lanes, base.seed);
    for (const auto& [name, density] : base.storage.csr_below_of)
      fmt::print(stderr, "  tuned   {}: csr from density {} down\n", name, density);
  }
  if (sweep.many()) {
    const SweepPlan plan = plan_of_many(sweep, data, before.race_seconds);
    write_plan(folder, plan);
    const auto found = before.baselines.value_or(std::vector<BaselineResult>());
    return train_many(f, plan, folder, {.threads = base.threads, .baselines = found});
  }
  write_sweep(folder, sweep);
  watch_for_interrupt();
  train_and_report(f, sweep, data, before, folder);
}

}  // namespace

Command add_train(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  add_train_flags(app, *flags);
  return [flags, &app] { run_train(*flags, app); };
}

}  // namespace espalier
