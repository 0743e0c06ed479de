// LIBSVM's text format: sparse rows, for data of many features most of which are zero, such as counts of words.
//
//   +1 3:0.5 17:1 4862:2     # the target, then index:value of what is not zero; indices from 1, ascending
//
// Rows are kept as they come, 8 bytes per number, and become [features] when a sample is read; values are not scaled,
// for a mean that is subtracted would make every zero something else. What the target is follows the rule for tables
// (datasets/table.h). A qid: is ignored and counted; all else that is not the format above is a FileError that names
// the line.
#pragma once

#include <filesystem>
#include <span>
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
  explicit LibsvmReader(const std::filesystem::path& file);
  bool next();
  double target() const { return target_; }                          // finite
  std::span<const SparseEntry> entries() const { return entries_; }  // of this row, indices ascending
  Index qids() const { return qids_; }                               // so far
  const std::string& name() const { return lines_.name(); }
  [[noreturn]] void fail(const std::string& what) const { lines_.fail(what); }

 private:
  SparseEntry entry_of(std::string_view word) const;
  CsvReader lines_;  // of one field each
  double target_ = 0;
  std::vector<SparseEntry> entries_;
  Index qids_ = 0;
};

// Of the options: task, validation, test_fraction, seed. The features are those of the training file; of a test file,
// indices beyond them are left out and counted in the notes.
DataParts load_libsvm(const std::filesystem::path& file, const std::filesystem::path& test_file,
                      const TableOptions& options);

// The class of a target, or -1 if there is no such class.
std::int32_t class_of(const TargetRule& rule, double target);

}  // namespace espalier
