// CIFAR-10, from top to bottom: train a convolutional network dense, train it again while pruning nine weights in ten
// away, and measure what became smaller and faster. What the layers are is on one page: layers/zoo/image_models.cpp.
//
//   cifar10 --model conv-4 --density 0.1 --epochs 3
//
// Reads CIFAR-10's binary files from $ESPALIER_DATA or ./data; without them, generated images. A full epoch of conv-2
// takes about a minute on two cores. `espalier train --data cifar10` does all this with flags, and more.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "apps/tool/run_folder.h"
#include "espalier/core/error.h"
#include "espalier/layers/models.h"

using namespace espalier;

namespace {

// One training. A convolution is pruned like any other layer: its weights are a matrix, a row for each output channel,
// a column for each pixel of its window; what is gone from the matrix is neither stored nor multiplied any more.
Trained train(const RunConfig& config, const Data& data, Side side, const Observer& observer) {
  Trained trained;
  trained.model = make_model(config.model, {.input = data.train->shape(), .outputs = 10, .seed = config.seed});
  const auto optimizer = make_optimizer(config.optimizer);
  Trainer trainer(*trained.model, softmax_cross_entropy, *optimizer,
                  {.threads = threads_of(config), .seed = config.seed});
  // Half of the images are mirrored, all are moved by up to four pixels, anew in each epoch.
  Loader loader(
      data.train,
      {.batch = config.batch, .lanes = config.lanes, .seed = config.seed, .augment = {.pad = 4, .flip = true}});
  const Loader validation(data.validation, {.batch = 1024, .lanes = config.lanes, .shuffle = false});
  const Loader test(data.test, {.batch = 1024, .lanes = config.lanes, .shuffle = false});

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
  config.model = "conv-2";
  config.epochs = 4;
  config.augment = "crop-flip";  // as train() does it; said here so that config.toml says it, too
  std::string out = "runs/cifar10";
  CLI::App app("Train a convolutional network on CIFAR-10, dense and pruned, and measure both.");
  app.add_option("--model", config.model, "conv-2, conv-4, conv-6, resnet-20 or vgg-small")->capture_default_str();
  app.add_option("--density", config.schedule.density, "Fraction of weights kept (default: the method's)");
  app.add_option("--epochs", config.epochs, "Epochs of each training")->capture_default_str();
  app.add_option("--data-dir", config.data_dir, "Where CIFAR-10's files are (else $ESPALIER_DATA, else ./data)");
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
