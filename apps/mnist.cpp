// From pixels to a sparse network, top to bottom: train LeNet-300-100 dense, train it again while pruning nine weights
// in ten away, and measure what became smaller and faster.
//
//   mnist --density 0.1 --epochs 12
//
// Reads MNIST from $ESPALIER_DATA or ./data; without it, generated digits. `espalier train` does all this with flags.
#include "apps/tool/sample.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"

using namespace espalier;

int main(int argc, char** argv) {
  RunConfig config{.model = "lenet-300-100", .epochs = 12, .method = "magnitude"};
  RunPlace place;
  CLI::App app("Train LeNet-300-100 on MNIST, dense and pruned, and measure both.");
  app.add_option("--density", config.schedule.density, "Fraction of weights kept (default: the method's)");
  app.add_option("--epochs", config.epochs, "Epochs of each training")->capture_default_str();
  app.add_option("--data-dir", config.data_dir, "Where MNIST's files are (else $ESPALIER_DATA, else ./data)");
  add_out_flags(app, place, "runs/mnist");
  return run_sample(app, argc, argv, [&] {
    config = settled(config);  // what was left open is as it suits model and method
    const DataParts data = load_data(config);
    const RunFolder folder = open_run(place, config);
    MetricsLog log(folder, config.epochs);

    // The same network, data, optimizer and rates twice. What goes from the second: the smallest weights of all layers
    // together. When: along a cubic curve, between two steps. How: a layer becomes CSR; the pruned weights and their
    // momentum do not exist any more, and neither does the work they caused.
    Experiment dense = experiment_of(config, data, Side::dense), sparse = experiment_of(config, data, Side::sparse);
    const Trained whole = train(dense, log.observer(Side::dense), {.file = folder.checkpoint("dense")});
    const Trained pruned = train(sparse, log.observer(Side::sparse), {.file = folder.checkpoint("sparse")});
    log.finish();

    // Measured in this process, dense and sparse in turn: parameters, FLOPs, bytes, time.
    const Result result = result_of(config, data, &whole, pruned);
    leave_behind(folder, config, data, pruned, result);
    fmt::print("{}", page_of(result));
    fmt::print(stderr, "run folder: {}\n", folder.path().string());
  });
}
