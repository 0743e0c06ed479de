// The rows that a network was trained on, as fingerprints: so that figures about such rows are not taken for those of
// new ones.
//
//   training rows   ──►   64 bits of each row's features   ──►   sorted, the lowest 16,384 of them kept, in a file
//
// Of more rows the kept ones are a sample drawn by chance, for a fingerprint is as good as random, and what is found
// among the asked rows that have so low ones stands for all.
//
// A row that is asked about is the same as one trained on if all its features are, to the bit. Where k training rows
// are the same, k asked ones are taken for them, and no more: of the training file's own rows exactly those are found
// that were trained on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "espalier/datasets/dataset.h"

namespace espalier {

constexpr const char* trained_rows_file = "trained_rows.safetensors";

class TrainedRows {
 public:
  // Reads all samples. most: how many are kept.
  explicit TrainedRows(const Dataset& train, std::size_t most = 1 << 14);
  void save(const std::filesystem::path& file) const;
  // None: there is no such file, for the run is from before there was one. Throws FileError for anything else.
  static std::optional<TrainedRows> load(const std::filesystem::path& file);

  // features: of a row that is asked about.
  void ask(std::span<const Real> features);
  // "288 of the 400 rows are rows that the network was trained on", of those asked about so far; empty if none are.
  std::string found() const;

 private:
  TrainedRows() = default;
  std::vector<std::uint64_t> prints_;              // ascending
  bool all_ = true;                                // none was left out
  std::unordered_map<std::uint64_t, Index> left_;  // that no asked row was taken for yet
  Index asked_ = 0, comparable_ = 0, found_ = 0;   // comparable: below or at the highest print that was kept
};

}  // namespace espalier
