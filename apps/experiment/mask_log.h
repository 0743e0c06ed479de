// masks.jsonl: which weights were live, from pruning to pruning, so that they can be looked at afterwards.
//
//   {"step": 300, "layers": [{"name": "fc1.weight", "rows": 300, "cols": 784, "row_step": 1, "col_step": 1,
//                             "gaps": "AQUCAg..."}, ...]}
//
// A line says which weights of a layer have changed from live to pruned or back since the line before, or, in the first
// one, since all were live. Positions are counted row by row; "gaps" are the distances from one that changed to the
// next, from -1 on, as LEB128 numbers in base64; "bits", where that is shorter, has a bit for each position, the lowest
// of the first byte first. Of a large layer only every row_step-th row and col_step-th column are there.
//
// A file stays small: the nearer it is to its limit, the fewer prunings get a line.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/log_file.h"
#include "espalier/experiment/result_json.h"
#include "espalier/pruning/storage_rules.h"

namespace espalier {

constexpr const char* mask_file_name = "masks.jsonl";

// Whether live (1 bit) for each of so many positions.
class Bits {
 public:
  Bits() = default;
  explicit Bits(Index count, bool live = false);
  Index count() const { return count_; }
  void set(Index at) {
    const auto place = static_cast<std::uint64_t>(at);
    words_[place / 64] |= std::uint64_t{1} << (place % 64);
  }
  void add(const Bits& other);  // of as many
  Index live() const;
  std::vector<Index> differences(const Bits& other) const;      // ascending
  std::string text() const;                                     // base64
  static Bits from_text(const std::string& text, Index count);  // throws FileError

 private:
  Index count_ = 0;
  std::vector<std::uint64_t> words_;
};

class MaskLog {
 public:
  // Of what is in the file nothing counts, or all of it.
  MaskLog(std::filesystem::path file, bool keeps_all);

  // Of one pruning, for the line of metrics: a layer's entry is given the weights that died and were born, its inputs
  // and outputs that still have a weight, the fraction of weights that were ever live if that can grow and, if the
  // pruning gets a line here, the histogram of the weights.
  void add(const std::vector<PruneEvent>& events, Json& layers);
  void flush();   // writes what was added; throws FileError, and then it is still to be written
  void finish();  // the same, and what stands behind goes

  Json noted();  // for a checkpoint
  void go_on_behind(const Json& note);

 private:
  struct Layer {
    Index rows = 0, cols = 0, row_step = 1, col_step = 1;
    Bits drawn;             // as the last line has them
    bool explores = false;  // whether `ever` is known, and not yet everything
    Bits ever;              // whether it was ever live
    Index drawn_rows() const { return (rows + row_step - 1) / row_step; }
    Index drawn_cols() const { return (cols + col_step - 1) / col_step; }
  };
  Layer layer_of(const PruneEvent& event, std::size_t layers) const;
  bool is_due(std::size_t layers);
  void write_frame(const std::vector<PruneEvent>& events);
  LogFile& file();

  std::filesystem::path path_;
  std::unique_ptr<LogFile> file_;  // null: there has been nothing to write
  std::uintmax_t kept_bytes_ = 0;
  std::string unwritten_;
  std::map<std::string, Layer> layers_;
  Index events_ = 0, frames_ = 0, last_step_ = 0;
  std::uintmax_t frame_bytes_ = 0;
  bool over_ = false;  // another training has begun, of a network with other weights
};

}  // namespace espalier
