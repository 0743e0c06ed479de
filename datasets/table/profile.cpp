#include "espalier/datasets/table/profile.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"

namespace espalier::table {
namespace {

constexpr double exact_below = 9007199254740992;  // 2^53: whole numbers from here on are not all doubles

// What the fields of a file say about its decimal mark: how many of them.
struct DecimalVotes {
  Index point = 0, comma = 0, either_comma = 0;
  bool any() const { return point + comma > 0; }

  void add(std::string_view field) {
    switch (decimal_evidence(field)) {
      case DecimalEvidence::none:
        break;
      case DecimalEvidence::point:
        ++point;
        break;
      case DecimalEvidence::comma:
        ++comma;
        break;
      case DecimalEvidence::either:  // 1.234 is what programs write: it is no vote for commas
        either_comma += field.find(',') != std::string_view::npos;
        break;
    }
  }
  // The mark of most fields. 1,234 alone are decimals where commas are not between fields: where commas are decimal
  // marks, semicolons or tabs stand there.
  char settled(char delimiter) const {
    if (any()) return comma > point ? ',' : '.';
    return either_comma > 0 && (delimiter == ';' || delimiter == '\t') ? ',' : '.';
  }
};

// One pass: fields in, a profile out.
class Profiler {
 public:
  Profiler(Profile& profile, char decimal, const TableOptions& options)
      : profile_(profile),
        decimal_(decimal),
        marks_(missing_marks_of(options)),
        target_marks_(target_marks_of(options)) {}

  void add_row(std::span<const std::string_view> fields, Index line) {
    constexpr Index rows_that_vote = 4096;
    ++profile_.rows;
    line_ = line;
    first_rows_ = profile_.rows <= rows_that_vote;
    voting_ = first_rows_ || !votes_.any();  // later rows only if the first ones had nothing to say
    for (std::size_t c = 0; c < fields.size(); ++c) add(c, fields[c]);
  }
  const DecimalVotes& votes() const { return votes_; }

 private:
  void add(std::size_t c, std::string_view field) {
    ColumnProfile& column = profile_.columns[c];
    const MissingMarks& marks = c == profile_.target ? target_marks_ : marks_;
    if (field.empty() || (marks.numeric() && marks.holds(field))) {
      ++column.missing;
      column.empty += field.empty();
      return;
    }
    double value = 0;
    const bool may_be_plain = decimal_ == '.' || field.find('.') == std::string_view::npos;
    Number number = may_be_plain ? parse_number(field, value) : Number::none;
    if (number != Number::none) [[likely]] {
      if (voting_ && (first_rows_ || !is_whole(value))) votes_.add(field);
    } else {
      if (marks.holds(field)) {
        ++column.missing;
        return;
      }
      number = add_unusual(column, field, value);
    }
    if (number == Number::finite)
      add_number(column, field, value);
    else if (number == Number::infinite)
      ++column.infinite;
    if (column.like_an_id) column.different.add(field);
    if (c == profile_.target) add_target(field);
  }

  // A number as people write it, which begins with no letter, or a word.
  Number add_unusual(ColumnProfile& column, std::string_view field, double& value) {
    const bool letter = is_letter(field[0]);
    long double exact = 0;
    const Number number = letter ? Number::none : read_number(field, decimal_, exact);
    value = static_cast<double>(exact);
    if (voting_ && !letter) votes_.add(field);
    if (number != Number::none) {
      column.notation.add(field, line_);
    } else {
      if (column.dates == column.words.count) column.dates += looks_like_date(field);
      column.words.add(field, line_);
    }
    return number;
  }

  void add_number(ColumnProfile& column, std::string_view field, double value) {
    ++column.numbers;
    if (std::abs(value) < exact_below) [[likely]] {
      column.range.add(value);
      column.sample.add(value);
      column.counter.add(value);
      return;
    }
    long double exact = 0;
    read_number(field, decimal_, exact);
    column.range.add_wide(exact);
    column.sample.add(exact);
    column.counter.add(exact);
  }

  void add_target(std::string_view field) {
    TargetTexts& texts = profile_.texts;
    if (texts.size() > static_cast<std::size_t>(most_classes)) return;
    auto found = texts.find(field);
    if (found == texts.end()) found = texts.emplace(field, TargetText{.place = static_cast<Index>(texts.size())}).first;
    ++found->second.rows;
  }

  Profile& profile_;
  char decimal_;
  MissingMarks marks_, target_marks_;
  DecimalVotes votes_;
  Index line_ = 0;
  bool first_rows_ = true, voting_ = true;
};

// behind: how many of the last columns the target is not among, unless the options name it.
Profile empty_profile(const CsvReader& reader, std::size_t behind, const TableOptions& options) {
  Profile profile{.file = reader.name(), .names = reader.columns()};
  if (profile.names.size() < 2)
    reader.fail(fmt::format("expected at least two columns (comma, semicolon, tab or pipe between them), found {}",
                            profile.names.size()));
  profile.target =
      options.target.empty() ? profile.names.size() - 1 - behind : column_named(profile, options.target, "target");
  profile.header_line = reader.has_header() ? reader.line() : 0;
  profile.columns.resize(profile.names.size());
  constexpr std::size_t fewest_sampled = 32, most_sampled = 512, most_sampled_in_all = std::size_t{1} << 20;
  const std::size_t sampled = most_sampled_in_all / profile.names.size();
  for (std::size_t c = 0; c < profile.names.size(); ++c) {
    profile.columns[c].like_an_id = c != profile.target && names_an_id(profile.names[c]);
    profile.columns[c].sample = EvenSample(std::clamp(sampled, fewest_sampled, most_sampled));
  }
  return profile;
}

// Delimiters at the end of every row make last columns in which there is nothing: how many, in a file without names.
std::size_t empty_last_columns(const Profile& profile) {
  std::size_t empty = 0;
  if (profile.header_line > 0) return empty;
  while (empty + 1 < profile.columns.size() &&
         profile.columns[profile.columns.size() - 1 - empty].empty == profile.rows)
    ++empty;
  return empty;
}

}  // namespace

Profile profile_of(const OpenTable& open, const TableOptions& options) {
  const bool asked = options.csv.dialect.decimal != 0;
  std::size_t behind = 0;  // the target
  for (char decimal = asked ? options.csv.dialect.decimal : '.';;) {
    const auto reader = open();
    Profile profile = empty_profile(*reader, behind, options);
    Profiler profiler(profile, decimal, options);
    TableRows rows(*reader, [&](std::size_t c) { return profile.columns[c].holds_numbers(); });
    while (rows.next()) profiler.add_row(rows.fields(), rows.line());
    if (profile.rows == 0) reader->fail("expected rows behind the header, found the end of the file");
    profile.left_out = rows.left_out();
    profile.skipped = reader->skipped();
    profile.dialect = reader->dialect();
    profile.dialect.decimal = decimal;
    const char settled = asked || decimal == ',' ? decimal : profiler.votes().settled(profile.dialect.delimiter);
    const std::size_t empty = options.target.empty() && behind == 0 ? empty_last_columns(profile) : behind;
    if (settled == decimal && empty == behind) return profile;
    decimal = settled;
    behind = empty;
  }
}

std::string listed_names(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i > 0 ? ", " : "") + shown(names[i]);
  return names.size() > most ? text + ", ..." : text;
}

std::size_t column_named(const Profile& profile, const std::string& name, const char* option) {
  const auto found = std::ranges::find(profile.names, name);
  constexpr std::size_t most = 32;
  require(found != profile.names.end(), "[table] {}: {}: expected one of the columns {}, got {}{}", option,
          profile.file, listed_names(profile.names, most), quoted(name), did_you_mean(name, profile.names));
  return static_cast<std::size_t>(found - profile.names.begin());
}

}  // namespace espalier::table
