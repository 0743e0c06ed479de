#include "espalier/datasets/table/layout.h"

#include <algorithm>
#include <set>

namespace espalier::table {
namespace {

// A list of names, as places. Where a name with a comma in it was cut there, its pieces are put together again: they
// are no columns, but the whole is one.
std::set<std::size_t> columns_named(const Profile& profile, const std::vector<std::string>& list, const char* option) {
  const auto is_column = [&](const std::string& name) { return std::ranges::count(profile.names, name) > 0; };
  std::set<std::size_t> columns;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string name = list[i];
    for (std::size_t end = i + 1; end < list.size() && !is_column(list[i]) && !is_column(name); ++end) {
      std::string tight = list[i], wide = list[i];
      for (std::size_t k = i + 1; k <= end; ++k) tight += "," + list[k], wide += ", " + list[k];
      if (!is_column(tight) && !is_column(wide)) continue;
      name = is_column(tight) ? tight : wide;
      i = end;
      break;
    }
    columns.insert(column_named(profile, name, option));
  }
  return columns;
}

// Why a column that says which row it is, and nothing else, is left out; empty if it is another one.
std::string row_name(const ColumnProfile& c, const std::string& name) {
  constexpr Index fewest = 10;  // among fewer rows, chance counts as well
  if (c.known() < fewest) return {};
  const bool whole = c.words.count == 0 && c.infinite == 0 && c.range.whole();
  if (whole && c.missing == 0 && c.counter.counts(names_an_index(name))) return "it counts the rows";
  if (c.like_an_id && (whole || c.numbers + c.infinite == 0) && c.different.all())
    return "by its name and its values, which all differ, it names the rows";
  return {};
}

// Whether a column of numbers could be a feature.
bool says_something(const Layout& layout, const Profile& profile, std::size_t c) {
  const ColumnProfile& column = profile.columns[layout.field[c]];
  return layout.content[c] == Content::words ||
         (layout.content[c] == Content::numbers &&
          (column.range.low() < column.range.high() || column.missing + column.words.count + column.infinite > 0));
}

}  // namespace

Layout layout_of(const Profile& profile, const TableOptions& options) {
  const auto ignore = columns_named(profile, options.ignore, "ignore");
  const auto categorical = columns_named(profile, options.categorical, "categorical");
  const auto use = columns_named(profile, options.use, "use");
  Layout layout;
  for (std::size_t f = 0; f < profile.names.size(); ++f) {
    if (f == profile.target) continue;
    const ColumnProfile& c = profile.columns[f];
    const bool used = use.contains(f) || categorical.contains(f);
    layout.field.push_back(f);
    layout.content.push_back(Content::ignored);
    layout.used.push_back(used);
    layout.guessed.push_back(false);
    layout.offset.push_back(c.float_fit().offset);
    std::string& why = layout.why.emplace_back();
    if (ignore.contains(f)) {
      why = "asked for";
    } else if (c.known() == 0) {
      why = "no values";
    } else if (c.words.count > 0 && c.dates == c.words.count && c.numbers == 0 && !used) {
      why = "dates";
    } else if (!used && !(why = row_name(c, profile.names[f])).empty()) {
      layout.guessed.back() = true;
    } else {
      layout.content.back() = categorical.contains(f) || !c.holds_numbers() ? Content::words : Content::numbers;
    }
  }
  // A table of nothing but such columns learns from them: better than from none.
  for (std::size_t c = 0; c < layout.field.size(); ++c)
    if (says_something(layout, profile, c)) return layout;
  for (std::size_t c = 0; c < layout.field.size(); ++c) {
    if (!layout.guessed[c]) continue;
    layout.guessed[c] = false;
    layout.why[c].clear();
    layout.content[c] = profile.columns[layout.field[c]].holds_numbers() ? Content::numbers : Content::words;
  }
  return layout;
}

}  // namespace espalier::table
