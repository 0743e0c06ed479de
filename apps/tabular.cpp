// From a CSV file to a sparse network, top to bottom: read the table, train a small net dense, train it again while
// pruning most of its weights away, and see what it costs and which columns are left.
//
//   tabular data.csv --target price --density 0.05
//
// Without a file: a generated table of 40 columns, 10 of which bear on the target. `espalier train --data data.csv`
// does all this with flags, and `espalier predict` applies the result to other rows.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/tables.h"
#include "espalier/core/error.h"

using namespace espalier;

namespace {

// One training: a model as wide as the table, an optimizer, a loader; the pruner, if there is one, acts between steps.
Trained train(const RunConfig& config, const Data& data, Side side, const Observer& observer) {
  Trained trained;
  trained.model = model_of(config, data);
  const auto optimizer = make_optimizer(config.optimizer);
  Trainer trainer(*trained.model, loss_of(config, data), *optimizer,
                  {.threads = threads_of(config), .seed = config.seed, .clip_norm = config.clip_norm});
  Loader loader(data.train, {.batch = config.batch, .lanes = config.lanes, .seed = config.seed});
  const Loader validation(data.validation, {.batch = 1024, .lanes = config.lanes, .shuffle = false});
  const Loader test(data.test, {.batch = 1024, .lanes = config.lanes, .shuffle = false});

  // The smallest weights of all layers together go: where a column does not matter, all that read it go in the end.
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
  config.data = "synthetic-table";
  config.model = default_table_model;
  config.epochs = 20;
  config.schedule.density = 0.005;
  config.optimizer.weight_decay =
      5e-3;  // pulls at weights that the loss does not hold: columns that do not matter let go
  std::string out = "runs/tabular";
  CLI::App app("Train a small net on a table, dense and pruned, and measure both.");
  app.add_option("file", config.data, "A table: .csv, .tsv, .svm or .libsvm, or with .gz")->capture_default_str();
  app.add_option("--target", config.table.target, "The column to predict (default: the last)");
  app.add_option("--density", config.schedule.density, "Fraction of weights kept")->capture_default_str();
  app.add_option("--epochs", config.epochs, "Epochs of each training")->capture_default_str();
  app.add_option("--out", out, "Run folder")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help
    return app.exit(wanted);
  }
  check(config);

  // Columns become features: numbers standardised, words one-hot, what is missing marked; fitted on the training part.
  const Data data = load_data(config);
  for (const std::string& note : data.notes) fmt::print(stderr, "{}\n", note);
  const RunFolder folder(out);
  MetricsLog log(folder, config.epochs);

  const Trained dense = train(config, data, Side::dense, log.observer(Side::dense));
  const Trained sparse = train(config, data, Side::sparse, log.observer(Side::sparse));

  // Measured in this process, dense and sparse in turn: parameters, FLOPs, bytes, time; and the columns still read.
  const Json result = result_of(config, data, &dense, sparse);
  leave_behind(folder, config, data, sparse, result);
  fmt::print("{}", page_of(result));
  return exit_done;
}

}  // namespace

int main(int argc, char** argv) {
  return run_guarded([&] { return run(argc, argv); });
}
