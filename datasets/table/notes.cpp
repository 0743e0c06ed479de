#include "espalier/datasets/table/notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>

namespace espalier::table {

std::string counts_text(const std::vector<std::pair<std::string, Index>>& counts) {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, counts.size()); ++i)
    text += fmt::format("{}{} {}", i ? ", " : "", counts[i].first, counts[i].second);
  if (counts.size() > most) text += fmt::format(", and {} more columns", counts.size() - most);
  return text;
}

std::vector<std::string> notes_of(const Table& table, const Profile& profile, const Layout& layout,
                                  const Preprocessing& p, const std::vector<Part>& parts) {
  std::vector<std::string> notes;
  notes.push_back(fmt::format(
      "{}: {} rows, {} columns, {} features; target {}: {}", table.name, profile.rows, p.columns.size(), p.features(),
      p.target.name,
      p.target.classes.empty() ? std::string("regression") : fmt::format("{} classes", p.target.classes.size())));
  const auto testing = std::ranges::count(parts, Part::test);  // none: they are in a file of their own
  notes.push_back(fmt::format("{} rows for training, {} for validation{}", std::ranges::count(parts, Part::train),
                              std::ranges::count(parts, Part::validation),
                              testing ? fmt::format(", {} for testing", testing) : std::string()));
  if (table.without_target > 0)
    notes.push_back(
        fmt::format("{} rows without a target (column {}) were left out", table.without_target, p.target.name));
  std::vector<std::pair<std::string, Index>> missing, infinite;
  std::map<std::string, std::vector<std::string>> ignored;
  for (std::size_t c = 0; c < p.columns.size(); ++c) {
    const ColumnProfile& column = profile.columns[layout.field[c]];
    const ColumnRule& rule = p.columns[c];
    if (rule.kind == ColumnKind::ignored) {
      ignored[rule.why].push_back(rule.name);
      continue;
    }
    if (column.missing > 0) missing.emplace_back(rule.name, column.missing);
    if (column.infinite > 0) infinite.emplace_back(rule.name, column.infinite);
    if (column.words > 0 && column.words * 9 < column.numbers)
      notes.push_back(
          fmt::format("column {} was read as words: {} of {} fields are not numbers, the first is \"{}\" in line "
                      "{} (a mark for missing values?)",
                      rule.name, column.words, column.known(), column.first_word, column.first_word_line));
  }
  if (!missing.empty()) notes.push_back("missing values: " + counts_text(missing));
  if (!infinite.empty()) notes.push_back("infinite numbers, taken for missing: " + counts_text(infinite));
  for (const auto& [why, names] : ignored) {
    constexpr std::size_t most = 8;
    const auto shown = static_cast<std::ptrdiff_t>(std::min(names.size(), most));
    notes.push_back(fmt::format("ignored ({}): {}{}", why, fmt::join(names.begin(), names.begin() + shown, ", "),
                                names.size() > most ? fmt::format(" and {} more", names.size() - most) : ""));
  }
  return notes;
}

}  // namespace espalier::table
