// What a run leaves behind: config.toml, metrics.jsonl, model.safetensors, result.json.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "apps/tool/result.h"
#include "apps/tool/training.h"

namespace espalier {

// Created, and shown to be writable, before any work is done. Throws FileError.
class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path);
  void write(const std::string& file, const std::string& text) const;  // whole or not at all
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// metrics.jsonl: a line per epoch and per pruning, as they happen; some of the epochs also on stderr, for people.
class MetricsLog {
 public:
  MetricsLog(const RunFolder& folder, Index epochs);
  // To be passed to a training, which the log must outlive.
  Observer observer(Side side);

 private:
  void epoch(const std::string& side, const EpochResult& e, Index round);
  void pruned(const std::string& side, const std::vector<PruneEvent>& events);
  void write(const Json& line);
  std::filesystem::path path_;
  std::ofstream file_;
  Index epochs_;
  double density_ = 1;
};

// Measures both models and puts everything together; dense may be null.
Json result_of(const RunConfig& config, const Data& data, const Trained* dense, const Trained& sparse);

// Everything but the metrics.
void leave_behind(const RunFolder& folder, const RunConfig& config, Module& sparse, const Json& result);

}  // namespace espalier
