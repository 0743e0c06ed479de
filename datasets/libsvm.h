// LIBSVM's text format: sparse rows, for data of many features most of which are zero, such as counts of words.
//
//   +1 3:0.5 17:1 4862:2     # the target, then index:value of what is not zero; indices from 1, ascending
//
// Rows are kept as they come, 8 bytes per number, and become [features] when a sample is read; values are not scaled,
// for a mean that is subtracted would make every zero something else. What the target is follows the rule for tables
// (datasets/table.h); a class is called as it is first written, +1 or 007, and recognised as a number: 1, 1.0 and +1
// are the same one, and -0 is 0. A qid: is ignored and counted; all else that is not the format above is a FileError
// that names the line, unless some rows may be bad.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/table.h"

namespace espalier {

constexpr Index most_sparse_features = Index{1} << 24;

struct SparseEntry {
  std::uint32_t index;  // from 0
  float value;
};

// A row at a time, from a file of any size, plain or gzipped.
class LibsvmReader {
 public:
  // most_bad_rows: how many rows that are not of the format are left out, and counted, before one is an error.
  explicit LibsvmReader(const std::filesystem::path& file, Index most_bad_rows = 0);
  bool next();
  // The number in front of this row. NaN: something else stands there, or nothing, which only rows may have that are
  // asked about.
  double target() const { return target_; }
  std::string_view target_text() const { return target_text_; }      // as it is written; empty: none
  std::span<const SparseEntry> entries() const { return entries_; }  // of this row, indices ascending
  Index qids() const { return qids_; }                               // so far, like the next
  Index bad_rows() const { return bad_rows_; }
  // Whole numbers of which the last digits are gone; the first: "index 3: \"1700000001\" as 1700000000".
  Index rounded() const { return rounded_; }
  const std::string& first_rounded() const { return first_rounded_; }
  const std::string& first_bad_row() const { return first_bad_row_; }  // "line 7: expected ..., found ..."
  const std::string& name() const { return lines_.name(); }
  Index line() const { return lines_.line(); }
  [[noreturn]] void fail(const std::string& what) const { lines_.fail(what); }

 private:
  void read_row(std::string_view line);
  SparseEntry entry_of(std::string_view word);
  void leave_out(const std::string& why);
  CsvReader lines_;  // of one field each
  double target_ = 0;
  std::string_view target_text_;
  std::vector<SparseEntry> entries_;
  Index qids_ = 0, bad_rows_ = 0, rounded_ = 0, most_bad_rows_;
  std::string first_bad_row_, first_rounded_;
};

// Classes by their numbers.
class SparseClasses {
 public:
  explicit SparseClasses(const std::vector<std::string>& names);
  std::int32_t of(double target) const;  // -1: none of them

 private:
  std::map<double, std::int32_t> numbers_;
};

// Of the options: task, validation, test_fraction, seed, and how many rows may be bad. The features are those of the
// training file; of a test file, indices beyond them are left out and counted in the notes.
DataParts load_libsvm(const std::filesystem::path& file, const std::filesystem::path& test_file,
                      const TableOptions& options);

}  // namespace espalier
