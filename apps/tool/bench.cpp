// espalier bench: a dense and a sparse network of the same extents, timed side by side on synthetic input.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "apps/tool/result.h"
#include "espalier/core/error.h"
#include "espalier/datasets/noise.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

struct BenchFlags {
  RunConfig config{.model = "mlp:784-1024-1024-10", .schedule = Schedule{}};
  int repetitions = 15;
  bool sparse_only = false, json = false;
};

void run_bench(BenchFlags& f) {
  RunConfig& c = f.config;
  require(c.schedule.density > 0 && c.schedule.density <= 1, "[--density] expected a fraction in (0, 1], got {}",
          c.schedule.density);
  require(f.repetitions >= 1 && f.repetitions <= 100000, "[--repetitions] expected 1 to 100000, got {}", f.repetitions);
  check(c);
  const ModelProfile profile = model_profile(c.model);
  const auto data = std::make_shared<Noise>(profile.input, profile.outputs, c.batch, c.seed);
  const auto optimizer = make_optimizer(c.optimizer);
  const auto model_at = [&](double density) {
    return make_model(c.model,
                      {.input = data->shape(), .outputs = profile.outputs, .seed = c.seed, .density = density});
  };
  std::vector<ModulePtr> owned;
  if (!f.sparse_only) owned.push_back(model_at(1));
  owned.push_back(model_at(c.schedule.density));
  std::vector<Module*> models;
  for (const ModulePtr& model : owned) models.push_back(model.get());
  const auto measured = measure(models, data, softmax_cross_entropy, *optimizer,
                                {.batch = c.batch,
                                 .lanes = c.lanes,
                                 .threads = threads_of(c),
                                 .repetitions = f.repetitions,
                                 .seed = c.seed,
                                 .rate = c.rate.rate});
  Json result = {{"model", c.model},
                 {"density", c.schedule.density},
                 {"batch", c.batch},
                 {"threads", threads_of(c)},
                 {"lanes", c.lanes},
                 {"seed", c.seed},
                 {"processor", processor_name()}};
  const auto side = [&](const ModelMeasurement& m) {
    Json json = times_to_json(m);
    json["first_loss"] = m.first_loss;
    json["last_loss"] = m.last_loss;
    return json;
  };
  if (!f.sparse_only) result["dense"] = side(measured.front());
  result["sparse"] = side(measured.back());
  if (!f.sparse_only) result["ratios"] = ratios_of(result["dense"], result["sparse"]);
  result["layers"] = layers_to_json(measured.back());
  result["peak_resident_bytes"] = peak_resident_bytes();
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}, density {:g}, batch {} in tiles of {}, {} threads, {}\n\n", c.model, c.schedule.density, c.batch,
             c.lanes, threads_of(c), processor_name());
  fmt::print("{}\n{}\n", table_of(result), layer_table_of(result));
  fmt::print("sparse loss on this batch: {:.4f} at first, {:.4f} after {} steps; peak resident set {:.0f} MB\n",
             measured.back().first_loss, measured.back().last_loss, 4 * (f.repetitions + 3),
             static_cast<double>(peak_resident_bytes()) * 1e-6);
}

}  // namespace

Command add_bench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  RunConfig& c = flags->config;
  c.rate.rate = 0.01;
  app.add_option("--model", c.model, fmt::format("{}", fmt::join(known_models(), ", ")))->capture_default_str();
  app.add_option("--batch", c.batch, "Samples per step")->capture_default_str();
  app.add_option("--density", c.schedule.density, "Of every weight matrix of the sparse network, in (0, 1]")
      ->capture_default_str();
  app.add_option("--optimizer", c.optimizer.name, optimizers().names())->capture_default_str();
  app.add_option("--rate", c.rate.rate, "Learning rate of the timed steps")->capture_default_str();
  app.add_option("--threads", c.threads, "0: one per processor")->capture_default_str();
  app.add_option("--lanes", c.lanes, "Samples side by side in a tile; 0: 64, or 16 for convolutional models")
      ->capture_default_str();
  app.add_option("--seed", c.seed, "Of weights and patterns")->capture_default_str();
  app.add_option("--repetitions", flags->repetitions, "Turns; each times every kind of work three times")
      ->capture_default_str();
  app.add_flag("--sparse-only", flags->sparse_only, "No dense network: for models whose dense twin would not fit");
  app.add_flag("--json", flags->json, "Print JSON with the keys of result.json");
  return [flags] { run_bench(*flags); };
}

}  // namespace espalier
