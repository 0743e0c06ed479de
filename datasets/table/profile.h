// What each column of a table holds, from one pass over its file.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "espalier/datasets/csv.h"
#include "espalier/datasets/table/options.h"

namespace espalier::table {

struct ColumnProfile {
  Index missing = 0, numbers = 0, infinite = 0, words = 0, dates = 0;
  std::string first_word;
  Index first_word_line = 0;

  Index known() const { return numbers + infinite + words; }
};

struct TargetProfile {
  std::map<double, Index> numbers;  // up to most_classes + 1 different ones
  bool integers = true;
  std::unordered_map<std::string, Index, WordHash, std::equal_to<>> texts;  // up to most_classes + 1 as well
};

struct Profile {
  std::vector<std::string> names;
  std::vector<ColumnProfile> columns;  // [names]
  std::size_t target = 0;
  TargetProfile values;
  Index rows = 0;
};

// Reads all rows. Throws FileError, and UsageError for a target that is not a column.
Profile profile_of(CsvReader& reader, const TableOptions& options);

// The names of the target's classes, in the order of their numbers or of the alphabet; none: regression.
std::vector<std::string> classes_of(const CsvReader& reader, const Profile& profile, const TableOptions& options);

// Whether integers are classes, by the rule in datasets/table.h. numbers: how many rows have each, as long as those are
// few (at most most_classes + 1 are counted).
bool looks_like_classes(const std::map<double, Index>& numbers, Index rows);

enum class Content { numbers, words, ignored };

// The columns besides the target, in order.
struct Layout {
  std::vector<std::size_t> field;  // [columns] -> field of the file
  std::vector<Content> content;    // [columns]
  std::vector<std::string> why;    // [columns], of the ignored
};

// Throws UsageError for columns that do not exist.
Layout layout_of(const CsvReader& reader, const Profile& profile, const TableOptions& options);

}  // namespace espalier::table
