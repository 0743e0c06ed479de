#include "espalier/datasets/table/rows.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace espalier::table {
namespace {

constexpr std::size_t most_totals = 8;  // a count, a mean, a deviation, ... one below the other

// Words for what is computed from a column. The first mean it wherever they begin a row; the others may be a name or an
// abbreviation there, and mean it in columns of numbers only.
constexpr std::array<std::string_view, 18> total_words{
    "total", "totals", "totale",   "sum",  "sums",    "summe", "gesamt",     "insgesamt",    "gesamtsumme",
    "somme", "suma",   "subtotal", "mean", "average", "avg",   "mittelwert", "durchschnitt", "moyenne"};
constexpr std::array<std::string_view, 12> statistic_words{"std", "stdev", "stddev", "sd",      "min",     "max",
                                                           "var", "count", "median", "minimum", "maximum", "variance"};

constexpr bool is_letter(char c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}
constexpr std::size_t in_alphabet(char letter) {  // small or capital
  return static_cast<std::size_t>(letter & 31);
}

// Of each first letter, the second ones that those words have.
constexpr std::array<std::uint32_t, 32> beginnings = [] {
  std::array<std::uint32_t, 32> seconds{};
  const auto add = [&](std::string_view word) { seconds[in_alphabet(word[0])] |= 1u << in_alphabet(word[1]); };
  for (const std::string_view word : total_words) add(word);
  for (const std::string_view word : statistic_words) add(word);
  add("grand");
  return seconds;
}();

enum class Says { nothing, statistic, total };

// Total, total:, Grand total, Sum, Average, ...
Says said_by(std::string_view field) {
  constexpr std::size_t longest = 32;
  if (field.size() > longest) return Says::nothing;
  std::array<char, longest> lower{};
  std::ranges::transform(field, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  std::string_view word(lower.data(), field.size());
  if (word.starts_with("grand ")) word.remove_prefix(6);
  const auto end = std::ranges::find_if_not(word, is_letter);
  const bool alone = end == word.end() || *end == ':' || *end == '.' || word.starts_with("total ");
  if (!alone) return Says::nothing;
  const std::string_view first(word.begin(), end);
  if (std::ranges::find(total_words, first) != total_words.end()) return Says::total;
  return std::ranges::find(statistic_words, first) != statistic_words.end() ? Says::statistic : Says::nothing;
}

// Of each field of a file it is asked, so most are told apart by two characters.
inline bool says_total(std::string_view field) {
  return field.size() >= 2 && is_letter(field[0]) &&
         (beginnings[in_alphabet(field[0])] >> in_alphabet(field[1]) & 1) != 0 && said_by(field) != Says::nothing;
}

}  // namespace

std::vector<Index> LeftOut::lines() const {
  std::vector<Index> all = repeated;
  all.insert(all.end(), totals.begin(), totals.end());
  std::ranges::sort(all);
  return all;
}

TableRows::TableRows(CsvReader& reader, std::function<bool(std::size_t)> holds_numbers)
    : reader_(reader), holds_numbers_(std::move(holds_numbers)), word_shown_(reader.columns().size()) {}

bool TableRows::show_reader() {
  fields_ = reader_.fields();
  line_ = reader_.line();
  return true;
}

bool TableRows::show_held() {
  const Held& row = held_[shown_++];
  views_.assign(row.fields.begin(), row.fields.end());
  for (std::size_t c = 0; c < views_.size(); ++c) word_shown_[c] = word_shown_[c] || says_total(views_[c]);
  fields_ = views_;
  line_ = row.line;
  return true;
}

bool TableRows::next() {
  if (shown_ < held_.size()) return show_held();
  held_.clear();
  shown_ = 0;
  if (std::exchange(waiting_, false)) return show_reader();
  while (reader_.next()) {
    if (reader_.repeats_header()) {
      left_out_.repeated.push_back(reader_.line());
      continue;
    }
    const auto fields = reader_.fields();
    if (std::ranges::none_of(fields, says_total)) {
      if (held_.empty()) return show_reader();
      waiting_ = true;  // so those held are no totals
      return show_held();
    }
    held_.push_back({reader_.line(), {fields.begin(), fields.end()}});
    if (held_.size() > most_totals) return show_held();
  }
  leave_out_totals();
  return !held_.empty() && show_held();
}

void TableRows::leave_out_totals() {
  std::size_t first = held_.size();
  while (first > 0 && is_total(held_[first - 1])) --first;
  for (std::size_t r = first; r < held_.size(); ++r) {
    const auto word = std::ranges::find_if(held_[r].fields, says_total);
    if (left_out_.totals.empty()) left_out_.word = *word;
    left_out_.totals.push_back(held_[r].line);
  }
  held_.resize(first);
}

bool TableRows::is_total(const Held& row) const {
  for (std::size_t c = 0; c < row.fields.size(); ++c)
    if (const Says says = said_by(row.fields[c]);
        says != Says::nothing && !word_shown_[c] && ((c == 0 && says == Says::total) || holds_numbers_(c)))
      return true;
  return false;
}

}  // namespace espalier::table
