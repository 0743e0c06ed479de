#include "espalier/datasets/table/rows.h"

#include <algorithm>
#include <array>
#include <utility>

namespace espalier::table {
namespace {

constexpr std::size_t most_totals = 4;  // a sum, a mean, ... one below the other

// Total, total:, Grand total, Sum, Average, ...
bool says_total(std::string_view field) {
  constexpr std::size_t longest = 32;
  const auto letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  if (field.empty() || !letter(field[0]) || field.size() > longest) return false;  // nearly all numbers
  constexpr std::array<std::string_view, 19> words{
      "total",    "totals", "totale", "sum",     "sums", "summe",  "gesamt",     "insgesamt",    "gesamtsumme", "somme",
      "subtotal", "suma",   "mean",   "average", "avg",  "median", "mittelwert", "durchschnitt", "moyenne"};
  std::array<char, longest> lower{};
  std::ranges::transform(field, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  std::string_view word(lower.data(), field.size());
  if (word.starts_with("grand ")) word.remove_prefix(6);
  const auto end = std::ranges::find_if_not(word, letter);
  const bool alone = end == word.end() || *end == ':' || *end == '.' || word.starts_with("total ");
  return alone && std::ranges::find(words, std::string_view(word.begin(), end)) != words.end();
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
    if (says_total(row.fields[c]) && !word_shown_[c] && (c == 0 || holds_numbers_(c))) return true;
  return false;
}

}  // namespace espalier::table
