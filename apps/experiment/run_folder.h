// What a run leaves behind: config.toml, metrics.jsonl, masks.jsonl, model.safetensors, result.json, report.html; of a
// table trained_rows.safetensors as well.
//
// Invariants (tests/apps/run_folder_test.cpp names them by number):
//   1. A new run removes nothing that a run before it has left, unless it is told to.
//   2. A file that no run has written is never removed or replaced.
//   3. A folder has one process that writes a run into it.
//   4. metrics.jsonl and masks.jsonl have every line once, however often the run was killed.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "espalier/core/log_file.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/mask_log.h"
#include "espalier/experiment/result.h"
#include "espalier/experiment/result_json.h"

namespace espalier {

constexpr const char* preprocessing_file = "preprocessing.json";  // of runs on tables before models had it themselves
constexpr const char* model_file_name = "model.safetensors";
constexpr const char* report_file_name = "report.html";
constexpr const char* log_file_name = "train.log";  // what a run of a sweep has said

// What a run has left in its folder, if it is finished. Throws FileError if it cannot be read.
std::optional<Result> result_in(const std::filesystem::path& run);

// How a run begins in its folder.
enum class Begin {
  afresh,           // no run has been there
  overwriting,      // what a run has left there goes
  where_it_stopped  // with what it has left
};

// Made, locked and shown to be writable before any work is done. Throws FileError if that cannot be, or if another
// process has it, UsageError if what is in the folder does not go with how the run begins.
class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path, Begin begin = Begin::afresh);
  // That of one run of several, as a folder in this one.
  RunFolder within(const std::string& name) const;

  void write(const std::string& file, const std::string& text) const;  // whole or not at all
  std::filesystem::path checkpoint(const std::string& of) const;       // where a training is kept on its way
  bool has_checkpoint() const;                                         // its own, or one within
  void remove_checkpoints() const;
  std::optional<Result> result() const { return result_in(path_); }
  const std::filesystem::path& path() const { return path_; }
  const std::string& name_within() const { return within_; }  // the outermost folder; empty: it is that
  Begin begin() const { return begin_; }

 private:
  friend class FreeFolder;
  RunFolder(std::filesystem::path path, Begin begin, std::shared_ptr<const void> lock);
  std::filesystem::path path_;
  std::string within_;
  Begin begin_;
  std::shared_ptr<const void> lock_;
};

// Where a new run is left: in the folder that was asked for or, if none was, in `name`, or name-2, name-3 ... if that
// is used.
struct RunPlace {
  std::string name;        // "runs/mnist"
  std::string out = {};    // that was asked for
  bool overwrite = false;  // what a run has left there goes
};
// Throws FileError if another process writes a run into the folder now.
void require_not_in_use(const std::filesystem::path& folder);
// The same, and UsageError if a new run cannot begin there for what is in the folder: before any work.
void require_free(const RunPlace& place);
RunFolder new_run(const RunPlace& place);
// If an interrupted run of the very same configuration is there, that goes on; else a new run, with its config.toml.
RunFolder open_run(const RunPlace& place, const RunConfig& config);

// Whether a file, under any of its names, is one that a run left in its folder.
bool is_file_of_run(const std::filesystem::path& file, const std::filesystem::path& run);

// metrics.jsonl: a line per epoch and per pruning, as they happen, and masks.jsonl; some of the epochs also on stderr,
// for people.
class MetricsLog {
 public:
  // kept_bytes: what stands in the file before the run's first training, and stays.
  MetricsLog(const RunFolder& folder, Index epochs, std::uintmax_t kept_bytes = 0);
  // To be passed to a training, which the log must outlive.
  Observer observer(Side side);
  // Behind the last training: writes what could not be written before. Throws FileError.
  void finish();

 private:
  void epoch(const std::string& side, const EpochResult& e, Index round, double density);
  void pruned(const std::string& side, const std::vector<PruneEvent>& events);
  void write(const Json& line);
  void flush();
  // For checkpoints: how far the file is, and which lines could not be written. Nothing is cut off when a training goes
  // on: another one, whose checkpoint knows of more lines, may follow.
  std::string noted();
  void go_on_behind(const std::string& note);
  std::filesystem::path path_;
  std::string within_;  // which of several logs this one is
  LogFile file_;
  MaskLog masks_;
  std::string unwritten_;
  Index epochs_;
};

// Measures both models and puts everything together; dense may be null.
Result result_of(const RunConfig& config, const DataParts& data, const Trained* dense, const Trained& sparse,
                 Times times = Times::measured);

// The model, with all that predictions from it need. fingerprint: of the data; 0: not known.
void leave_model(const RunFolder& folder, const RunConfig& config, const DataParts& data, const Module& model,
                 std::uint64_t fingerprint, const std::optional<Origin>& origin = {});
// Everything but the metrics; then the checkpoints go. Throws FileError if any of it cannot be written: the checkpoints
// stay, and it says in which of them the training is.
void leave_behind(const RunFolder& folder, const RunConfig& config, const DataParts& data, const Trained& sparse,
                  const Result& result);
// The training that has left its network and its result in the folder, so that it can go on. Throws FileError.
Trained trained_in(const RunFolder& folder, const RunConfig& config, const DataParts& data);

// The source columns of which the first layer still reads something: whose features have a weight that is not zero in
// the first matrix as wide as a sample.
std::vector<std::string> surviving_inputs(const Module& model, const Preprocessing& preprocessing);

}  // namespace espalier
