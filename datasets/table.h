// Tables: from a CSV file to data sets for training, validation and testing, in two passes over the file.
//
//   1  profile   what each column holds: numbers, words, dates; what the target is
//   2  encode    each field to four bytes: a float, or the number of a word. In memory; from a limit on in a temporary
//                file that is mapped, so that a table may be larger than memory
//   3  split     rows to parts, class by class: a function of (seed, row)
//   4  fit       means, medians, frequent words: of the training part only (datasets/preprocessing.h)
//
// A sample's features are made of its cells when it is read.
//
// What a column is: numbers if all its fields are numbers or missing; dates if all look like them (then it is ignored,
// with a note); else words. The target is a class if it has words, or integers of which at most `most_integer_classes`
// differ and each stands in two rows or more on average; else a number. Rows without a target are left out and counted.
// Infinite numbers, and those no float holds, count as missing.
//
// Nothing that is replaced, ignored or left out goes unsaid: see TableParts::notes.
//
// Invariants (tests/datasets/table_test.cpp names them by number):
//   1. The parts are disjoint and together all rows with a target; each has its share of every class, within one row.
//   2. Nothing of rows outside the training part changes a bit of the preprocessing, but which classes there are and
//      whether a column is of numbers or words.
//   3. The parts hold the same bits whether cells are in memory or in a file.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/dataset.h"
#include "espalier/datasets/preprocessing.h"

namespace espalier {

constexpr Index most_integer_classes = 20, most_classes = 1000;
// One-hot: of a column's words the most frequent so many get a feature each, if one training row in rare_word has them.
constexpr Index most_word_features = 100, rare_word = 10000;
// Training rows from which medians and quartiles are taken, drawn at random if there are more.
constexpr Index most_quantile_rows = Index{1} << 16;

struct TableOptions {
  std::string target;                // a column's name; empty: the last column
  std::string task = "auto";         // auto, classification, regression
  std::string scaling = "standard";  // standard, robust, none
  std::string encoding = "one-hot";  // one-hot, ordinal
  std::string impute = "auto";       // mean, median, auto: median with robust scaling, else mean
  std::vector<std::string> missing_marks = usual_missing_marks();
  std::vector<std::string> ignore, categorical;  // columns to leave out; columns of numbers that are to be words
  Index validation = 5000;                       // rows; at most a tenth of what is not for testing
  double test_fraction = 0.2;                    // of the rows, if there is no test file
  std::uint64_t seed = 1;
  std::size_t memory_bytes = std::size_t{64} << 20;  // of cells, before they go to a file
  CsvOptions csv = {};
};
// Throws UsageError on the first impossible value; names flags as the user types them.
void check(const TableOptions& options);

struct TableParts {
  DatasetPtr train, validation, test;
  std::shared_ptr<const Preprocessing> preprocessing;
  std::string provenance;
  std::vector<std::string> notes;  // lines for people: what was found, replaced, ignored, left out
};

// A fifth of the rows, or test_file, is for testing. Throws FileError for files that cannot be read or do not go
// together, UsageError for columns that do not exist.
TableParts load_table(const std::filesystem::path& file, const std::filesystem::path& test_file,
                      const TableOptions& options);
// The same of text at hand.
TableParts load_table_text(const std::string& name, const std::string& text, const TableOptions& options);

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
  // Of this row; missing: -1 and NaN.
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

// Classes by the rule above; shared with other readers. Of the numbers seen: how many rows have each, as long as those
// are few (at most most_classes + 1 are counted).
bool looks_like_classes(const std::map<double, Index>& numbers, Index rows);
// Rows to parts, class by class, by selection sampling (Knuth, The Art of Computer Programming, 3.4.2, algorithm S).
enum class Part : std::uint8_t { train, validation, test };
class StratifiedSplit {
 public:
  // rows: of each class (one class: no strata). Of these, `test_fraction`, and of the rest `validation` rows, but a
  // tenth of it at most.
  StratifiedSplit(std::vector<Index> rows, double test_fraction, Index validation, std::uint64_t seed);
  // To be asked for each row once, in order.
  Part next(std::size_t klass);

 private:
  struct Stratum {
    Index left = 0, test = 0, validation = 0;  // rows still to come, and how many of them go where
  };
  std::vector<Stratum> strata_;
  std::uint64_t seed_, row_ = 0;
};

}  // namespace espalier
