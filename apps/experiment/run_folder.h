// What a run leaves behind: config.toml, metrics.jsonl, model.safetensors, result.json; of a
// table preprocessing.json as well.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "espalier/experiment/result.h"
#include "espalier/experiment/training.h"

namespace espalier {

// Created, and shown to be writable, before any work is done; what an earlier run left is removed, unless this one goes
// on with it. Throws FileError.
enum class Begin { afresh, where_it_stopped };
class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path, Begin begin = Begin::afresh);
  void write(const std::string& file, const std::string& text) const;  // whole or not at all
  std::filesystem::path checkpoint(const std::string& of) const;       // where an interrupted training is kept
  void remove_checkpoints() const;
  const std::filesystem::path& path() const { return path_; }
  Begin begin() const { return begin_; }

 private:
  std::filesystem::path path_;
  Begin begin_;
};

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
Json result_of(const RunConfig& config, const Data& data, const Trained* dense, const Trained& sparse);

// Everything but the metrics.
void leave_behind(const RunFolder& folder, const RunConfig& config, const Data& data, const Trained& sparse,
                  const Json& result);

}  // namespace espalier
