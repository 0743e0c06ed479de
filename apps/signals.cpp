// Signals, from top to bottom: a convolution that slides along them and a recurrent layer that remembers them, each
// trained dense and trained again while nine weights in ten are pruned away. What the layers are: layers/conv1d.h,
// layers/gru.h.
//
//   signals --density 0.1 --seed 1
//
// The signals are drawn by a program (datasets/synthetic_signals.h). A sample is [T, F], time in front; both models
// read it as it is. `espalier train --model gru:64` measures sizes, FLOPs and times as well.
#include "apps/tool/flag_checks.h"
#include "apps/tool/sample.h"
#include "espalier/datasets/synthetic_signals.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/layers/models.h"

using namespace espalier;

int main(int argc, char** argv) {
  double density = 0.1;
  std::uint64_t seed = 1;
  CLI::App app("Train a convolution over time and a recurrent network on signals, dense and pruned.");
  app.add_option("--density", density, "Fraction of weights kept")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  app.add_option("--seed", seed, "Of everything that is random")->check(counted())->capture_default_str();
  return run_sample(app, argc, argv, [&] {
    // Offset and scale come from what is trained on, for all of it alike.
    const DataParts data = standardised(hold_out(synthetic_signals(12000, 2000, seed), 1200, seed));
    const RunFolder folder("runs/signals", Begin::where_it_stopped);
    fmt::print("{}\n\n{:<10}{:>9}{:>10}{:>14}{:>12}{:>12}\n", data.provenance, "model", "density", "weights",
               "train TFLOP", "validation", "test");
    for (const auto& [name, epochs] : {std::pair{"cnn-1d", 16}, std::pair{"gru:64", 12}})
      for (const double fraction : {1.0, density}) {
        const ModelProfile profile = model_profile(name);
        Experiment e{.model = make_model(name, {.input = data.train->shape(), .outputs = 8, .seed = seed}),
                     .data = data,
                     .loss = softmax_cross_entropy,
                     .optimizer = make_optimizer({.weight_decay = 5e-4}),
                     .rate = {.rate = profile.rate, .warmup = profile.warmup},
                     .epochs = epochs,
                     .seed = seed};
        // The gru's two matrices are matrices like any other, only multiplied at every step.
        if (fraction < 1) e.pruning = prune_by("magnitude", fraction);
        const Trained t = train(e, {}, {.file = folder.checkpoint(fmt::format("{}-{}-{}", name, fraction, seed))});
        const Census census = census_of(*t.model);
        fmt::print("{:<10}{:>9.3f}{:>10}{:>14.3f}{:>11.2f}%{:>11.2f}%\n", name, census.density(), census.live,
                   1e-12 * t.train_flops.executed, 100 * t.validation.accuracy, 100 * t.test.accuracy);
      }
    folder.remove_checkpoints();
  });
}
