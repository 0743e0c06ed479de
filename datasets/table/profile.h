// What each column of a table holds, from one pass over its file; from another one if the first finds that the file has
// decimal commas, or nothing in the column taken for the target.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/table/floats.h"
#include "espalier/datasets/table/ids.h"
#include "espalier/datasets/table/options.h"
#include "espalier/datasets/table/rows.h"

namespace espalier::table {

// Whether whole numbers of which so many differ are classes.
inline bool looks_like_classes(Index different, Index rows) {
  return different <= most_integer_classes && 2 * different <= rows;
}

struct ColumnProfile {
  Index missing = 0, numbers = 0, infinite = 0, dates = 0;
  Index empty = 0;      // of the missing
  StrayWords words;     // all of them, in a column of words
  StrayWords notation;  // numbers that are not written as programs write them
  NumberRange range;
  EvenSample sample;  // of the numbers, too
  Counter counter;
  bool like_an_id = false;  // by its name
  Different different;      // fields that are not missing, if it is

  Index known() const { return numbers + infinite + words.count; }
  FloatFit float_fit() const { return table::float_fit(range, sample); }
  // Words among numbers are strays (typing errors, marks for missing values) if they are few; or if the numbers are the
  // most and are measurements, so that as words nearly every field would be another one (<0.5, n.d.).
  bool holds_numbers() const {
    const bool measurements = !range.whole() || range.high() - range.low() > most_word_features;
    return 9 * words.count <= numbers || (words.count <= numbers && measurements);
  }
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
