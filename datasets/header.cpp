// Does the first row name the columns? Each column gives evidence, and the sum decides:
//
//   first row                 the rows below it                                                        evidence
//   a word                    numbers or dates                                                            +2
//                             words, this one among them                                                  -2
//                             words, nearly all of which stand in two rows or more, but not this one      +1
//   a number                  numbers (but see below)                                                     -2
//                             words                                                                       +1
//   a date                    dates -2, anything else                                                     +1
//   nothing                   numbers that count the rows: an index                                       +2
//   a mark such as ? or NA    numbers                                                                     -1
//
// Numbers are names if they look like none of their column's: 7 above decimals only. They also are if they go up in
// equal steps (0, 1, 2; 1990, 2000, 2010), the rows do not, and something else is for it; or if they count from 0 or 1,
// in many columns, and nothing but numbers is there.
//
// When the sum is 0, the first row is a header if all of it is words: a table of words that are all different.
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <optional>

#include "espalier/datasets/dialect.h"
#include "espalier/datasets/numbers.h"

namespace espalier {
namespace {

enum class Kind { empty, mark, number, date, word };

Kind kind_of(std::string_view field) {
  constexpr std::array<std::string_view, 9> marks{"?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none"};
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  if (field.empty()) return Kind::empty;
  if (std::ranges::any_of(marks, [&](std::string_view mark) { return std::ranges::equal(mark, field, {}, {}, lower); }))
    return Kind::mark;
  long double number;
  if (read_number(field, '.', number) != Number::none || read_number(field, ',', number) != Number::none)
    return Kind::number;
  return looks_like_date(field) ? Kind::date : Kind::word;
}

std::optional<long> integer_of(std::string_view field) {
  long value = 0;
  const char* const end = field.data() + field.size();
  const auto [stop, error] = std::from_chars(field.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

// What stands below the first row.
struct Below {
  std::size_t known = 0, numbers = 0, dates = 0, marked = 0;  // marked: numbers with a decimal point or comma
  bool counts = true;                                         // integers, each one more than the one before
  std::map<std::string_view, std::size_t> words;              // and how many rows have each

  bool mostly(std::size_t count) const { return known > 0 && 10 * count >= 9 * known; }
};

using Row = std::vector<std::string>;
using Body = std::vector<const Row*>;

Below below(const Body& body, std::size_t column) {
  Below b;
  std::optional<long> last;
  for (const Row* row : body) {
    const std::string_view field = (*row)[column];
    const std::optional<long> integer = integer_of(field);
    b.counts = b.counts && integer && (!last || *integer == *last + 1);
    last = integer;
    const Kind kind = kind_of(field);
    if (kind == Kind::empty || kind == Kind::mark) continue;
    ++b.known;
    b.numbers += kind == Kind::number;
    b.dates += kind == Kind::date;
    b.marked += kind == Kind::number && field.find_first_of(".,") != std::string_view::npos;
    ++b.words[field];
  }
  return b;
}

int evidence_of_word(std::string_view name, const Below& b) {
  if (b.mostly(b.numbers + b.dates)) return 2;
  if (b.words.contains(name)) return -2;
  std::size_t repeated = 0;
  for (const auto& [word, rows] : b.words) repeated += rows > 1 ? rows : 0;
  return b.mostly(repeated) ? 1 : 0;
}

int evidence_of(std::string_view name, const Below& b, bool first_column) {
  if (b.known == 0) return 0;
  switch (kind_of(name)) {
    case Kind::empty:
      return first_column && b.counts ? 2 : 0;
    case Kind::mark:
      return b.mostly(b.numbers) ? -1 : 0;
    case Kind::number:
      if (!b.mostly(b.numbers)) return 1;
      return integer_of(name) && b.mostly(b.marked) ? 0 : -2;
    case Kind::date:
      return b.mostly(b.dates) ? -2 : 1;
    case Kind::word:
      break;
  }
  return evidence_of_word(name, b);
}

// The step in which these fields of a row go up, if it is the same everywhere.
std::optional<long> step_of(const Row& row, const std::vector<std::size_t>& columns) {
  std::optional<long> step, last;
  for (const std::size_t c : columns) {
    const std::optional<long> value = integer_of(row[c]);
    constexpr long most = std::numeric_limits<long>::max() / 4;
    if (!value || *value < -most || *value > most) return std::nullopt;
    if (last) {
      if (*value <= *last || (step && *step != *value - *last)) return std::nullopt;
      step = *value - *last;
    }
    last = value;
  }
  return step;
}

// Whether the numbers among the names go up in equal steps, and those below them do not go up in the same.
bool numbers_go_up(const Row& names, const std::vector<std::size_t>& columns, const Body& body) {
  const std::optional<long> step = step_of(names, columns);
  if (!step) return false;
  const long first = *integer_of(names[columns[0]]), last = *integer_of(names[columns.back()]);
  const bool years = first >= 1000 && last < 3000;
  if (columns.size() == 2 && first != 0 && first != 1 && !years) return false;
  const auto alike = std::ranges::count_if(body, [&](const Row* row) { return step_of(*row, columns) == step; });
  return 2 * static_cast<std::size_t>(alike) < body.size();
}

// 0, 1, 2, 3 and nothing else above numbers.
bool only_numbers_count(const Row& names, const std::vector<std::size_t>& columns, const Body& body) {
  const std::size_t unnamed = names[0].empty();
  const long first = *integer_of(names[columns[0]]);
  if (columns.size() + unnamed != names.size() || (first != 0 && first != 1) || *step_of(names, columns) != 1)
    return false;
  if (std::ranges::any_of(body, [&](const Row* row) { return *row == names; })) return false;
  const bool decimals = std::ranges::all_of(columns, [&](std::size_t c) {
    const Below b = below(body, c);
    return b.mostly(b.marked);
  });
  return columns.size() >= 4 || (columns.size() == 3 && decimals);
}

// The rows below the first, without those that repeat it if there is a word above nothing but numbers: a header does
// not speak against itself.
Body body_of(const SampleRows& rows) {
  Body all, others;
  for (const Row& row : rows) {
    if (&row == &rows[0] || row.size() != rows[0].size()) continue;
    all.push_back(&row);
    if (row != rows[0]) others.push_back(&row);
  }
  if (others.size() == all.size()) return all;
  for (std::size_t c = 0; c < rows[0].size(); ++c)
    if (const Below b = below(others, c); b.known > 0 && b.known == b.numbers && kind_of(rows[0][c]) == Kind::word)
      return others;
  return all;
}

}  // namespace

bool detected_header(const SampleRows& rows) {
  if (rows.empty()) return false;
  const Row& names = rows[0];
  const Body body = body_of(rows);
  int sum = 0, of_numbers = 0;
  bool all_words = true;
  std::vector<std::size_t> numbers;  // columns with a number in the first row
  for (std::size_t c = 0; c < names.size(); ++c) {
    const Kind kind = kind_of(names[c]);
    const int evidence = evidence_of(names[c], below(body, c), c == 0);
    all_words = all_words && kind == Kind::word;
    if (kind == Kind::number) numbers.push_back(c);
    (kind == Kind::number ? of_numbers : sum) += evidence;
  }
  if (numbers.size() > 1 && numbers_go_up(names, numbers, body)) {
    of_numbers = std::max(of_numbers, 0);
    if (only_numbers_count(names, numbers, body)) return true;
  }
  sum += of_numbers;
  return sum != 0 ? sum > 0 : all_words;
}

}  // namespace espalier
