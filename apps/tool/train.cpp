// espalier train: a dense twin, then the pruned network, then everything measured side by side.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "apps/tool/commands.h"
#include "apps/tool/run_folder.h"
#include "core/error.h"
#include "layers/models.h"

namespace espalier {
namespace {

struct TrainFlags {
  RunConfig config;
  std::string config_file;
  std::vector<double> densities;
  std::uint64_t seeds = 1;
  std::string out;
  bool tune = false, no_dense = false, json = false;
};

void add_flags(CLI::App& app, TrainFlags& f) {
  RunConfig& c = f.config;
  app.add_option("--config", f.config_file, "Begin with a run's config.toml; flags override it");
  app.add_option("--data", c.data, "mnist, synthetic-digits, or auto: mnist if it is found")->capture_default_str();
  app.add_option("--data-dir", c.data_dir, "Where the data's files are (else $ESPALIER_DATA, else ./data)");
  app.add_option("--validation", c.validation, "Training samples held out for choices")->capture_default_str();
  app.add_option("--model", c.model, "lenet-300-100 or mlp:784-1024-1024-10")->capture_default_str();
  app.add_option("--method", c.method, "Criterion: magnitude or random")->capture_default_str();
  app.add_option("--density", f.densities, "Fraction of weights kept, in (0, 1]; several give several runs")
      ->delimiter(',');
  app.add_option("--schedule", c.schedule.kind, "one-shot, cubic or iterative")->capture_default_str();
  app.add_option("--begin", c.schedule.begin, "Pruning begins after this fraction of the steps")->capture_default_str();
  app.add_option("--end", c.schedule.end, "Pruning ends after this fraction of the steps")->capture_default_str();
  app.add_option("--interval", c.schedule.interval, "Steps between two prunings (cubic)")->capture_default_str();
  app.add_option("--rounds", c.schedule.rounds, "Rounds (iterative)")->capture_default_str();
  app.add_option("--rewind", c.rewind, "none, init or a step: each iterative round trains again from there")
      ->capture_default_str();
  app.add_option("--allocation", c.allocation, "uniform, er or global")->capture_default_str();
  app.add_option("--protect", c.protect, "Weights never to prune, e.g. output.weight")->delimiter(',');
  app.add_option("--epochs", c.epochs, "Epochs (of each round, with --rewind)")->capture_default_str();
  app.add_option("--batch", c.batch, "Samples per step")->capture_default_str();
  app.add_option("--optimizer", c.optimizer.name, "sgd, nesterov, adam or adamw")->capture_default_str();
  app.add_option("--momentum", c.optimizer.momentum, "sgd, nesterov")->capture_default_str();
  app.add_option("--weight-decay", c.optimizer.weight_decay, "On weights, not on biases")->capture_default_str();
  app.add_option("--rate", c.rate.rate, "Highest learning rate")->capture_default_str();
  app.add_option("--rate-schedule", c.rate.schedule, "constant, step or cosine")->capture_default_str();
  app.add_option("--warmup", c.rate.warmup, "Fraction of the steps")->capture_default_str();
  app.add_option("--clip-norm", c.clip_norm, "Clip the gradient's global norm; 0: never")->capture_default_str();
  app.add_option("--seed", c.seed, "Of everything that is random")->capture_default_str();
  app.add_option("--seeds", f.seeds, "This many runs, with seeds --seed, --seed + 1, ...")->capture_default_str();
  app.add_option("--threads", c.threads, "0: one per processor; never changes the result")->capture_default_str();
  app.add_option("--lanes", c.lanes, "Samples side by side in a tile")->capture_default_str();
  app.add_flag("--tune", f.tune, "Measure first where csr beats dense, layer by layer, and record it in config.toml");
  app.add_flag("--no-dense", f.no_dense, "Skip the dense twin");
  app.add_option("--out", f.out, "Run folder (default: runs/DATA-MODEL-METHOD)");
  app.add_flag("--json", f.json, "Print result.json instead of the table");
}

// The dense twin is trained once per seed and compared with every density.
Json run_once(const RunConfig& config, const Data& data, std::optional<Trained>& dense, const RunFolder& folder) {
  folder.write("config.toml", to_toml(config));
  MetricsLog log(folder, config.epochs);
  if (config.dense_twin && !dense) dense = train_model(config, data, Side::dense, log.observer(Side::dense));
  const Trained sparse = train_model(config, data, Side::sparse, log.observer(Side::sparse));
  const Json result = result_of(config, data, dense ? &*dense : nullptr, sparse);
  leave_behind(folder, config, *sparse.model, result);
  return result;
}

void run_train(TrainFlags& f) {
  RunConfig base = f.config;
  base.dense_twin = base.dense_twin && !f.no_dense;
  if (f.densities.empty()) f.densities = {base.schedule.density};
  for (const double density : f.densities)
    require(density > 0 && density <= 1, "[--density] expected a fraction in (0, 1], got {}", density);
  require(f.seeds >= 1 && f.seeds <= 1000, "[--seeds] expected 1 to 1000, got {}", f.seeds);
  check(base);
  const bool many = f.seeds * f.densities.size() > 1;
  Data data = load_data(base);  // "auto" is settled once, for all seeds
  if (f.out.empty()) {
    f.out = fmt::format("runs/{}-{}-{}", base.data, base.model, base.method);
    std::ranges::replace(f.out, ':', '-');
  }
  const RunFolder folder(f.out);
  watch_for_interrupt();

  std::vector<Json> results;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t s = 0; s < f.seeds; ++s) {
    RunConfig config = base;
    config.seed += s;
    if (s > 0) data = load_data(config);
    if (s == 0) {
      // What cannot work is said before anything is trained: a model that does not fit, a density that empties a layer.
      const ModulePtr model = make_model(
          config.model, {.input = data.train->shape(), .outputs = data.train->classes(), .seed = config.seed});
      Pruner pruner(parameters_of(*model), pruner_options(config));
      for (const double density : f.densities) pruner.require_possible(density);
      if (f.tune) {
        base.storage = config.storage = tune(*model, config.lanes, config.seed);
        for (const auto& [name, density] : config.storage.csr_below_of)
          fmt::print(stderr, "  tuned   {}: csr from density {} down\n", name, density);
      }
    }
    std::optional<Trained> dense;
    for (const double density : f.densities) {
      config.schedule.density = density;
      if (many) fmt::print(stderr, "seed {}, density {:g}\n", config.seed, density);
      const RunFolder own =
          many ? RunFolder(folder.path() / fmt::format("density-{:g}-seed-{}", density, config.seed)) : folder;
      results.push_back(run_once(config, data, dense, own));
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (many) {
    const std::string table =
        seeds_table_of(results) + fmt::format("\n{} runs, {:.0f} s in all; {} threads, {}\n", results.size(), seconds,
                                              results[0]["threads"].get<int>(), processor_name());
    folder.write("table.txt", table);
    folder.write("results.json", Json(results).dump(2) + "\n");
    fmt::print("{}", f.json ? Json(results).dump(2) + "\n" : table);
  } else {
    fmt::print("{}", f.json ? results[0].dump(2) + "\n" : page_of(results[0]));
  }
  fmt::print(stderr, "{:.1f} s; run folder: {}\n", seconds, f.out);
}

}  // namespace

Command add_train(CLI::App& app, const RunConfig& base) {
  auto flags = std::make_shared<TrainFlags>();
  flags->config = base;
  add_flags(app, *flags);
  return [flags] { run_train(*flags); };
}

}  // namespace espalier
