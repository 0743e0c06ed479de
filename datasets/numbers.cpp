#include "espalier/datasets/numbers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>

#include "espalier/datasets/utf8.h"

namespace espalier {

// --- plain numbers -------------------------------------------------------------------------------------------------

Number parse_number(std::string_view field, double& value) {
  const char* at = field.data();
  const char* const end = at + field.size();
  const bool negative = at < end && *at == '-';
  if (at < end && (*at == '-' || *at == '+')) ++at;
  const char* const unsigned_begin = at;
  // Up to fifteen digits make an integer that a double holds exactly, and one division by an exact power of ten rounds
  // once: the nearest double, as from_chars would find it, in a fraction of the time.
  constexpr std::array<double, 16> powers{1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                          1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  constexpr std::ptrdiff_t most_digits = 15;
  std::uint64_t digits = 0;
  const auto take_digits = [&] {
    for (; at < end && static_cast<unsigned char>(*at - '0') < 10; ++at)
      digits = 10 * digits + static_cast<std::uint64_t>(*at - '0');
  };
  take_digits();
  std::ptrdiff_t count = at - unsigned_begin, decimals = 0;
  if (at < end && *at == '.') {
    const char* const point = at++;
    take_digits();
    decimals = at - point - 1;
    count += decimals;
  }
  if (count == 0) {
    std::array<char, 8> lower{};
    const auto length = static_cast<std::size_t>(end - unsigned_begin);
    if (length != 3 && length != 8) return Number::none;
    std::transform(unsigned_begin, end, lower.begin(), [](char c) { return static_cast<char>(c | 0x20); });
    const std::string_view word(lower.data(), length);
    if (word != "inf" && word != "infinity") return Number::none;
    value = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
    return Number::infinite;
  }
  if (at == end && count <= most_digits) [[likely]] {
    const double magnitude = static_cast<double>(digits) / powers[static_cast<std::size_t>(decimals)];
    value = negative ? -magnitude : magnitude;
    return Number::finite;
  }
  double magnitude = 0;
  const auto [stop, error] = std::from_chars(unsigned_begin, end, magnitude);
  if (stop != end || error == std::errc::invalid_argument) return Number::none;
  if (error == std::errc::result_out_of_range) {  // tiny or huge: the exponent's sign says
    const std::string_view text(unsigned_begin, static_cast<std::size_t>(end - unsigned_begin));
    const std::size_t exponent = text.find_first_of("eE");
    const bool tiny = exponent != std::string_view::npos ? text.substr(exponent + 1).starts_with('-') : digits == 0;
    magnitude = tiny ? 0 : std::numeric_limits<double>::infinity();
  }
  value = negative ? -magnitude : magnitude;
  return magnitude > static_cast<double>(std::numeric_limits<float>::max()) ? Number::infinite : Number::finite;
}

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The same, but that integers below 2^64 are exact.
Number plain_number(std::string_view text, long double& value) {
  constexpr std::size_t exact_digits = 15;
  double number = 0;
  const Number kind = parse_number(text, number);
  value = number;
  if (kind != Number::finite || text.size() <= exact_digits) return kind;
  const bool negative = text[0] == '-';
  text.remove_prefix(negative || text[0] == '+');
  std::uint64_t integer = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, integer);
  if (error == std::errc() && stop == end) value = negative ? -static_cast<long double>(integer) : integer;
  return kind;
}

// --- numbers as people write them ----------------------------------------------------------------------------------

constexpr std::size_t longest_written = 128;  // bytes
constexpr std::array<std::string_view, 4> currencies{"$", "€", "£", "¥"};
constexpr std::array<std::string_view, 3> minuses{"-", "\u2212", "\u2013"};

// Tells most words apart by their first and last byte.
bool may_be_written(std::string_view field) {
  constexpr std::string_view first = "+-(.,$ \t", last = ")%.,$ \t";
  const auto is = [](char c, std::string_view others) {
    return is_digit(c) || static_cast<unsigned char>(c) >= 0x80 || others.find(c) != std::string_view::npos;
  };
  return !field.empty() && field.size() <= longest_written && is(field.front(), first) && is(field.back(), last);
}

// A currency's sign in front or behind, or a per cent sign behind: cuts it off.
bool take_unit(std::string_view& text) {
  if (text.ends_with('%')) {
    text.remove_suffix(1);
    return true;
  }
  for (const std::string_view sign : currencies) {
    if (text.starts_with(sign)) {
      text.remove_prefix(sign.size());
      return true;
    }
    if (text.ends_with(sign)) {
      text.remove_suffix(sign.size());
      return true;
    }
  }
  return false;
}

// A sign in front, or brackets around, which mean minus: cuts them off.
bool take_sign(std::string_view& text, bool& negative) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    return true;
  }
  if (text.size() > 2 && text.starts_with('(') && text.ends_with(')')) {
    text = text.substr(1, text.size() - 2);
    negative = true;
    return true;
  }
  for (const std::string_view minus : minuses) {
    if (!text.starts_with(minus)) continue;
    text.remove_prefix(minus.size());
    negative = true;
    return true;
  }
  return false;
}

// What stands between groups of three digits at the beginning of text, if anything does.
std::string_view group_mark(std::string_view text, char decimal) {
  const std::array<std::string_view, 7> marks{
      decimal == '.' ? "," : ".", " ", "'", "\u00a0", "\u202f", "\u2009", "\u2019"};
  for (const std::string_view mark : marks)
    if (text.starts_with(mark)) return mark;
  return {};
}

// Digits as a program writes them: without marks between groups, with a point. Empty if text is anything else.
class PlainDigits {
 public:
  PlainDigits(std::string_view text, char decimal) : rest_(text) {
    const bool grouped = take_groups(decimal);
    if (!wrong_ && rest_.starts_with(decimal)) {
      add('.');
      rest_.remove_prefix(1);
      take_digits();
    }
    if (!grouped && (rest_.starts_with('e') || rest_.starts_with('E'))) take_exponent();
    if (!rest_.empty()) wrong_ = true;
  }
  std::string_view view() const { return wrong_ ? std::string_view() : std::string_view(plain_.data(), size_); }

 private:
  void add(char c) { plain_[size_++] = c; }  // never more than the text has
  std::size_t take_digits() {
    std::size_t count = 0;
    for (; count < rest_.size() && is_digit(rest_[count]); ++count) add(rest_[count]);
    rest_.remove_prefix(count);
    return count;
  }
  // 1234, or 1,234,567: one to three digits that do not begin with 0, then threes, one and the same mark between them.
  bool take_groups(char decimal) {
    std::size_t digits = take_digits();
    const std::string_view mark = digits > 0 ? group_mark(rest_, decimal) : std::string_view();
    if (mark.empty()) return false;
    wrong_ = digits > 3 || plain_[0] == '0';
    while (!wrong_ && rest_.starts_with(mark)) {
      rest_.remove_prefix(mark.size());
      digits = take_digits();
      wrong_ = digits != 3;
    }
    return true;
  }
  void take_exponent() {
    add('e');
    rest_.remove_prefix(1);
    if (rest_.starts_with('-') || rest_.starts_with('+')) {
      if (rest_[0] == '-') add('-');
      rest_.remove_prefix(1);
    }
    wrong_ = take_digits() == 0;
  }

  std::string_view rest_;
  std::array<char, longest_written> plain_;
  std::size_t size_ = 0;
  bool wrong_ = false;
};

Number written_number(std::string_view field, char decimal, long double& value) {
  if (!may_be_written(field)) return Number::none;
  bool unit = false, sign = false, negative = false;
  while (true) {  // $-5, -$5, ($5), 5 %: one of each, in any order
    field = trimmed(field);
    if (!unit && take_unit(field))
      unit = true;
    else if (!sign && take_sign(field, negative))
      sign = true;
    else
      break;
  }
  if (field.empty() || field.size() > longest_written) return Number::none;
  const PlainDigits digits(field, decimal);
  const Number kind = plain_number(digits.view(), value);
  if (negative) value = -value;
  return kind;
}

}  // namespace

Number read_number(std::string_view field, char decimal, long double& value) {
  if (decimal == '.' || field.find('.') == std::string_view::npos)
    if (const Number kind = plain_number(field, value); kind != Number::none) return kind;
  return written_number(field, decimal, value);
}

// --- which mark is the decimal one ---------------------------------------------------------------------------------

namespace {

// digits, mark, digits, which is what most fields are: the mark, and whether it may as well stand between groups.
DecimalEvidence plain_evidence(std::string_view field, bool& settled) {
  std::size_t at = field.starts_with('-') || field.starts_with('+');
  const std::size_t begin = at;
  while (at < field.size() && is_digit(field[at])) ++at;
  const std::size_t whole = at - begin;
  settled = true;
  if (at == field.size()) return DecimalEvidence::none;
  const char mark = field[at];
  settled = mark == '.' || mark == ',';
  if (!settled) return DecimalEvidence::none;
  const std::size_t behind = ++at;
  while (at < field.size() && is_digit(field[at])) ++at;
  settled = at == field.size() && whole + at - behind > 0;
  if (at - behind == 3 && whole >= 1 && whole <= 3 && field[begin] != '0') return DecimalEvidence::either;
  return mark == '.' ? DecimalEvidence::point : DecimalEvidence::comma;
}

}  // namespace

DecimalEvidence decimal_evidence(std::string_view field) {
  bool settled = false;
  if (const DecimalEvidence evidence = plain_evidence(field, settled); settled) return evidence;
  if (field.find_first_of(".,") == std::string_view::npos) return DecimalEvidence::none;
  long double value = 0;
  const bool point = read_number(field, '.', value) != Number::none;
  const bool comma = read_number(field, ',', value) != Number::none;
  if (point && comma) return DecimalEvidence::either;
  return point ? DecimalEvidence::point : comma ? DecimalEvidence::comma : DecimalEvidence::none;
}

// --- dates ----------------------------------------------------------------------------------------------------------

bool looks_like_date(std::string_view field) {
  if (field.size() < 4 || field.size() > 40 || !is_digit(field[0])) return false;
  const std::size_t first = field.find_first_not_of("0123456789");
  if (first == std::string_view::npos || first > 4) return false;
  const char separator = field[first];
  const bool time = separator == ':';
  if (!time && separator != '-' && separator != '/' && separator != '.') return false;
  std::size_t groups = 1, at = first;
  while (at < field.size() && field[at] == separator && at + 1 < field.size() && is_digit(field[at + 1])) {
    const std::size_t begin = ++at;
    while (at < field.size() && is_digit(field[at])) ++at;
    if (at - begin > 4) return false;
    ++groups;
  }
  if (time ? groups < 2 : groups != 3) return false;
  if (at == field.size()) return true;
  return (field[at] == ' ' || field[at] == 'T' || (time && field[at] == '.')) &&
         field.find_first_not_of("0123456789:.+-TZ APMapm", at) == std::string_view::npos;
}

}  // namespace espalier
