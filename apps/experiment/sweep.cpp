#include "espalier/experiment/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "espalier/core/atomic_file.h"
#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/datasets/quoted.h"
#include "espalier/experiment/baselines.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/interrupt.h"
#include "espalier/experiment/report.h"
#include "espalier/experiment/side_by_side.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/optim/progress.h"

namespace espalier {

// --- which runs ------------------------------------------------------------------------------------------------------

bool SweepRun::operator==(const SweepRun& other) const {
  return name == other.name && fingerprint(config) == fingerprint(other.config);
}

bool is_dense(const RunConfig& config) {
  return config.schedule.density == 1 && config.control == "none";
}

std::string run_name(const RunConfig& c) {
  const std::string method = is_dense(c) ? "dense" : c.control == "none" ? c.method : c.method + "-" + c.control;
  std::string name = fmt::format("{}-{}-{}-{}", method, c.schedule.density, c.structure, c.seed);
  std::ranges::replace(name, ':', '-');
  return name;
}

std::optional<double> fixed_density(const RunConfig& c, Module& model) {
  const Allocation allocation = allocation_named(c.allocation);
  if (allocation.rule != Allocation::given) return structure_named(c.structure).density();
  std::vector<Scored> layers;
  for (const Parameter* W : pruned_layers(parameters_of(model), c.protect)) layers.push_back({W, {}});
  return overall_density(allocation, layers);
}

namespace {

template <typename Value>
std::vector<Value> or_else(const std::vector<Value>& values, Value otherwise) {
  return values.empty() ? std::vector<Value>{otherwise} : values;
}

// What every run of a sweep is: a training of its own, on one thread; its dense network is another run.
RunConfig alone(RunConfig c) {
  c.dense_twin = false;
  c.threads = 1;
  return c;
}

RunConfig dense_run(const SweepGrid& grid) {
  RunConfig c = grid.base;
  const RunConfig plain;
  c.method = plain.method;
  c.allocation = c.structure = c.rewind = "auto";
  c.schedule = {};
  c.schedule.density = 1;
  c.control = "none";
  c.settings.clear();
  return settled(alone(c));
}

// Methods, densities and structures of one seed.
std::vector<RunConfig> pruned_runs(const SweepGrid& grid, Module& model) {
  std::vector<std::string> all = or_else(grid.methods, grid.base.method);
  const std::size_t asked = all.size();
  if (grid.random && std::ranges::count(all, "random") == 0) all.emplace_back("random");
  std::vector<RunConfig> runs;
  for (std::size_t m = 0; m < all.size(); ++m)
    for (const std::string& structure : or_else(grid.structures, grid.base.structure))
      for (const double density : or_else(grid.densities, grid.base.schedule.density)) {
        RunConfig c = grid.base;
        c.method = all[m];
        c.structure = structure;
        c.schedule.density = density;
        if (m >= asked) c.settings.clear(), c.control = "none";
        // Of several structures each has the density that it fixes; of one, another density is an error of the
        // caller's.
        if (grid.structures.size() > 1)
          c.schedule.density =
              structure_named(structure == "auto" ? "elements" : structure).density().value_or(density);
        c = settled(alone(c));
        if (const auto fixed = fixed_density(c, model)) c.schedule.density = *fixed;
        runs.push_back(std::move(c));
      }
  return runs;
}

}  // namespace

std::vector<SweepRun> runs_of(const SweepGrid& grid, const DataParts& data) {
  for (const double density : grid.densities)
    require(density > 0 && density <= 1, "[densities] expected fractions in (0, 1], got {}", density);
  const ModulePtr model = model_of(grid.base, data);
  std::vector<RunConfig> of_a_seed;
  if (grid.dense) of_a_seed.push_back(dense_run(grid));
  std::ranges::move(pruned_runs(grid, *model), std::back_inserter(of_a_seed));
  for (const RunConfig& c : of_a_seed) {
    try {
      if (c.rewind == "none")
        settled(schedule_of(c.schedule), c.epochs * ((data.train->samples() + c.batch - 1) / c.batch));
      require_possible(c, data, {c.schedule.density});
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{} (in the run {})", error.what(), run_name(c)));
    }
  }
  std::vector<SweepRun> runs;
  std::set<std::string> names;
  for (const std::uint64_t seed : or_else(grid.seeds, grid.base.seed))
    for (RunConfig c : of_a_seed) {
      c.seed = seed;
      if (const std::string name = run_name(c); names.insert(name).second) runs.push_back({name, c});
    }
  return runs;
}

// --- sweep.json ------------------------------------------------------------------------------------------------------

void write_plan(const RunFolder& folder, const SweepPlan& plan) {
  Json json = {{"data", plan.data},
               {"race_seconds", plan.race_seconds},
               {"dense_beside", plan.dense_beside},
               {"runs", Json::array()}};
  for (const SweepRun& run : plan.runs) json["runs"].push_back({{"name", run.name}, {"config", to_toml(run.config)}});
  folder.write("config.toml", to_toml(plan.runs.front().config));  // by which a folder is known to hold a run
  folder.write(sweep_file_name, json.dump(2) + "\n");
}

std::optional<SweepPlan> plan_in(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / sweep_file_name;
  if (std::error_code none; !std::filesystem::exists(file, none)) return {};
  constexpr std::uintmax_t limit_bytes = 1 << 26;
  try {
    const Json json = Json::parse(read_file(file, limit_bytes));
    if (!json.contains("runs")) return {};
    SweepPlan plan{.runs = {},
                   .data = json.at("data"),
                   .race_seconds = json.value("race_seconds", 0.0),
                   .dense_beside = json.value("dense_beside", false)};
    for (const Json& run : json["runs"]) {
      const std::string name = run.at("name");
      RunConfig config = from_toml_text(run.at("config").get<std::string>(), file.string());
      if (name != run_name(config))
        throw FileError(fmt::format("{}: expected the run {}, found it called {}", file.string(), run_name(config),
                                    on_one_line(name)));
      plan.runs.push_back({name, std::move(config)});
    }
    if (plan.runs.empty()) throw FileError(fmt::format("{}: expected runs, found none", file.string()));
    return plan;
  } catch (const Json::exception& error) {
    throw FileError(fmt::format("{}: expected the runs of a sweep, found: {}", file.string(), error.what()));
  }
}

// --- one run ---------------------------------------------------------------------------------------------------------

Observer keeping_last_epoch(Observer observer, const RunConfig& config, const DataParts& data, const RunFolder& folder,
                            std::uint64_t fingerprint) {
  observer.diverged = [&, fingerprint](const Module& model, Index epoch) {
    std::string said = fmt::format("the network as it was after epoch {} is kept in {}", epoch,
                                   (folder.path() / model_file_name).string());
    try {
      leave_model(folder, config, data, model, fingerprint);
    } catch (const FileError& error) {
      said = error.what();
    }
    std::fputs((said + "\n").c_str(), stderr);
  };
  return observer;
}

namespace {

// The data of one seed, which decides what is held out, and what is known of them.
struct SeedData {
  DataParts parts;
  std::uint64_t print = 0, seed = 0;
  std::vector<BaselineResult> baselines = {};
};

// What a run shares with the others.
struct Shared {
  const SweepPlan& plan;
  const RunFolder& folder;
  const SweepOptions& options;
  std::size_t at_a_time = 1;
  std::optional<SeedData> data = {};  // of one seed at a time

  void load(const RunConfig& of) {
    if (data && data->seed == of.seed) return;
    data.reset();
    RunConfig config = of;
    data = SeedData{.parts = load_data(config), .seed = of.seed};
    data->print = fingerprint(data->parts);
    if (of.seed == plan.runs.front().config.seed) data->baselines = options.baselines;
    const std::string print = fmt::format("{:016x}", data->print);
    if (of.seed == plan.runs.front().config.seed && print != plan.data)
      throw FileError(fmt::format("{}: expected the data of {} as when this sweep began, found other ones",
                                  (folder.path() / sweep_file_name).string(), data->parts.train->name()));
  }
  void find_baselines(const RunConfig& of) {
    load(of);
    RunConfig config = of;
    config.threads = options.threads;
    if (data->baselines.empty() && wants_baselines(config, data->parts))
      data->baselines = baselines_of(config, data->parts);
  }
};

// Locked; whichever process wrote there before.
RunFolder folder_of_run(const SweepRun& run, const Shared& shared) {
  return RunFolder(shared.folder.path() / run.name, Begin::where_it_stopped);
}

// In a process of its own.
void train_run(const SweepRun& run, const Shared& shared) {
  const RunFolder own = folder_of_run(run, shared);
  MetricsLog log(own, run.config.epochs);
  const SeedData& data = *shared.data;
  const Observer observer = keeping_last_epoch(log.observer(Side::sparse), run.config, data.parts, own, data.print);
  const Trained trained =
      train_side(run.config, data.parts, Side::sparse, observer,
                 {.file = own.checkpoint("sparse"), .data = data.print, .every = shared.options.checkpoint_every});
  log.finish();
  Result result = result_of(run.config, data.parts, nullptr, trained, Times::left_open);
  result.sparse.beside = static_cast<Index>(shared.at_a_time);
  result.baselines = data.baselines;
  result.race_seconds = shared.plan.race_seconds;
  leave_behind(own, run.config, data.parts, trained, result);
}

std::string quality_of(const Result& result) {
  if (!result.sparse.test) return "";
  const Metrics& m = *result.sparse.test;
  return m.classes > 0 ? "test accuracy " + text_of_percent(m.accuracy) : "test RMSE " + text_of_error(m.rmse);
}

// The numbers of the runs that have no result.
std::vector<std::size_t> missing_in(const SweepPlan& plan, const std::filesystem::path& folder) {
  std::vector<std::size_t> missing;
  for (std::size_t r = 0; r < plan.runs.size(); ++r)
    if (!result_in(folder / plan.runs[r].name)) missing.push_back(r);
  return missing;
}

// Throws FileError if a run that is finished, or was begun, has another configuration than the sweep would give it.
void require_same_runs(const SweepPlan& plan, const std::filesystem::path& folder) {
  std::vector<SweepRun> all{{"", plan.runs.front().config}};  // the outermost folder says the same as the first run
  all.insert(all.end(), plan.runs.begin(), plan.runs.end());
  for (const SweepRun& run : all) {
    const std::filesystem::path file = folder / run.name / "config.toml";
    if (std::error_code none; !std::filesystem::exists(file, none)) continue;
    if (fingerprint(from_toml(file)) != fingerprint(run.config))
      throw FileError(fmt::format("{}: expected the configuration that {} gives this run, found another one",
                                  file.string(), (folder / sweep_file_name).string()));
  }
}

void train_missing(Shared& shared, SweepOutcome& outcome) {
  const SweepPlan& plan = shared.plan;
  const std::vector<std::size_t> missing = missing_in(plan, shared.folder.path());
  if (missing.empty()) return;
  shared.at_a_time = std::min<std::size_t>(shared.at_a_time, missing.size());
  if (missing.size() < plan.runs.size())
    fmt::print(stderr, "{} of {} runs are finished\n", plan.runs.size() - missing.size(), plan.runs.size());
  fmt::print(stderr, "training {} run{}, {} at a time, on one thread each\n", missing.size(),
             missing.size() == 1 ? "" : "s", shared.at_a_time);
  std::vector<Job> jobs;
  for (const std::size_t r : missing) {
    const SweepRun& run = plan.runs[r];
    const std::filesystem::path folder = shared.folder.path() / run.name;
    jobs.push_back({.log = folder / log_file_name,
                    .prepare =
                        [&shared, &run] {
                          shared.find_baselines(run.config);
                          // Before the log, by which alone the folder would not be known to be a run's.
                          folder_of_run(run, shared).write("config.toml", to_toml(run.config));
                        },
                    .body = [&shared, &run] { train_run(run, shared); }});
  }
  const Stopwatch watch;
  std::size_t done = 0;
  run_side_by_side(jobs, shared.at_a_time, [&](const JobEnd& end) {
    const SweepRun& run = plan.runs[missing[end.job]];
    if (end.code == exit_interrupted) return;
    ++done;
    const double left = watch.seconds() / static_cast<double>(done) * static_cast<double>(jobs.size() - done);
    const std::string rest = done < jobs.size() ? fmt::format(", about {} left", text_of_minutes(left)) : "";
    if (end.code == exit_done) {
      fmt::print(stderr, "{:>4}/{}  {}: {}{}\n", done, jobs.size(), run.name,
                 quality_of(*result_in(shared.folder.path() / run.name)), rest);
      return;
    }
    fmt::print(stderr, "{:>4}/{}  {} failed: {}{}\n", done, jobs.size(), run.name, end.said, rest);
    outcome.failures.push_back({run.name, end.said, end.code});
  });
}

// --- times -----------------------------------------------------------------------------------------------------------

// A network as it was trained: its file does not say in which storage its products were computed.
ModulePtr network_in(const std::filesystem::path& run, const RunConfig& config) {
  ModulePtr model = open_network(run).model;
  for (Parameter* W : parameters_of(*model))
    if (W->pattern()) config.storage.apply(*W, W->pattern(), /*step=*/0);
  return model;
}

void take_times(SideResult& side, const ModelMeasurement& measured) {
  side.train_step = measured.train_step;
  side.inference = measured.inference;
  side.latency = measured.latency;
}

// dense: the run it is compared with; null: there is none, or it is that.
void time_run(const SweepRun& run, const SweepRun* dense, Shared& shared) {
  const std::filesystem::path& all = shared.folder.path();
  const RunFolder own = folder_of_run(run, shared);
  Result result = *own.result();
  shared.load(run.config);
  RunConfig config = run.config;
  config.threads = shared.options.threads;
  std::vector<ModulePtr> networks;
  if (dense) networks.push_back(network_in(all / dense->name, dense->config));
  networks.push_back(network_in(own.path(), config));
  std::vector<Module*> models;
  for (const ModulePtr& network : networks) models.push_back(network.get());
  const DataParts& data = shared.data->parts;
  const auto optimizer = make_optimizer(config.optimizer);
  const auto measured = measure(models, data.train, loss_of(config, data), *optimizer,
                                {.batch = config.batch,
                                 .lanes = config.lanes,
                                 .threads = threads_of(config),
                                 .seed = config.seed,
                                 .clip_norm = config.clip_norm});
  take_times(result.sparse, measured.back());
  const std::vector<LayerResult> layers = layers_of(measured.back(), dense ? &measured.front() : nullptr);
  for (std::size_t l = 0; l < layers.size() && l < result.layers.size(); ++l) {
    result.layers[l].seconds = layers[l].seconds;
    result.layers[l].kernel = layers[l].kernel;
    result.layers[l].dense_seconds = layers[l].dense_seconds;
    result.layers[l].dense_forward_flops = layers[l].dense_forward_flops;
  }
  if (dense) {
    result.dense = result_in(all / dense->name)->sparse;
    take_times(*result.dense, measured.front());
  }
  result.threads = threads_of(config);
  own.write("result.json", to_json(result).dump(2) + "\n");
  write_report(own.path());
}

// One at a time.
void time_untimed(Shared& shared) {
  const auto result_of_run = [&](const SweepRun& run) { return result_in(shared.folder.path() / run.name); };
  bool said = false;
  for (const SweepRun& run : shared.plan.runs) {
    const std::optional<Result> result = result_of_run(run);
    if (!result || result->sparse.timed()) continue;
    if (interrupted()) throw InterruptedError("interrupted");
    if (!said) fmt::print(stderr, "measuring times, one run at a time\n");
    said = true;
    const auto dense = std::ranges::find_if(shared.plan.runs, [&](const SweepRun& other) {
      return is_dense(other.config) && other.config.seed == run.config.seed && result_of_run(other);
    });
    time_run(run, dense == shared.plan.runs.end() || dense->name == run.name ? nullptr : &*dense, shared);
  }
}

}  // namespace

SweepOutcome run_sweep(const SweepPlan& plan, const RunFolder& folder, const SweepOptions& options) {
  require_same_runs(plan, folder.path());
  RunConfig with_threads;
  with_threads.threads = options.threads;
  Shared shared{.plan = plan,
                .folder = folder,
                .options = options,
                .at_a_time = static_cast<std::size_t>(threads_of(with_threads))};
  SweepOutcome outcome;
  train_missing(shared, outcome);
  time_untimed(shared);
  for (const SweepRun& run : plan.runs)
    if (result_in(folder.path() / run.name)) outcome.runs.push_back(folder.path() / run.name);
  if (!outcome.runs.empty()) write_report(outcome.runs, folder.path() / report_file_name);
  return outcome;
}

void require_no_failure(const SweepOutcome& outcome, const RunFolder& folder) {
  if (outcome.failures.empty()) return;
  const SweepOutcome::Failure& first = outcome.failures.front();
  throw Error(first.code <= exit_diverged ? static_cast<ExitCode>(first.code) : exit_internal,
              fmt::format("{} of {} runs failed; {}: {} (its words are in {})", outcome.failures.size(),
                          outcome.failures.size() + outcome.runs.size(), first.name, first.said,
                          (folder.path() / first.name / log_file_name).string()));
}

}  // namespace espalier
