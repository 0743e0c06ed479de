// Signals, from top to bottom: a convolution that slides along them and a recurrent layer that remembers them, each
// trained dense and trained again while nine weights in ten are pruned away. What the layers are: layers/conv1d.h,
// layers/gru.h.
//
//   signals --density 0.1 --seed 1
//
// The signals are drawn by a program (datasets/synthetic_signals.h). A sample is [T, F], time in front; both models
// read it as it is. `espalier train --model gru:64` measures sizes, FLOPs and times as well.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "espalier/core/error.h"
#include "espalier/datasets/loader.h"
#include "espalier/datasets/synthetic_signals.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/models.h"
#include "espalier/optim/fit.h"
#include "espalier/pruning/pruner.h"

using namespace espalier;

namespace {

struct Recipe {
  const char* model;
  Index epochs;
};

struct Outcome {
  double validation, test;  // accuracies
  Census census;
  std::uint64_t train_flops;
};

// One training. density 1: nothing is pruned.
Outcome train(const Recipe& recipe, const DataParts& data, double density, std::uint64_t seed) {
  const ModulePtr model =
      make_model(recipe.model, {.input = data.train->shape(), .outputs = data.train->classes(), .seed = seed});
  const ModelProfile profile = model_profile(recipe.model);
  const auto optimizer = make_optimizer({.weight_decay = 5e-4});
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.seed = seed});
  Loader loader(data.train, {.batch = 128, .lanes = profile.lanes, .seed = seed});
  const auto in_order = [&](const DatasetPtr& set) {
    return Loader(set, {.batch = 1024, .lanes = profile.lanes, .shuffle = false});
  };
  const Loader validation = in_order(data.validation);

  // The smallest weights of all matrices together go, along a cubic curve. The gru's two matrices are matrices like any
  // other, only multiplied at every step.
  Pruner pruner(trainer.parameters(), criterion_named("magnitude"),
                {.allocation = Allocation::global, .schedule = {.density = density, .interval = 50}, .seed = seed});
  Outcome outcome{};
  FitOptions options{.epochs = recipe.epochs, .rate = {.rate = profile.rate, .warmup = profile.warmup}};
  options.label = fmt::format("{} {}", recipe.model, density < 1 ? "sparse" : "dense");
  options.after_step = [&](Index step, Index steps) {
    if (density < 1) pruner.after_step(step, steps);
  };
  options.after_epoch = [&](const EpochResult& epoch) { outcome.train_flops += epoch.flops.executed; };
  outcome.validation = fit(trainer, loader, &validation, options).back().validation.accuracy;
  outcome.test = trainer.evaluate(in_order(data.test)).accuracy;
  outcome.census = census_of(*model);
  return outcome;
}

int run(int argc, char** argv) {
  double density = 0.1;
  std::uint64_t seed = 1;
  CLI::App app("Train a convolution over time and a recurrent network on signals, dense and pruned.");
  app.add_option("--density", density, "Fraction of weights kept")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  app.add_option("--seed", seed, "Of everything that is random")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help
    return app.exit(wanted);
  }
  // Offset and scale come from what is trained on, for all of it alike.
  const DataParts data = standardised(hold_out(synthetic_signals(12000, 2000, seed), 1200, seed));

  fmt::print("{}\n\n{:<10}{:>9}{:>10}{:>14}{:>12}{:>12}\n", data.provenance, "model", "density", "weights",
             "train TFLOP", "validation", "test");
  for (const Recipe& recipe : {Recipe{"cnn-1d", 16}, Recipe{"gru:64", 12}})
    for (const double fraction : {1.0, density}) {
      const Outcome outcome = train(recipe, data, fraction, seed);
      fmt::print("{:<10}{:>9.3f}{:>10}{:>14.3f}{:>11.2f}%{:>11.2f}%\n", recipe.model, outcome.census.density(),
                 outcome.census.live, static_cast<double>(outcome.train_flops) * 1e-12, 100 * outcome.validation,
                 100 * outcome.test);
    }
  return exit_done;
}

}  // namespace

int main(int argc, char** argv) {
  return run_guarded([&] { return run(argc, argv); });
}
