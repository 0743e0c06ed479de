// espalier reproduce: a table of experiments, given as data, run until it is full.
//
// An experiment file is TOML. `[defaults]` and every `[[experiment]]` take the sections of config.toml and
//
//   name        of the experiment
//   method      one of `espalier methods`; or "dense": no pruning; or "linear": the baseline (baselines.h), solved
//   density     a number, or a list: the columns of a table
//   seeds       how many: 1, 2, ...
//   recipe      one that it begins with: see recipes.h
//   published   a test error in % (regression: an RMSE), or a table of them by density: { "0.05" = 1.53 };
//               published_gain: over dense, in percentage points;  source: of both
//
// A file may have [[dataset]]s: a `name`, perhaps a `recipe`, and sections. Then every experiment is run on each of
// them, as "DATASET: EXPERIMENT"; what it says itself comes last.
//
// Every finished (row, seed) is a line of results.jsonl beside the file. A row whose configuration has changed is
// another row, and runs again.
#pragma once

#include <fmt/core.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/experiment/config.h"
#include "espalier/optim/metrics.h"

namespace espalier {

// An experiment at one density.
struct ReproduceRow {
  std::string name;
  std::string dataset, experiment;  // where the file has [[dataset]]s: what the name consists of
  RunConfig config;                 // checked; the seed does not count
  bool dense = false;               // nothing is pruned
  bool linear = false;              // the linear baseline; dense, too
  bool column = false;              // one of a list of densities
  std::uint64_t seeds = 1;
  std::optional<double> published_error, published_gain;  // %, percentage points
  std::string source, reason;                             // where it is published; why it is not reproduced
  // Of everything that decides the result; of its training without pruning; of what its control is compared with.
  std::string digest, twin, found;
  std::string label() const { return with_density(name); }
  std::string with_density(const std::string& text) const {
    return dense ? text : fmt::format("{}@{:g}", text, config.schedule.density);
  }
  std::string key(std::uint64_t seed) const { return fmt::format("{} {} {}", name, digest, seed); }
};

constexpr std::uint64_t most_seeds = 1000;

// What came of one training of a row: a line of results.jsonl. Numbers that older lines lack are optional.
struct ReproduceResult {
  std::string key, name, method;
  double density = 1;
  std::uint64_t seed = 1;
  std::string model, data;
  Index epochs = 0;
  std::string control = "none";
  std::string failed = {};  // why the numbers from here to `inference_seconds` are not known
  Metrics test = {};
  double test_loss = Metrics::unknown;
  std::optional<double> validation = {};  // accuracy, or RMSE for regression
  double kept = 1;                        // of the weights of the network that the configuration names
  std::optional<Index> nonzeros = {};
  std::uint64_t train_flops = 0;
  double train_seconds = 0;
  std::optional<double> work = {};  // Pending::work
  std::optional<double> train_step_seconds = {}, inference_seconds = {};
  double wall_seconds = 0;
  int threads = 1;
  std::string processor = {};
  bool regression() const { return test.classes == 0; }
  bool operator==(const ReproduceResult& other) const { return line_of(*this) == line_of(other); }
  friend std::string line_of(const ReproduceResult& result);  // JSON, without a line end
};
// Throws nlohmann::json::exception for anything that line_of does not write.
ReproduceResult result_of_line(const std::string& line);

using ReproduceResults = std::map<std::string, ReproduceResult>;  // by key

// In the order of the file. Throws FileError naming file and experiment.
std::vector<ReproduceRow> read_experiments(const std::filesystem::path& file);
// No file: no results. Of two lines of one key the later counts; a last line without an end is not there.
ReproduceResults read_results(const std::filesystem::path& file);

struct ReproduceOptions {
  std::string data_dir;  // where data are looked for, unless empty
  int threads = 0;       // 0: one per processor
};
// A row and a seed that is not trained yet.
struct Pending {
  const ReproduceRow* row;
  std::uint64_t seed;
  RunConfig config(const ReproduceOptions& options) const;
  double work() const;  // epochs over all trainings: what its time is about proportional to
};
// Trains them one after the other; each becomes a line of `file`, and an entry of `results`, when it is done. Throws
// InterruptedError when it is asked to stop: the same call goes on from there.
void run_pending(const std::vector<Pending>& pending, const ReproduceOptions& options,
                 const std::filesystem::path& file, ReproduceResults& results);

// Markdown. What is not finished is said to be so.
std::string reproduce_table(const std::vector<ReproduceRow>& rows, const ReproduceResults& results);
// Puts `table` between the marker comments of a Markdown file: those that say `name`, or else the first that say none.
// Throws FileError if they are not there.
void write_between_markers(const std::filesystem::path& file, const std::string& name, const std::string& table);

}  // namespace espalier
