// What a run leaves behind: config.toml, metrics.jsonl, model.safetensors, result.json; of a table
// trained_rows.safetensors as well.
#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "espalier/datasets/preprocessing.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/result.h"
#include "espalier/experiment/result_json.h"

namespace espalier {

constexpr const char* preprocessing_file = "preprocessing.json";  // of runs on tables before models had it themselves
constexpr const char* model_file_name = "model.safetensors";

// Created, and shown to be writable, before any work is done; what an earlier run left is removed, unless this one goes
// on with it. Throws FileError.
enum class Begin { afresh, where_it_stopped };
class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path, Begin begin = Begin::afresh);
  void write(const std::string& file, const std::string& text) const;  // whole or not at all
  std::filesystem::path checkpoint(const std::string& of) const;       // where an interrupted training is kept
  void remove_checkpoints() const;
  std::optional<Result> result() const;  // that a run left here; throws FileError if it cannot be read
  const std::filesystem::path& path() const { return path_; }
  Begin begin() const { return begin_; }

 private:
  std::filesystem::path path_;
  Begin begin_;
};

// Whether a file, under any of its names, is one that a run left in its folder.
bool is_file_of_run(const std::filesystem::path& file, const std::filesystem::path& run);

// The folder of a run of this configuration, which is written into it. If it holds an interrupted run of the very same
// configuration, that goes on. Throws FileError.
RunFolder open_run(const std::filesystem::path& path, const RunConfig& config);

// metrics.jsonl: a line per epoch and per pruning, as they happen; some of the epochs also on stderr, for people.
class MetricsLog {
 public:
  MetricsLog(const RunFolder& folder, Index epochs);
  // To be passed to a training, which the log must outlive.
  Observer observer(Side side);

 private:
  void epoch(const std::string& side, const EpochResult& e, Index round, double density);
  void pruned(const std::string& side, const std::vector<PruneEvent>& events);
  void write(const Json& line);
  std::filesystem::path path_;
  std::ofstream file_;
  Index epochs_;
};

// Measures both models and puts everything together; dense may be null.
Result result_of(const RunConfig& config, const DataParts& data, const Trained* dense, const Trained& sparse);

// Everything but the metrics; then the checkpoints go.
void leave_behind(const RunFolder& folder, const RunConfig& config, const DataParts& data, const Trained& sparse,
                  const Result& result);

// The source columns of which the first layer still reads something: whose features have a weight that is not zero in
// the first matrix as wide as a sample.
std::vector<std::string> surviving_inputs(const Module& model, const Preprocessing& preprocessing);

}  // namespace espalier
