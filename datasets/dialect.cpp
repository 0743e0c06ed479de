// Which delimiter cuts a sample best:
//
//   1  the share of rows that have as many fields as most, times the share of their fields that are explained: numbers
//      in any notation, dates, nothing, and words in which no other delimiter stands
//   2  if that is the same: the share of numbers, dates and nothing
//   3  if that is the same too: more fields
//
//   12,5;3;450000,00   at commas: 12 | 5;3;450000 | 00, of which the second is unexplained; at semicolons: three
//   numbers
#include "espalier/datasets/dialect.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/datasets/numbers.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"

namespace espalier {

// --- names -----------------------------------------------------------------------------------------------------------

namespace {

template <typename Value>
using Name = std::pair<std::string_view, Value>;
constexpr std::array<Name<char>, 6> delimiter_names{
    {{"auto", 0}, {"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}, {"pipe", '|'}, {"space", ' '}}};
constexpr std::array<Name<Header>, 3> header_names{
    {{"auto", Header::detect}, {"yes", Header::yes}, {"no", Header::no}}};
constexpr std::array<Name<char>, 3> decimal_names{{{"auto", 0}, {"point", '.'}, {"comma", ','}}};
constexpr std::array<Name<Charset>, 4> charset_names{
    {{"auto", Charset::detect}, {"utf-8", Charset::utf8}, {"latin-1", Charset::latin1}, {"utf-16", Charset::utf16}}};

template <typename Names>
auto value_named(const Names& names, std::string_view name, const char* what) {
  for (const auto& [known, value] : names)
    if (known == name) return value;
  std::vector<std::string> expected;
  for (const auto& [known, value] : names) expected.emplace_back(known);
  throw UsageError(fmt::format("[table] {}: expected one of {}, got {}{}", what, fmt::join(expected, ", "),
                               quoted(name), did_you_mean(name, expected)));
}

template <typename Names, typename Value>
std::string_view name_in(const Names& names, Value value) {
  for (const auto& [name, known] : names)
    if (known == value) return name;
  return {};
}

}  // namespace

char delimiter_named(std::string_view name) {
  if (name.size() != 1) return value_named(delimiter_names, name, "delimiter");
  const char c = name[0];
  const bool letter = (c >= '0' && c <= '9') || is_letter(c);
  constexpr std::string_view others("\"\n\r.+-\0", 7);
  require(!letter && others.find(c) == std::string_view::npos && static_cast<unsigned char>(c) < 0x80,
          "[table] delimiter: expected a character that is in no number and no word, got {}", quoted(name));
  return c;
}

Header header_named(std::string_view name) {
  return value_named(header_names, name, "header");
}
char decimal_named(std::string_view name) {
  return name == "." || name == "," ? name[0] : value_named(decimal_names, name, "decimal");
}
Charset charset_named(std::string_view name) {
  return value_named(charset_names, name, "charset");
}

std::string name_of_delimiter(char delimiter) {
  const std::string_view name = name_in(delimiter_names, delimiter);
  return name.empty() ? std::string(1, delimiter) : std::string(name);
}
std::string_view name_of(Header header) {
  return name_in(header_names, header);
}
std::string_view name_of_decimal(char decimal) {
  return name_in(decimal_names, decimal);
}
std::string_view name_of(Charset charset) {
  return name_in(charset_names, charset);
}

// --- cutting a sample -----------------------------------------------------------------------------------------------

namespace {

using Row = std::vector<std::string>;
enum class Behind { delimiter, line_end, open_quote };

// Cuts the first field off `rest`, with what stands behind it. Text behind a closing quote is passed over.
Behind take_field(std::string_view& rest, char delimiter, std::string& value) {
  std::string_view text = rest;
  value.clear();
  while (!text.starts_with(delimiter) && leading_space(text)) text.remove_prefix(leading_space(text));
  const bool in_quotes = text.starts_with('"');
  while (in_quotes) {
    const std::size_t quote = text.find('"', 1);
    if (quote == std::string_view::npos) return Behind::open_quote;
    value += text.substr(1, quote - 1);
    text.remove_prefix(quote + 1);
    if (!text.starts_with('"')) break;
    value += '"';
  }
  const std::array<char, 2> ends{delimiter, '\n'};
  const std::size_t end = text.find_first_of(ends.data(), 0, ends.size());
  if (!in_quotes) {
    std::string_view field = text.substr(0, end);
    while (field.ends_with('\r')) field.remove_suffix(1);
    value = trimmed(field);
  }
  rest = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return end == std::string_view::npos || text[end] == '\n' ? Behind::line_end : Behind::delimiter;
}

bool is_comment(const Row& row) {
  return row[0].starts_with('#');
}

// How many fields a row has before the empty ones at its end.
std::size_t filled(const Row& row) {
  std::size_t fields = row.size();
  while (fields > 0 && row[fields - 1].empty()) --fields;
  return fields;
}

// A number in any notation, a date, or nothing.
bool is_value(const std::string& field) {
  long double number;
  return field.empty() || looks_like_date(field) || read_number(field, '.', number) != Number::none ||
         read_number(field, ',', number) != Number::none;
}

// Whether the only row below a header has a name, as rows have in R, and the header none for it. Of several rows the
// names differ; here words above a number have to do, for without one a word may as well hold a delimiter.
bool names_its_row(const Row& header, const Row& row) {
  return header.size() > 1 && row.size() == header.size() + 1 && !row.front().empty() && !row.back().empty() &&
         std::ranges::none_of(header, is_value) && std::ranges::any_of(row, is_value);
}

// Whether a header of delimiters at its end only, and names before, is above rows of `fields` fields.
bool ends_behind_its_rows(const Row& header, std::size_t fields) {
  const auto named = header.begin() + static_cast<std::ptrdiff_t>(filled(header));
  return header.size() > fields && filled(header) == fields && std::find(header.begin(), named, "") == named;
}

// How many fields most rows have; of several such numbers the one that comes first.
template <typename Counted>
std::size_t usual_fields(const SampleRows& rows, Counted&& counted) {
  std::map<std::size_t, std::size_t> counts;
  for (const auto& row : rows)
    if (counted(row)) ++counts[row.size()];
  std::size_t best = 0;
  for (const auto& row : rows)
    if (counted(row) && (best == 0 || counts[row.size()] > counts[best])) best = row.size();
  return best;
}

}  // namespace

SampleRows cut_sample(std::string_view sample, char delimiter) {
  constexpr std::size_t most_rows = 200,
                        most_fields = std::size_t{1} << 17;  // a row of more is refused when it is read
  SampleRows rows;
  std::string value;
  while (!sample.empty() && rows.size() < most_rows) {
    std::vector<std::string> row;
    Behind behind = Behind::delimiter;
    while (behind == Behind::delimiter && row.size() <= most_fields) {
      behind = take_field(sample, delimiter, value);
      row.push_back(value);
    }
    if (behind == Behind::open_quote || row.size() > most_fields) break;
    if (row.size() > 1 || !row[0].empty()) rows.push_back(std::move(row));
  }
  return rows;
}

std::size_t fields_of_line(std::string_view line, char delimiter) {
  std::string value;
  for (std::size_t fields = 1;; ++fields) {
    const Behind behind = take_field(line, delimiter, value);
    if (behind != Behind::delimiter) return behind == Behind::open_quote ? 0 : fields;
  }
}

void drop_comments(SampleRows& rows) {
  const std::size_t usual = usual_fields(rows, [](const auto& row) { return !is_comment(row); });
  if (usual > 0) std::erase_if(rows, [&](const auto& row) { return is_comment(row) && row.size() != usual; });
}

SampleShape shape_of(const SampleRows& rows) {
  if (rows.empty()) return {};
  const Row& first = rows[0];
  if (rows.size() == 2 && names_its_row(first, rows[1])) return {.fields = rows[1].size(), .short_header = true};
  SampleShape shape{.fields = usual_fields(rows, [](const Row&) { return true; })};
  if (ends_behind_its_rows(first, shape.fields)) shape.fields = first.size();
  if (rows.size() == 2 && rows[1].size() > first.size() && filled(rows[1]) <= first.size())
    shape.fields = rows[1].size();
  const auto empty_column = [&](std::size_t c) {
    return std::ranges::all_of(rows, [&](const Row& row) {
      return c >= row.size() || row[c].empty() || (row.size() != shape.fields && &row != &first);
    });
  };
  while (shape.trailing + 1 < shape.fields && empty_column(shape.fields - 1 - shape.trailing)) ++shape.trailing;
  if (rows.size() < 3 || first.size() < 2 || first.size() + 1 != shape.fields || shape.trailing > 0) return shape;
  std::map<std::string_view, int> names_of_rows;
  for (const Row& row : rows)
    if (&row != &first) ++names_of_rows[row.size() == shape.fields ? std::string_view(row[0]) : std::string_view()];
  shape.short_header = names_of_rows.size() + 1 == rows.size() && !names_of_rows.contains("");
  return shape;
}

// --- the delimiter --------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view candidates = ",;\t|";

using Fit = std::tuple<double, double, std::size_t>;  // as at the top of this file

Fit fit_of(std::string_view sample, char delimiter) {
  SampleRows rows = cut_sample(sample, delimiter);
  drop_comments(rows);
  const SampleShape shape = shape_of(rows);
  if (shape.fields < 2) return {};
  double agreeing = 0, fields = 0, values = 0, words = 0;
  for (const Row& row : rows) {
    if (row.size() > shape.fields || row.size() < shape.fields - shape.trailing) continue;
    ++agreeing;
    fields += static_cast<double>(row.size());
    for (const std::string& field : row) {
      if (is_value(field))
        ++values;
      else if (std::ranges::none_of(candidates,
                                    [&](char c) { return c != delimiter && field.find(c) != std::string::npos; }))
        ++words;
    }
  }
  return {agreeing / static_cast<double>(rows.size()) * (values + words) / fields, values / fields, shape.fields};
}

}  // namespace

char detected_delimiter(std::string_view sample) {
  char best = ',';
  Fit best_fit{};
  for (const char delimiter : candidates)
    if (const Fit fit = fit_of(sample, delimiter); fit > best_fit) best = delimiter, best_fit = fit;
  return best;
}

}  // namespace espalier
