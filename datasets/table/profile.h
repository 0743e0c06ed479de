// What each column of a table holds, from one pass over its file; from another one if the first finds that the file has
// decimal commas.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/table/ids.h"
#include "espalier/datasets/table/options.h"
#include "espalier/datasets/table/rows.h"

namespace espalier::table {

// Whether whole numbers of which so many differ are classes.
inline bool looks_like_classes(Index different, Index rows) {
  return different <= most_integer_classes && 2 * different <= rows;
}

inline bool is_whole(double x) {
  constexpr double no_decimals_from = 4503599627370496;  // 2^52
  return std::abs(x) >= no_decimals_from || x == static_cast<double>(static_cast<std::int64_t>(x));
}

// The range of a column's numbers.
class NumberRange {
 public:
  void add(double x) {
    low_ = std::min(low_, x);
    high_ = std::max(high_, x);
    if (whole_) whole_ = is_whole(x);
  }
  // One that a double may not hold.
  void add_wide(long double x) {
    wide_low_ = std::min(wide_low_, x);
    wide_high_ = std::max(wide_high_, x);
  }
  long double low() const { return std::min<long double>(low_, wide_low_); }
  long double high() const { return std::max<long double>(high_, wide_high_); }
  bool whole() const { return whole_; }  // no number has decimals
  // What is to be subtracted from numbers before they are rounded to floats: the lowest, where floats would leave less
  // than 16 bits for the range; else nothing.
  double offset() const;

 private:
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
  long double wide_low_ = std::numeric_limits<long double>::infinity(), wide_high_ = -wide_low_;
  bool whole_ = true;
};

struct ColumnProfile {
  Index missing = 0, numbers = 0, infinite = 0, dates = 0;
  StrayWords words;     // all of them, in a column of words
  StrayWords notation;  // numbers that are not written as programs write them
  NumberRange range;
  Counter counter;
  bool like_an_id = false;  // by its name
  Different different;      // fields that are not missing, if it is

  Index known() const { return numbers + infinite + words.count; }
  // Words among numbers are strays: typing errors, marks for missing values. Where they are more, numbers may be words.
  bool holds_numbers() const { return 9 * words.count <= numbers; }
};

// The texts of the target, as long as they are few.
struct TargetText {
  Index rows = 0, place = 0;  // place: 0 for the first text that came, 1 for the second, ...
};
using TargetTexts = std::unordered_map<std::string, TargetText, WordHash, std::equal_to<>>;

struct Profile {
  std::string file;
  std::vector<std::string> names;
  std::vector<ColumnProfile> columns;  // [names]
  std::size_t target = 0;
  TargetTexts texts;      // up to most_classes + 1 different ones
  Dialect dialect;        // settled
  Index header_line = 0;  // 0: there is none
  Index rows = 0;         // without those left out
  LeftOut left_out;
  CsvSkipped skipped;
};

// Opens the file again at its beginning.
using OpenTable = std::function<std::unique_ptr<CsvReader>()>;

// Reads all rows. Throws FileError, and UsageError for a target that is not a column.
Profile profile_of(const OpenTable& open, const TableOptions& options);

// "a, b, c, ...", for messages.
std::string listed_names(const std::vector<std::string>& names, std::size_t most = 8);
// The place of a column. Throws UsageError, naming the option, if there is none of that name.
std::size_t column_named(const Profile& profile, const std::string& name, const char* option);

}  // namespace espalier::table
