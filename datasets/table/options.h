// What can be chosen about a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/preprocessing.h"

namespace espalier {

constexpr Index most_integer_classes = 20, most_classes = 1000;
// One-hot: of a column's words the most frequent so many get a feature each, if one training row in rare_word has them.
constexpr Index most_word_features = 100, rare_word = 10000;
// Training rows from which medians and quartiles are taken, drawn at random if there are more.
constexpr Index most_quantile_rows = Index{1} << 16;

struct TableOptions {
  std::string target;                      // a column's name; empty: the last column
  std::string task = "auto";               // auto, classification, regression
  std::string scaling = "standard";        // standard, robust, none, quantile, piecewise, piecewise:BINS
  std::string encoding = "one-hot";        // one-hot, ordinal
  std::string impute = "auto";             // mean, median, auto: mean with scaling standard or none, else median
  std::vector<std::string> missing_marks;  // besides the usual ones
  // Columns to leave out; columns of numbers that are to be words; columns to keep, although they look like counters of
  // rows, or like their names.
  std::vector<std::string> ignore, categorical, use;
  Index validation = 5000;     // rows; at most a tenth of what is not for testing
  double test_fraction = 0.2;  // of the rows, if there is no test file
  std::uint64_t seed = 1;
  std::size_t memory_bytes = std::size_t{64} << 20;  // of cells, before they go to a file
  CsvOptions csv = {};                               // what the file is written in, as far as it is not to be guessed
};
// Throws UsageError on the first impossible value.
void check(const TableOptions& options);

// The usual marks and those asked for. In the target, "none" is missing only if it was asked for, or among numbers: a
// class may be called None.
std::vector<std::string> missing_marks_of(const TableOptions& options);
std::vector<std::string> target_marks_of(const TableOptions& options);
bool is_none(std::string_view field);  // in any mixture of small and capital letters

}  // namespace espalier
