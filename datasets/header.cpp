// Does the first row name the columns? Each column gives evidence, and the sum decides:
//
//   first row                 the rows below it                                                        evidence
//   a word                    numbers or dates                                                            +2
//                             words, this one among them                                                  -3
//                             words, nearly all of which stand in two rows or more, but not this one      +1
//   a number                  numbers (but see below)                                                     -2
//                             words                                                                       +1
//   a date                    dates -2, anything else                                                     +1
//   nothing                   numbers that count the rows: an index                                       +2
//   a mark such as ? or NA    numbers                                                                     -1
//
// A whole number above decimals only looks like none of its column: it says nothing. Nor do numbers that go up in equal
// steps (0, 1, 2; 1990, 2000), or in any if they are many (wavelengths), while the rows do not: then the other columns
// decide. If these numbers are many and count from 0 or 1, that is evidence of its own, +1.
//
// When the sum is 0, the first row is a header if all of it is words: a table of words that are all different.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
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
  if (b.words.contains(name)) return -3;
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

// The numbers that a row has in these columns; none where a field is anything else.
std::vector<double> numbers_in(const Row& row, const std::vector<std::size_t>& columns) {
  std::vector<double> numbers;
  for (const std::size_t c : columns) {
    double value = 0;
    if (parse_number(row[c], value) != Number::finite) return {};
    numbers.push_back(value);
  }
  return numbers;
}

bool go_up(const std::vector<double>& numbers) {
  return numbers.size() > 1 && std::ranges::adjacent_find(numbers, std::greater_equal<>()) == numbers.end();
}

// The step in which numbers go up, if it is the same everywhere, to rounding; else 0.
double step_of(const std::vector<double>& numbers) {
  if (!go_up(numbers)) return 0;
  const double step = numbers[1] - numbers[0];
  for (std::size_t i = 2; i < numbers.size(); ++i)
    if (std::abs(numbers[i] - numbers[i - 1] - step) > 1e-3 * step) return 0;
  return step;
}

// Whether numbers in the first row go up as places, years and wavelengths do, and those below them do not.
bool numbers_go_up(const Row& names, const std::vector<std::size_t>& columns, const Body& body) {
  constexpr std::size_t many = 6;  // so many numbers go up by chance once in 720 rows
  const std::vector<double> numbers = numbers_in(names, columns);
  const double step = step_of(numbers);
  if (step == 0 && !(numbers.size() >= many && go_up(numbers))) return false;
  const bool years = numbers.size() > 1 && numbers.front() >= 1000 && numbers.back() < 3000;
  if (numbers.size() == 2 && numbers[0] != 0 && numbers[0] != 1 && !years) return false;
  const auto alike = std::ranges::count_if(body, [&](const Row* row) {
    const std::vector<double> below = numbers_in(*row, columns);
    return numbers.size() >= many ? go_up(below) : step_of(below) == step;
  });
  return 2 * static_cast<std::size_t>(alike) < body.size();
}

// 0, 1, 2, 3 or 1, 2, 3, 4, or fewer above decimals where nothing else is.
bool numbers_count(const Row& names, const std::vector<std::size_t>& columns, const Body& body) {
  const std::vector<double> numbers = numbers_in(names, columns);
  if ((numbers[0] != 0 && numbers[0] != 1) || step_of(numbers) != 1) return false;
  if (std::ranges::any_of(body, [&](const Row* row) { return *row == names; })) return false;
  const std::size_t unnamed = names[0].empty();
  const bool decimals = std::ranges::all_of(columns, [&](std::size_t c) {
    const Below b = below(body, c);
    return b.mostly(b.marked);
  });
  return columns.size() >= 4 || (columns.size() == 3 && decimals && columns.size() + unnamed == names.size());
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
  int sum = 0, against = 0;  // against: of numbers in the first row
  bool all_words = true;
  std::vector<std::size_t> numbers;  // columns with a number in the first row
  for (std::size_t c = 0; c < names.size(); ++c) {
    const Kind kind = kind_of(names[c]);
    const int evidence = evidence_of(names[c], below(body, c), c == 0);
    all_words = all_words && kind == Kind::word;
    if (kind == Kind::number) numbers.push_back(c);
    (kind == Kind::number && evidence < 0 ? against : sum) += evidence;
  }
  if (numbers.size() > 1 && numbers_go_up(names, numbers, body))
    sum += numbers_count(names, numbers, body);
  else
    sum += against;
  return sum != 0 ? sum > 0 : all_words;
}

}  // namespace espalier
