// Everything that produces a result. Written into every run folder as config.toml; running that again gives the same
// bits.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/datasets/table.h"
#include "espalier/optim/optimizer.h"
#include "espalier/optim/rate.h"
#include "espalier/pruning/allocation.h"
#include "espalier/pruning/pruner.h"
#include "espalier/pruning/schedule.h"
#include "espalier/pruning/storage_rules.h"

namespace espalier {

// A schedule as it is asked for: what is left open has the method's own value.
struct ScheduleChoice {
  std::string kind = "auto";       // auto, or what schedule_named knows
  double density = 0;              // 0: open
  double begin = -1, end = -1;     // -1: open
  Index interval = 0, rounds = 0;  // 0: open
};
ScheduleChoice choice_of(const Schedule& schedule);  // nothing is open
Schedule schedule_of(const ScheduleChoice& choice);  // throws UsageError if anything is

constexpr const char* default_table_model = "tabular:256-256";

struct RunConfig {
  // data
  std::string data = "auto";     // a name that load_data knows (data.h), or a table's file
  std::string data_dir;          // where files are looked for; empty: $ESPALIER_DATA, then ./data
  std::string format = "auto";   // of a file: csv, libsvm, text; auto: by its ending
  Index validation = 5000;       // samples of the training set that choices may be made on
  std::string augment = "none";  // none, flip, crop-flip: of the samples trained on
  TableOptions table;            // of tables; seed and validation are those of the run
  std::string test_data;         // a table's test file; empty: a part of the table

  // model and run
  std::string recipe;  // that the configuration began with; says nothing that the other fields do not
  std::string model = "lenet-300-100";
  std::string init;                     // a run, or a safetensors file, with weights to begin with; empty: drawn
  std::vector<std::string> init_names;  // what layers are called in it, as in fc1=0: see layers/initial_weights.h
  Index members = 1;  // above 1: so many networks, with seeds one after the other; their average is what is measured
  std::uint64_t seed = 1;
  int threads = 0;  // 0: one per processor. Does not change a bit of the result.
  Index lanes = 0;  // 0: what suits the model

  // training
  Index epochs = 40;  // in all; 0, with weights to begin with: they are pruned, and not trained
  // A run that was finished and trained on: after how many epochs each time, and at what rate from there on. Schedules
  // are over then, and what is pruned stays so.
  std::vector<Index> continued;
  std::vector<double> continued_rates;
  Index patience = 0;  // above 0: the best epoch by validation counts, and so many without a better one are enough
  Index batch = 128;
  OptimizerOptions optimizer{.weight_decay = 5e-4};
  RateOptions rate{.rate = 0};         // rate 0: what suits the model and the optimizer, with the model's warm-up
  double clip_norm = -1;               // 0: never; -1: what suits the model
  std::string loss = "auto";           // auto: cross-entropy, or mse for regression; huber, quantile
  double huber_delta = 1;              // in the units of the targets that the data give (standardised ones, mostly)
  double quantile = 0.5;               // of the targets, that is to be predicted
  std::string class_weights = "none";  // none, balanced: by inverse frequency

  // pruning; what is left open here is settled by the method's own defaults
  std::string method = "magnitude";
  std::string allocation = "auto";
  std::string structure = "auto";
  ScheduleChoice schedule;
  std::string rewind = "auto";   // none, init, rate, or a step: with an iterative schedule, rounds are whole trainings
  std::string control = "none";  // what is trained in the pruned network's place: see pruning/controls.h
  std::map<std::string, double> settings;  // the method's own
  std::vector<std::string> protect;
  UnitOptions units;        // where the structure is one of whole units; its protected names are then those of layers
  bool recalibrate = true;  // running statistics, where no step follows the last pruning
  StorageRules storage;

  std::string layout = "smallest";  // of the model's file: smallest, csr
  bool dense_twin = true;
  bool baselines = false;  // also for data other than tables
};

// The configuration with all that was left open settled: by what suits the model, and by the method's own defaults.
// Throws UsageError on the first impossible value, "[option] expected ..., got ...".
RunConfig settled(RunConfig config);
// Throws UsageError unless the density that was asked for equals the one that structure and allocation imply.
void check_fixed_density(const RunConfig& config, double density, double fixed);

// The configuration of the training before it was continued; itself, if it was not.
RunConfig before_continued(RunConfig config);

std::string to_toml(const RunConfig& config);
// 64 bits of all that decides what is trained.
std::uint64_t fingerprint(const RunConfig& config);
// Throws FileError, naming line or key, on anything it does not understand. file: what messages call the text.
RunConfig from_toml(const std::filesystem::path& path);
RunConfig from_toml_text(const std::string& text, const std::string& file);

}  // namespace espalier
