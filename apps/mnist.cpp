// From pixels to a sparse network, top to bottom: train LeNet-300-100 dense, train it again while pruning nine weights
// in ten away, and measure what became smaller and faster.
//
//   mnist --density 0.1 --epochs 12
//
// Reads MNIST from $ESPALIER_DATA or ./data; without it, generated digits. `espalier train` does all this with flags.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/core/error.h"
#include "espalier/layers/models.h"

using namespace espalier;

namespace {

// One training: a model, an optimizer, a loader; the pruner, if there is one, acts between two steps.
Trained train(const RunConfig& config, const Data& data, Side side, const Observer& observer) {
  Trained trained;
  trained.model = make_model(config.model, {.input = data.train->shape(), .outputs = 10, .seed = config.seed});
  const auto optimizer = make_optimizer(config.optimizer);
  Trainer trainer(*trained.model, softmax_cross_entropy, *optimizer,
                  {.threads = threads_of(config), .seed = config.seed});
  Loader loader(data.train, {.batch = config.batch, .lanes = config.lanes, .seed = config.seed});
  const Loader validation(data.validation, {.batch = 1024, .lanes = config.lanes, .shuffle = false});
  const Loader test(data.test, {.batch = 1024, .lanes = config.lanes, .shuffle = false});

  // What goes: the smallest weights of all layers together. When: along a cubic curve. How: the layer becomes CSR; the
  // pruned weights and their momentum do not exist any more, and neither does the work they caused.
  Pruner pruner(trainer.parameters(), {.method = "magnitude",
                                       .allocation = Allocation::global,
                                       .schedule = config.schedule,
                                       .storage = config.storage,
                                       .protect = {},
                                       .seed = config.seed});
  FitOptions options{.epochs = config.epochs, .rate = config.rate, .label = name_of(side)};
  options.after_step = [&](Index step, Index steps) {
    if (side == Side::dense) return;
    if (const auto events = pruner.after_step(step, steps); !events.empty()) observer.pruned(events);
  };
  options.after_epoch = [&](const EpochResult& epoch) {
    trained.train_seconds += epoch.seconds;
    trained.train_flops += epoch.flops;
    observer.epoch(epoch, 0, census_of(*trained.model).density());
  };
  trained.validation = fit(trainer, loader, &validation, options).back().validation;
  trained.test = trainer.evaluate(test);
  trained.metrics = metrics_of(trainer.predict(test), *data.test);
  return trained;
}

int run(int argc, char** argv) {
  RunConfig config;
  config.epochs = 12;
  std::string out = "runs/mnist";
  CLI::App app("Train LeNet-300-100 on MNIST, dense and pruned, and measure both.");
  app.add_option("--density", config.schedule.density, "Fraction of weights kept (default: the method's)");
  app.add_option("--epochs", config.epochs, "Epochs of each training")->capture_default_str();
  app.add_option("--data-dir", config.data_dir, "Where MNIST's files are (else $ESPALIER_DATA, else ./data)");
  app.add_option("--out", out, "Run folder")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help
    return app.exit(wanted);
  }
  check(config);
  const Data data = load_data(config);
  const RunFolder folder(out);
  MetricsLog log(folder, config.epochs);

  const Trained dense = train(config, data, Side::dense, log.observer(Side::dense));
  const Trained sparse = train(config, data, Side::sparse, log.observer(Side::sparse));

  // Measured in this process, dense and sparse in turn: parameters, FLOPs, bytes, time.
  const Json result = result_of(config, data, &dense, sparse);
  leave_behind(folder, config, data, sparse, result);
  fmt::print("{}", page_of(result));
  return exit_done;
}

}  // namespace

int main(int argc, char** argv) {
  return run_guarded([&] { return run(argc, argv); });
}
