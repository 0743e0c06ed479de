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
#include "espalier/datasets/table/rows.h"

namespace espalier {

// Rows of another file, encoded as a fitted preprocessing has it: columns are found by name, and may stand in another
// order; others are counted and ignored. The file is read as the training file was, with its delimiter, header or none,
// decimal mark and charset, but for what is asked for.
class TableReader {
 public:
  // Throws FileError, naming the column, unless all columns are there that features are made of.
  TableReader(const std::filesystem::path& file, EncoderPtr encoder, CsvOptions asked = {});
  // The next row; words in columns of numbers are missing, and counted. Throws FileError for what is no row. A row that
  // repeats the header is passed over with repeats_header(), and without cells.
  bool next() { return reader_.next() && (repeats_header() || encode(reader_.fields(), reader_.line())); }
  bool repeats_header() const { return reader_.repeats_header(); }
  std::span<const Cell> cells() const { return cells_; }  // [columns]
  bool has_target() const { return target_ >= 0; }
  // The target of this row, its class or its number less the target's offset; -1 and NaN if it is missing. Throws
  // FileError for anything else.
  std::int32_t label() const;
  double value() const;
  // The same as a number, for rows that are asked about: a target that is anything else counts as not known.
  double known_target();
  const EncodingCounts& counts() const { return counts_; }
  // What counts() says, for people; empty if nothing was replaced.
  std::string replaced() const;
  Index extra_columns() const { return extra_; }
  Index line() const { return counts_.line; }
  // The file's own rows: columns() and fields() as they stand there.
  const CsvReader& rows() const { return reader_; }

  // Instead of next(): the rows that are samples, as in training (datasets/table/rows.h).
  class Samples {
   public:
    explicit Samples(TableReader& reader);
    bool next() { return rows_.next() && reader_.encode(rows_.fields(), rows_.line()); }
    const table::LeftOut& left_out() const { return rows_.left_out(); }

   private:
    TableReader& reader_;
    table::TableRows rows_;
  };

 private:
  bool encode(std::span<const std::string_view> fields, Index line);
  [[noreturn]] void fail(const std::string& what) const;

  EncoderPtr encoder_;
  CsvReader reader_;
  std::vector<std::size_t> field_of_;  // [columns]
  Index target_ = -1, extra_ = 0;
  std::vector<Cell> cells_;
  std::string_view target_field_;
  EncodingCounts counts_;
};

}  // namespace espalier
