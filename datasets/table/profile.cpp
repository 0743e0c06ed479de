#include "espalier/datasets/table/profile.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "espalier/core/error.h"

namespace espalier::table {
namespace {

// 2024-01-31, 31.1.24, 1/31/2024 12:00, 2024-01-31T12:00:00Z, 12:30: digits in two or three groups, one separator.
bool looks_like_date(std::string_view field) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (field.size() < 4 || field.size() > 40 || !digit(field[0])) return false;
  const std::size_t first = field.find_first_not_of("0123456789");
  if (first == std::string_view::npos || first > 4) return false;
  const char separator = field[first];
  const bool time = separator == ':';
  if (!time && separator != '-' && separator != '/' && separator != '.') return false;
  std::size_t groups = 1, at = first;
  while (at < field.size() && field[at] == separator && at + 1 < field.size() && digit(field[at + 1])) {
    const std::size_t begin = ++at;
    while (at < field.size() && digit(field[at])) ++at;
    if (at - begin > 4) return false;
    ++groups;
  }
  if (time ? groups < 2 : groups != 3) return false;
  if (at == field.size()) return true;
  return (field[at] == ' ' || field[at] == 'T' || (time && field[at] == '.')) &&
         field.find_first_not_of("0123456789:.+-TZ APMapm", at) == std::string_view::npos;
}

template <typename Map, typename Key>
void count_few(Map& map, const Key& key) {
  if (map.size() > static_cast<std::size_t>(most_classes)) return;
  if (const auto found = map.find(key); found != map.end())
    ++found->second;
  else
    map.emplace(key, 1);
}

std::size_t column_named(const std::vector<std::string>& names, const std::string& name, const char* option,
                         const std::string& file) {
  const auto found = std::ranges::find(names, name);
  require(found != names.end(), "[table] {}: {}: expected one of the columns {}, got \"{}\"", option, file,
          fmt::join(names, ", "), name);
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace

Profile profile_of(CsvReader& reader, const TableOptions& options) {
  Profile profile{.names = reader.columns(), .columns = {}, .values = {}};
  if (profile.names.size() < 2)
    reader.fail(fmt::format("expected at least two columns (comma, semicolon, tab or pipe between them), found {}",
                            profile.names.size()));
  profile.target = options.target.empty() ? profile.names.size() - 1
                                          : column_named(profile.names, options.target, "target", reader.name());
  profile.columns.resize(profile.names.size());
  const MissingMarks marks(options.missing_marks);
  while (reader.next()) {
    ++profile.rows;
    const auto fields = reader.fields();
    for (std::size_t c = 0; c < fields.size(); ++c) {
      const std::string_view field = fields[c];
      ColumnProfile& column = profile.columns[c];
      double value = 0;
      if (field.empty() || (marks.numeric() && marks.holds(field))) {
        ++column.missing;
        continue;
      }
      const Number number = parse_number(field, value);
      if (number == Number::finite) {
        ++column.numbers;
      } else if (marks.holds(field)) {
        ++column.missing;
        continue;
      } else if (number == Number::infinite) {
        ++column.infinite;
      } else {
        if (column.words++ == 0) column.first_word = field, column.first_word_line = reader.line();
        if (column.dates + 1 == column.words) column.dates += looks_like_date(field);
      }
      if (c == profile.target) {
        if (number == Number::finite) {
          count_few(profile.values.numbers, value);
          profile.values.integers = profile.values.integers && value == std::floor(value);
        }
        count_few(profile.values.texts, field);
      }
    }
  }
  if (profile.rows == 0) reader.fail("expected rows behind the header, found the end of the file");
  return profile;
}

bool looks_like_classes(const std::map<double, Index>& numbers, Index rows) {
  const auto different = static_cast<Index>(numbers.size());
  return different <= most_integer_classes && 2 * different <= rows;
}

std::vector<std::string> classes_of(const CsvReader& reader, const Profile& profile, const TableOptions& options) {
  const ColumnProfile& column = profile.columns[profile.target];
  const std::string& name = profile.names[profile.target];
  const auto fail = [&](const std::string& what) {
    throw FileError(fmt::format("{}: column {}, the target: {}", reader.name(), name, what));
  };
  if (column.known() == 0) fail("expected values, found none");
  const bool numeric = column.words == 0;
  if (options.task == "regression" && !numeric)
    throw FileError(fmt::format("{}: line {}: column {}, the target: expected a number, found \"{}\"", reader.name(),
                                column.first_word_line, name, column.first_word));
  const bool classes =
      options.task == "classification" ||
      (options.task == "auto" && (!numeric || (profile.values.integers && column.infinite == 0 &&
                                               looks_like_classes(profile.values.numbers, profile.rows))));
  if (!classes) {
    if (column.infinite > 0) fail(fmt::format("expected finite numbers, found {} infinite ones", column.infinite));
    return {};
  }
  std::vector<std::string> names;
  if (numeric && column.infinite == 0) {
    for (const auto& [value, rows] : profile.values.numbers) names.push_back(fmt::format("{}", value));
  } else {
    for (const auto& [text, rows] : profile.values.texts) names.push_back(text);
    std::ranges::sort(names);
  }
  const auto count = static_cast<Index>(names.size());
  if (count < 2) fail(fmt::format("expected at least two classes, found \"{}\" in every row", names.front()));
  if (count > most_classes)
    fail(fmt::format("expected at most {} classes, found more (another target, or task regression?)", most_classes));
  if (2 * count > column.known())
    fail(fmt::format("expected classes of two rows and more, found {} in {} rows (another target?)", count,
                     column.known()));
  return names;
}

Layout layout_of(const CsvReader& reader, const Profile& profile, const TableOptions& options) {
  std::set<std::size_t> ignore, categorical;
  for (const std::string& name : options.ignore)
    ignore.insert(column_named(profile.names, name, "ignore", reader.name()));
  for (const std::string& name : options.categorical)
    categorical.insert(column_named(profile.names, name, "categorical", reader.name()));
  Layout layout;
  for (std::size_t f = 0; f < profile.names.size(); ++f) {
    if (f == profile.target) continue;
    const ColumnProfile& c = profile.columns[f];
    layout.field.push_back(f);
    layout.content.push_back(Content::ignored);
    std::string& why = layout.why.emplace_back();
    if (ignore.contains(f))
      why = "asked for";
    else if (c.known() == 0)
      why = "no values";
    else if (c.words > 0 && c.dates == c.words && c.numbers == 0)
      why = "dates";
    else
      layout.content.back() = c.words > 0 || categorical.contains(f) ? Content::words : Content::numbers;
  }
  return layout;
}

}  // namespace espalier::table
