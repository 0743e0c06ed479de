// espalier train: a dense twin, then the pruned network, then everything measured side by side.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "apps/tool/commands.h"
#include "apps/tool/result.h"
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

// One line per epoch and per pruning, in metrics.jsonl as they happen; epochs also on stderr.
class Log {
 public:
  Log(const RunFolder& folder, bool append)
      : path_(folder.path() / "metrics.jsonl"), file_(path_, append ? std::ios::app : std::ios::trunc) {
    if (!file_) throw FileError(fmt::format("{}: cannot be written", path_.string()));
  }
  Observer observer(const std::string& side, const RunConfig& config) {
    return {.epoch = [this, side, &config](const EpochResult& e, Index round) { epoch(side, config, e, round); },
            .pruned = [this, side](const std::vector<PruneEvent>& events) { pruned(side, events); }};
  }

 private:
  void epoch(const std::string& side, const RunConfig& config, const EpochResult& e, Index round) {
    density_ = side == "dense" ? 1 : density_;
    write({{"side", side},
           {"round", round},
           {"epoch", e.epoch},
           {"train_loss", e.train_loss},
           {"validation_accuracy", e.validation.samples ? Json(e.validation.accuracy) : Json()},
           {"validation_loss", e.validation.samples ? Json(e.validation.loss) : Json()},
           {"density", density_},
           {"rate", e.rate},
           {"gradient_norm", e.gradient_norm},
           {"train_flops_executed", e.flops.executed},
           {"seconds", e.seconds}});
    const Index every = std::max<Index>(1, config.epochs / 10);
    if (e.epoch % every && e.epoch != config.epochs) return;
    fmt::print(stderr, "  {:<7}epoch {:>3}/{}  loss {:.4f}  {}density {:.3f}  {:.0f} samples/s\n", side, e.epoch,
               config.epochs, e.train_loss,
               e.validation.samples ? fmt::format("validation {:.2f} %  ", 100 * e.validation.accuracy) : "", density_,
               static_cast<double>(e.samples) / e.seconds);
  }
  void pruned(const std::string& side, const std::vector<PruneEvent>& events) {
    Json layers = Json::array();
    for (const PruneEvent& event : events)
      layers.push_back({{"name", event.layer},
                        {"kept", event.kept},
                        {"density", event.density},
                        {"storage", name_of(event.storage)}});
    double kept = 0, positions = 0;
    for (const PruneEvent& event : events)
      kept += static_cast<double>(event.kept), positions += static_cast<double>(event.kept) / event.density;
    density_ = kept / positions;
    write({{"side", side}, {"pruned_at_step", events.front().step}, {"density", density_}, {"layers", layers}});
  }
  void write(const Json& line) {
    file_ << line.dump() << std::endl;
    if (!file_) throw FileError(fmt::format("{}: cannot be written (disk full?)", path_.string()));
  }
  std::filesystem::path path_;
  std::ofstream file_;
  double density_ = 1;
};

// The optional dense twin, trained once per seed and compared with every density.
Json run_once(const RunConfig& config, const Data& data, std::optional<Trained>& dense, const RunFolder& folder) {
  folder.write("config.toml", to_toml(config));
  Log log(folder, false);
  if (config.dense_twin && !dense) dense = train_model(config, data, false, "dense ", log.observer("dense", config));
  const Trained sparse = train_model(config, data, true, "sparse", log.observer("sparse", config));

  std::vector<Module*> models;
  if (dense) models.push_back(dense->model.get());
  models.push_back(sparse.model.get());
  const auto optimizer = make_optimizer(config.optimizer);
  const auto measured =
      measure(models, data.train, softmax_cross_entropy, *optimizer,
              {.batch = config.batch, .lanes = config.lanes, .threads = threads_of(config), .seed = config.seed});
  Json result = {{"dataset", config.data},  {"provenance", data.provenance},    {"model", config.model},
                 {"method", config.method}, {"schedule", config.schedule.kind}, {"density", config.schedule.density},
                 {"seed", config.seed},     {"threads", threads_of(config)},    {"lanes", config.lanes},
                 {"batch", config.batch},   {"epochs", config.epochs},          {"processor", processor_name()}};
  if (dense) result["dense"] = to_json(*dense, measured.front());
  result["sparse"] = to_json(sparse, measured.back());
  if (dense) result["ratios"] = ratios_of(result["dense"], result["sparse"]);
  result["layers"] = layers_to_json(measured.back());
  save_model(*sparse.model, {{"model", config.model}, {"dataset", config.data}}, folder.path() / "model.safetensors");
  folder.write("result.json", result.dump(2) + "\n");
  return result;
}

std::string headline(const Json& result) {
  const Json& sparse = result["sparse"];
  std::string text = fmt::format("{} on {}: {}, {:.1f} % of the weights gone, seed {}, {} threads, {}\n",
                                 result["model"].get<std::string>(), result["dataset"].get<std::string>(),
                                 result["method"].get<std::string>(), 100 * (1 - sparse["density"].get<double>()),
                                 result["seed"].get<std::uint64_t>(), result["threads"].get<int>(),
                                 result["processor"].get<std::string>());
  return text + result["provenance"].get<std::string>() + "\n\n";
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
      // A model that does not fit the data is said before anything is trained.
      const ModulePtr model = make_model(
          config.model, {.input = data.train->shape(), .outputs = data.train->classes(), .seed = config.seed});
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
    fmt::print("{}", f.json ? results[0].dump(2) + "\n"
                            : headline(results[0]) + table_of(results[0]) + "\n" + layer_table_of(results[0]));
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
