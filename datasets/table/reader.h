// Rows of a table that a fitted preprocessing is applied to again: for predictions, and for a test file.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/preprocessing.h"

namespace espalier {

// Rows of another file, encoded as a fitted preprocessing has it: columns are found by name, and may stand in another
// order; others are counted and ignored.
class TableReader {
 public:
  // Throws FileError, naming the column, unless all columns are there that features are made of.
  TableReader(const std::filesystem::path& file, EncoderPtr encoder);
  // Throws FileError, naming line and column, for a field that does not fit its column.
  bool next();
  std::span<const Cell> cells() const { return cells_; }  // [columns]
  bool has_target() const { return target_ >= 0; }
  // The target of this row; -1 and NaN if it is missing.
  std::int32_t label() const;
  double value() const;
  const EncodingCounts& counts() const { return counts_; }
  // What counts() says, for people; empty if nothing was replaced.
  std::string replaced() const;
  Index extra_columns() const { return extra_; }
  Index line() const { return reader_.line(); }

 private:
  std::string_view target_field() const { return reader_.fields()[static_cast<std::size_t>(target_)]; }
  EncoderPtr encoder_;
  CsvReader reader_;
  std::vector<std::size_t> field_of_;  // [columns]
  Index target_ = -1, extra_ = 0;
  std::vector<Cell> cells_;
  EncodingCounts counts_;
};

}  // namespace espalier
