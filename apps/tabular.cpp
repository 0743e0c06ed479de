// From a CSV file to a sparse network, top to bottom: read the table, train a small net dense, train it again while
// pruning most of its weights away, and see what it costs and which columns are left.
//
//   tabular data.csv --target price --density 0.05
//
// Without a file: a generated table of 40 columns, 10 of which bear on the target. `espalier train --data data.csv`
// does all this with flags, and `espalier predict` applies the result to other rows.
#include "apps/tool/sample.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"

using namespace espalier;

int main(int argc, char** argv) {
  RunConfig config{.data = "synthetic-table", .model = default_table_model, .epochs = 20, .method = "magnitude"};
  config.schedule.density = 0.005;
  config.optimizer.weight_decay = 5e-3;  // pulls at weights that the loss does not hold: idle columns let go
  RunPlace place;
  CLI::App app("Train a small net on a table, dense and pruned, and measure both.");
  app.add_option("file", config.data, "A table: .csv, .tsv, .svm or .libsvm, or with .gz")->capture_default_str();
  app.add_option("--target", config.table.target, "The column to predict (default: the last)");
  app.add_option("--density", config.schedule.density, "Fraction of weights kept")->capture_default_str();
  app.add_option("--epochs", config.epochs, "Epochs of each training")->capture_default_str();
  add_out_flags(app, place, "runs/tabular");
  return run_sample(app, argc, argv, [&] {
    config = settled(config);
    // Columns become features: numbers standardised, words one-hot, what is missing marked; fitted on the training
    // part.
    const DataParts data = load_data(config);
    for (const std::string& note : data.notes) fmt::print(stderr, "{}\n", note);
    const RunFolder folder = open_run(place, config);
    MetricsLog log(folder, config.epochs);

    // The smallest weights of all layers together go: where a column is idle, all that read it go in the end.
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
