// Numbers as files hold them.
//
//   plain        12   -0.5   +.5   1e-3   inf                what every programming language writes
//   as written   1.234,50   1,234.50   1 234   1'234   $5   5 %   −3   (3)     what people and spreadsheets write
//
// Which of '.' and ',' is the decimal mark is a property of the file (datasets/dialect.h); the other one may then stand
// between groups of three digits.
#pragma once

#include <string_view>

namespace espalier {

// What a field is if it is no word.
enum class Number { none, finite, infinite };

// Reads a plain decimal number, the whole of the field; inf and infinity are Number::infinite, as is what no float can
// hold. nan is no number here, but a mark for a missing value.
Number parse_number(std::string_view field, double& value);

// Reads a plain number, or one as people write it: with `decimal` ('.' or ',') as its decimal mark, groups of three
// digits apart by the other mark, a space, a no-break space or an apostrophe; a currency's sign, a per cent sign
// (12 % is 12), a Unicode minus, brackets for negative ones; spaces of every kind around it.
// Plain numbers have the value that parse_number has, but integers below 2^64, which are exact in a long double.
Number read_number(std::string_view field, char decimal, long double& value);

// What a field says about the decimal mark of its file.
enum class DecimalEvidence { none, point, comma, either };  // either: 1,234 or 1.234
DecimalEvidence decimal_evidence(std::string_view field);

// 2024-01-31, 31.1.24, 1/31/2024 12:00, 2024-01-31T12:00:00Z, 12:30: digits in two or three groups, one separator.
bool looks_like_date(std::string_view field);

}  // namespace espalier
