#include "espalier/datasets/numbers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "espalier/core/random.h"

namespace espalier {
namespace {

TEST(ParseNumber, TakesDecimalsAndNothingElse) {
  double value = 0;
  for (const char* text : {"0", "-0.5", "+.5", "5.", "1e3", "12345678901234567890", "0.1234567890123456789", "1E-7"}) {
    EXPECT_EQ(parse_number(text, value), Number::finite) << text;
    EXPECT_EQ(value, std::strtod(text, nullptr)) << text;
  }
  for (const char* text : {"", "-", ".", "+-5", "--5", "1.2.3", "1e", "1,5", "0x10", "12a", "nan", "e5", "1 2", "in"})
    EXPECT_EQ(parse_number(text, value), Number::none) << text;
  for (const char* text : {"inf", "-Infinity", "1e39", "-1e400"}) {
    EXPECT_EQ(parse_number(text, value), Number::infinite) << text;
    EXPECT_EQ(std::signbit(value), text[0] == '-') << text;
  }
  EXPECT_EQ(parse_number("1e-400", value), Number::finite);
  EXPECT_EQ(value, 0);
}

// The short way is exact: as from_chars has it, to the last bit.
TEST(ParseNumber, AgreesWithFromChars) {
  const Random random(1, "numbers");
  for (std::uint64_t i = 0; i < 20000; ++i) {
    std::string text = std::to_string(random.below(2 * i, 1 + (std::uint64_t{1} << (i % 60))));
    text.insert(random.below(2 * i + 1, text.size() + 1), ".");
    double expected = 0, value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), expected);
    ASSERT_EQ(error, std::errc()) << text;
    ASSERT_EQ(parse_number(text, value), Number::finite) << text;
    ASSERT_EQ(value, expected) << text;
  }
}

// The number that a field is, NaN if it is none.
long double number(std::string_view field, char decimal = '.') {
  long double value = 0;
  return read_number(field, decimal, value) == Number::none ? std::numeric_limits<long double>::quiet_NaN() : value;
}

TEST(ReadNumber, ReadsWhatPeopleWrite) {
  for (const char* text :
       {"1234.5", "1,234.5", "1 234.5", "1'234.5", "1\u2019234.5", "1\u00a0234.5", "1\u202f234.5", "1\u2009234.5",
        "$1,234.5", "1,234.5 $", "\u20ac 1234.5", "1234.5\u00a0\u20ac", "\u00a31,234.5", "\u00a51,234.5", "1,234.5 %",
        "1234.5%", " \t1234.5\u00a0", "+1,234.5", "+$1234.5"})
    EXPECT_EQ(number(text), 1234.5L) << text;
  for (const char* text : {"-1234.5", "\u22121,234.5", "\u20131234.5", "(1,234.5)", "($1,234.5)", "$(1,234.5)",
                           "-$1,234.5", "$-1,234.5", "\u2212$ 1,234.5", "(1234.5) %"})
    EXPECT_EQ(number(text), -1234.5L) << text;
  for (const char* text : {"1234,5", "1.234,5", "1 234,5", "1'234,5", "1.234,50 \u20ac", "\u20ac1.234,5"})
    EXPECT_EQ(number(text, ','), 1234.5L) << text;
  EXPECT_EQ(number("1,5e3", ','), 1500.0L);
  EXPECT_EQ(number(",5", ','), 0.5L);
  EXPECT_EQ(number("1.234", ','), 1234.0L);
  EXPECT_EQ(number("1,234"), 1234.0L);
  EXPECT_EQ(number("12", ','), 12.0L);
  EXPECT_EQ(number("1,234,567,890"), 1234567890.0L);
  EXPECT_EQ(number("-inf", ','), -std::numeric_limits<long double>::infinity());
}

TEST(ReadNumber, LeavesWordsDatesVersionsAndAddressesAlone) {
  for (const char decimal : {'.', ','})
    for (const char* text : {"",          " ",         "-",           "$",          "%",           "()",
                             "(-5)",      "--5",       "+-5",         "$5$",        "5 % $",       "5 5",
                             "12 34",     "1234 567",  "0 123",       "1 23",       "1,23,456",    "0,123,456",
                             "1.2.3",     "1.2.3.4",   "192.168.0.1", "2024-01-31", "31.1.2024",   "1/2",
                             "12:30",     "1e",        "1,234e5e",    "5x",         "x5",          "1 234,567.8 9",
                             "1,234 567", "1.234'567", "nan",         "e5",         "12.345,67.8", "Cana",
                             "\u2212",    "\u20ac",    "5\u00b0",     "1_000",      "0x10",        "5 EUR",
                             "\u00d6",    "a(5)"})
      EXPECT_TRUE(std::isnan(number(text, decimal))) << text << " with " << decimal;
  EXPECT_TRUE(std::isnan(number("12,5"))) << "no group of three";
  EXPECT_TRUE(std::isnan(number("1.5", ',')));
  EXPECT_TRUE(std::isnan(number("1,2345")));
  EXPECT_TRUE(std::isnan(number("1,234e5"))) << "groups have no exponent";
  EXPECT_TRUE(std::isnan(number("0,123"))) << "no group begins with 0";
  EXPECT_TRUE(std::isnan(number(fmt::format("{:1>200},5", ""), ','))) << "longer than any number is written";
}

TEST(ReadNumber, PlainNumbersHaveTheirDoubleAndLongIntegersAllDigits) {
  const Random random(1, "plain");
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double x = std::ldexp(random.normal(2 * i), static_cast<int>(random.below(2 * i + 1, 100)) - 50);
    EXPECT_EQ(number(fmt::format("{}", x)), static_cast<long double>(x));
  }
  EXPECT_EQ(number("1700000018520294312"), 1700000018520294312.0L);
  EXPECT_EQ(number("1700000018520294312") - number("1700000018520294311"), 1);
  EXPECT_EQ(number("-18446744073709551615") + 18446744073709551615.0L, 0);
  EXPECT_EQ(number("1,700,000,018,520,294,312") - number("1700000018520294311"), 1);
}

// Puts a mark between groups of three digits.
std::string grouped(const std::string& digits, const std::string& mark) {
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += mark;
    text += digits[i];
  }
  return text;
}

TEST(ReadNumber, EveryNotationIsReadBackToTheSameBits) {
  const Random random(1, "notations");
  const std::vector<std::string> units{"", "$", "\u20ac ", "\u00a3"}, minuses{"-", "\u2212"};
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto draw = [&](std::uint64_t n, std::uint64_t below) { return random.below(8 * i + n, below); };
    const std::string whole = std::to_string(draw(0, 1 + (std::uint64_t{1} << draw(1, 40))));
    const std::string part = draw(2, 4) == 0 ? "" : std::to_string(draw(3, 1000));
    const char decimal = draw(4, 2) ? '.' : ',';
    const std::vector<std::string> marks{"", decimal == '.' ? "," : ".", " ", "'", "\u00a0", "\u202f", "\u2019"};
    std::string text = grouped(whole, marks[draw(5, marks.size())]);
    if (!part.empty()) text += decimal + part;
    const double expected = std::stod(whole + "." + part);
    text = units[draw(6, units.size())] + text;
    const std::uint64_t sign = draw(7, 4);
    if (sign == 1) text = minuses[i % 2] + text;
    if (sign == 2) text = "(" + text + ")";
    ASSERT_EQ(number(text, decimal), static_cast<long double>(sign == 1 || sign == 2 ? -expected : expected)) << text;
  }
}

TEST(DecimalEvidence, IsWhatTheFieldAloneCanSay) {
  for (const char* text : {"1234.5", "1.5", "0.123", "1234.567", "1,234.5", "1,234,567", ".5", "$1,234.50", "1.2345",
                           "-0.5", "1.5e3", "1.234e5", "12.5 %", "1 234.5"})
    EXPECT_EQ(decimal_evidence(text), DecimalEvidence::point) << text;
  for (const char* text : {"1234,5", "1,5", "0,123", "1234,567", "1.234,5", "1.234.567", ",5", "1.234,50 \u20ac",
                           "\u22120,5", "1,5e3", "12,5%", "1 234,567"})
    EXPECT_EQ(decimal_evidence(text), DecimalEvidence::comma) << text;
  for (const char* text : {"1,234", "1.234", "-12,345", "$ 123,456", "(1.234)"})
    EXPECT_EQ(decimal_evidence(text), DecimalEvidence::either) << text;
  for (const char* text :
       {"", "12", "-5", "1 234", "word", "a,b", "1.2.3", "31.12.2024", ".", ",", "1,2,3", "12,34,567"})
    EXPECT_EQ(decimal_evidence(text), DecimalEvidence::none) << text;
}

TEST(Dates, AreGroupsOfDigitsWithOneSeparator) {
  for (const char* text : {"2024-01-31", "31.1.24", "1/31/2024 12:00", "2024-01-31T12:00:00Z", "12:30"})
    EXPECT_TRUE(looks_like_date(text)) << text;
  for (const char* text : {"", "1234", "1.5", "1.234", "12-34", "10.0.0.1", "word"})
    EXPECT_FALSE(looks_like_date(text)) << text;
}

}  // namespace
}  // namespace espalier
