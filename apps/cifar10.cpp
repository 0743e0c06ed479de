// CIFAR-10, from top to bottom: train a convolutional network dense, train it again while pruning nine weights in ten
// away, and measure what became smaller and faster. What the layers are is on one page: layers/zoo.
//
//   cifar10 --model conv-4 --density 0.1 --epochs 3
//
// Reads CIFAR-10's binary files from $ESPALIER_DATA or ./data; without them, generated images. A full epoch of conv-2
// takes about a minute on two cores. `espalier train --data cifar10` does all this with flags, and more.
#include "apps/tool/sample.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"

using namespace espalier;

int main(int argc, char** argv) {
  // Half of the images are mirrored, all are moved by up to four pixels, anew in each epoch.
  RunConfig config{.augment = "crop-flip", .model = "conv-2", .epochs = 4, .method = "magnitude"};
  RunPlace place;
  CLI::App app("Train a convolutional network on CIFAR-10, dense and pruned, and measure both.");
  app.add_option("--model", config.model, "conv-2, conv-4, conv-6, resnet-20 or vgg-small")->capture_default_str();
  app.add_option("--density", config.schedule.density, "Fraction of weights kept (default: the method's)");
  app.add_option("--epochs", config.epochs, "Epochs of each training")->capture_default_str();
  app.add_option("--data-dir", config.data_dir, "Where CIFAR-10's files are (else $ESPALIER_DATA, else ./data)");
  add_out_flags(app, place, "runs/cifar10");
  return run_sample(app, argc, argv, [&] {
    config = settled(config);  // what was left open is as it suits model and method
    const DataParts data = load_data(config);
    const RunFolder folder = open_run(place, config);
    MetricsLog log(folder, config.epochs);

    // A convolution is pruned like any other layer: its weights are a matrix, a row for each output channel, a column
    // for each pixel of its window; what is gone from the matrix is neither stored nor multiplied any more.
    Experiment dense = experiment_of(config, data, Side::dense), sparse = experiment_of(config, data, Side::sparse);
    const Trained whole = train(dense, log.observer(Side::dense), {.file = folder.checkpoint("dense")});
    const Trained pruned = train(sparse, log.observer(Side::sparse), {.file = folder.checkpoint("sparse")});
    log.finish();

    const Result result = result_of(config, data, &whole, pruned);
    leave_behind(folder, config, data, pruned, result);
    fmt::print("{}", page_of(result));
    fmt::print(stderr, "run folder: {}\n", folder.path().string());
  });
}
