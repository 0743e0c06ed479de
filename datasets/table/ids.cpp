#include "espalier/datasets/table/ids.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <string>

namespace espalier::table {
namespace {

constexpr std::size_t most_different = std::size_t{1} << 20;

std::string in_small_letters(std::string_view name) {
  std::string text(name);
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// customer_id, customer id, customer-id, customerId, customerID, id_customer; but not grid and not COVID.
bool has_id_as_a_word(std::string_view name) {
  const auto separates = [](char c) { return c == '_' || c == ' ' || c == '-' || c == '.'; };
  const auto capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  const std::string lower = in_small_letters(name);
  if (lower.size() < 3) return false;
  if (lower.starts_with("id") && separates(lower[2])) return true;
  if (!lower.ends_with("id")) return false;
  const char before = name[name.size() - 3];
  return separates(before) || (capital(name[name.size() - 2]) && !capital(before));
}

}  // namespace

bool names_an_index(std::string_view name) {
  const std::string lower = in_small_letters(name);
  return lower.empty() || lower.starts_with("unnamed:") || lower == "index" || lower == "level_0";
}

bool names_an_id(std::string_view name) {
  constexpr std::array<std::string_view, 22> names{
      "id",  "ids",  "idx", "row", "rowid", "row_id", "rownum", "rownumber", "row_number", "rownames", "uuid",
      "key", "guid", "no",  "no.", "nr",    "nr.",    "#",      "num",       "s.no",       "sno",      "srno"};
  const std::string lower = in_small_letters(name);
  return names_an_index(name) || std::ranges::find(names, lower) != names.end() || has_id_as_a_word(name);
}

void Different::add(std::string_view field) {
  if (++count_ <= static_cast<Index>(most_different)) hashes_.push_back(std::hash<std::string_view>()(field));
}

bool Different::all() const {
  std::vector<std::uint64_t> sorted = hashes_;
  std::ranges::sort(sorted);
  return std::ranges::adjacent_find(sorted) == sorted.end();
}

}  // namespace espalier::table
