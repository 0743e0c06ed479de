// espalier bench: a dense and a sparse network of the same extents, timed side by side on synthetic input.
#include <fmt/format.h>

#include "apps/bench/bench.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/error.h"
#include "espalier/datasets/noise.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

struct BenchFlags {
  RunConfig config{.model = "mlp:784-1024-1024-10", .schedule = choice_of({})};
  int repetitions = 15;
  bool sparse_only = false, json = false;
};

// The keys of result.json, as far as a timing has them, and the losses of the timed steps.
Json json_of(const Result& r, const std::vector<ModelMeasurement>& measured) {
  Json json = {{"model", r.model}, {"density", r.density}, {"batch", r.batch},        {"threads", r.threads},
               {"lanes", r.lanes}, {"seed", r.seed},       {"processor", r.processor}};
  const auto add = [&](const char* side, const SideResult& numbers, const ModelMeasurement& m) {
    json[side] = to_json(numbers);
    json[side]["first_loss"] = m.first_loss;
    json[side]["last_loss"] = m.last_loss;
  };
  if (r.dense) add("dense", *r.dense, measured.front());
  add("sparse", r.sparse, measured.back());
  if (r.dense) json["ratios"] = ratios_of(r);
  json["layers"] = to_json(r.layers);
  json["peak_resident_bytes"] = peak_resident_bytes();
  return json;
}

void run_bench(BenchFlags& f) {
  RunConfig& c = f.config;
  require(c.schedule.density > 0 && c.schedule.density <= 1, "[--density] expected a fraction in (0, 1], got {}",
          c.schedule.density);
  require(f.repetitions >= 1 && f.repetitions <= 100000, "[--repetitions] expected 1 to 100000, got {}", f.repetitions);
  c = settled(c);
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
  Result result{.model = c.model,
                .density = c.schedule.density,
                .seed = c.seed,
                .threads = threads_of(c),
                .lanes = c.lanes,
                .batch = c.batch,
                .processor = processor_name(),
                .sparse = side_of(measured.back()),
                .layers = layers_of(measured.back())};
  if (!f.sparse_only) result.dense = side_of(measured.front());
  if (f.json) {
    fmt::print("{}\n", json_of(result, measured).dump(2));
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

std::function<void()> add_bench(CLI::App& app) {
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
  app.add_option("--seed", c.seed, "Of weights and patterns")->check(counted())->capture_default_str();
  app.add_option("--repetitions", flags->repetitions, "Turns; each times every kind of work three times")
      ->capture_default_str();
  app.add_flag("--sparse-only", flags->sparse_only, "No dense network: for models whose dense twin would not fit");
  app.add_flag("--json", flags->json, "Print JSON with the keys of result.json");
  return [flags] { run_bench(*flags); };
}

}  // namespace espalier
