#include "espalier/datasets/table/notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

#include "espalier/datasets/quoted.h"

namespace espalier::table {
namespace {

constexpr std::size_t most_listed = 8;

// What changes a guess, behind a note about it.
std::string change(const std::vector<std::string>& options) {
  return options.empty() ? "" : fmt::format(" [{}]", fmt::join(options, "; "));
}

// A name as an option takes it, among others apart by commas.
std::string as_in_a_list(const std::string& name) {
  return name.find_first_of(",\"") == std::string::npos ? shown(name) : in_csv_quotes(shown(name));
}

std::string lines_text(const std::vector<Index>& lines) {
  if (lines.size() == 1) return fmt::format("line {}", lines[0]);
  const auto end = lines.begin() + static_cast<std::ptrdiff_t>(std::min(lines.size(), most_listed));
  return fmt::format("lines {}{}", fmt::join(lines.begin(), end, ", "), lines.size() > most_listed ? ", ..." : "");
}

// The first notes, and how many there are more of this kind.
std::vector<std::string> first_of(std::vector<std::string> notes, const char* what) {
  if (notes.size() > most_listed) {
    notes[most_listed] = fmt::format("and {} more {}", notes.size() - most_listed, what);
    notes.resize(most_listed + 1);
  }
  return notes;
}

std::string plural_of_delimiter(char delimiter) {
  switch (delimiter) {
    case ',':
      return "commas";
    case ';':
      return "semicolons";
    case '\t':
      return "tabs";
    case '|':
      return "pipes";
    default:
      return quoted(std::string_view(&delimiter, 1));
  }
}

std::string charset_text(Charset charset) {
  return charset == Charset::latin1 ? "Latin-1" : charset == Charset::utf16 ? "UTF-16" : "UTF-8";
}

// How the file was read, and which options change what was not asked for.
std::string dialect_note(const Profile& profile, const Dialect& asked) {
  const Dialect& d = profile.dialect;
  std::vector<std::string> open;
  if (asked.delimiter == 0) open.push_back("delimiter");
  if (asked.header == Header::detect) open.push_back("header");
  if (asked.decimal == 0) open.push_back("decimal");
  if (asked.charset == Charset::detect) open.push_back("charset");
  return fmt::format("read with {} between fields, {}, decimal {}, {}{}", plural_of_delimiter(d.delimiter),
                     d.header == Header::yes ? fmt::format("names in line {}", profile.header_line)
                                             : "no names (columns are called c1, c2, ...)",
                     d.decimal == ',' ? "commas" : "points", charset_text(d.charset), change(open));
}

std::string target_note(const Profile& profile, const TargetChoice& choice, const TargetRule& target,
                        const TableOptions& options) {
  std::vector<std::string> open;
  std::string text = "target " + shown(target.name);
  if (options.target.empty()) {
    const bool last = profile.target + 1 == profile.names.size();
    text += last ? ", the last column" : ", the last column that holds anything";
    open.push_back("target");
  }
  if (!choice.reason.empty()) {
    const bool regression = target.classes.empty();
    text += fmt::format(": {}, {}", regression ? "regression" : "classes", choice.reason);
    open.push_back(regression ? "task classification" : "task regression");
  }
  return open.empty() ? "" : text + change(open);
}

std::vector<std::string> notes_of_target(const Table& table, const Profile& profile, const TargetChoice& choice) {
  std::vector<std::string> notes;
  const ColumnProfile& column = profile.columns[profile.target];
  const std::string name = shown(profile.names[profile.target]);
  if (const StrayWords& words = column.words; !choice.has_strays && words.count > 0 && words.count <= column.numbers)
    notes.push_back(
        fmt::format("column {}, the target: {} of {} fields are not numbers, but classes as well, the "
                    "first is {} in line {}{}",
                    name, words.count, column.known(), quoted(words.first), words.line,
                    change({"missing " + as_in_a_list(words.first)})));
  if (table.without_target > 0)
    notes.push_back(fmt::format("{} rows without a target (column {}) were left out", table.without_target, name));
  if (const StrayWords& stray = table.target; stray.count > 0)
    notes.push_back(
        fmt::format("{} rows were left out for a word among the target's numbers (column {}), the first "
                    "{} in line {} [categorical {}]",
                    stray.count, name, quoted(stray.first), stray.line, as_in_a_list(name)));
  return notes;
}

// Words in columns of numbers, and numbers in columns of words.
std::vector<std::string> notes_of_mixtures(const Profile& profile, const Layout& layout) {
  std::vector<std::string> notes;
  for (std::size_t c = 0; c < layout.field.size(); ++c) {
    const ColumnProfile& column = profile.columns[layout.field[c]];
    const std::string& name = profile.names[layout.field[c]];
    const StrayWords& words = column.words;
    if (words.count == 0 || words.count > column.numbers || layout.content[c] == Content::ignored) continue;
    const bool numbers = layout.content[c] == Content::numbers;
    notes.push_back(fmt::format(
        "column {} was read as {}: {} of {} fields are not numbers{}, the first is {} in line "
        "{}{}",
        shown(name), numbers ? "numbers" : "words", words.count, column.known(), numbers ? " and count as missing" : "",
        quoted(words.first), words.line,
        numbers ? change({"categorical " + as_in_a_list(name)}) : change({"missing " + as_in_a_list(words.first)})));
  }
  return first_of(std::move(notes), "columns of numbers and words");
}

// Numbers that are large beside what tells them apart.
std::vector<std::string> notes_of_floats(const ColumnProfile& column, const std::string& name,
                                         const TableOptions& options) {
  std::vector<std::string> notes;
  const FloatFit fit = column.float_fit();
  const auto text = [](long double x) { return fmt::format("{}", static_cast<double>(x)); };
  if (fit.outliers)
    notes.push_back(fmt::format("column {}: most of its numbers are about {} to {}, but some as far from them as {}{}",
                                shown(name), text(fit.low), text(fit.high), text(fit.farthest),
                                options.scaling == "robust" ? std::string() : change({"scaling robust"})));
  if (10 * fit.different_floats < 9 * fit.different)
    notes.push_back(fmt::format(
        "column {}: some of its numbers are too close together, and too far from the others, to stay apart as floats: "
        "of {} different ones in a sample {} are left",
        shown(name), fit.different, fit.different_floats));
  return notes;
}

std::vector<std::string> notes_of_floats(const Profile& profile, const Layout& layout, const Preprocessing& p,
                                         const TableOptions& options) {
  std::vector<std::string> notes;
  const auto add = [&](std::size_t field) {
    const auto more = notes_of_floats(profile.columns[field], profile.names[field], options);
    notes.insert(notes.end(), more.begin(), more.end());
  };
  for (std::size_t c = 0; c < p.columns.size(); ++c)
    if (p.columns[c].kind == ColumnKind::numeric) add(layout.field[c]);
  if (p.target.classes.empty()) add(profile.target);
  return first_of(std::move(notes), "notes about large numbers");
}

// Whether `use` brings a column back that was left out for this reason.
bool may_be_used(const std::string& why) {
  return why != "asked for" && !why.starts_with("no values") && !why.starts_with("constant");
}

}  // namespace

std::string counts_text(const std::vector<std::pair<std::string, Index>>& counts) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most_listed, counts.size()); ++i)
    text += fmt::format("{}{} {}", i ? ", " : "", shown(counts[i].first), counts[i].second);
  if (counts.size() > most_listed) text += fmt::format(", and {} more columns", counts.size() - most_listed);
  return text;
}

std::string strays_text(const std::vector<StrayWords>& strays, const std::vector<std::string>& names) {
  std::string text;
  std::size_t listed = 0, more = 0;
  for (std::size_t c = 0; c < strays.size(); ++c) {
    if (strays[c].count == 0 || (listed == most_listed && ++more)) continue;
    text += fmt::format("{}{} {} ({} in line {})", listed++ ? ", " : "", shown(names[c]), strays[c].count,
                        quoted(strays[c].first), strays[c].line);
  }
  return more > 0 ? text + fmt::format(", and {} more columns", more) : text;
}

std::vector<std::string> ignored_columns(const Preprocessing& p) {
  std::map<std::string, std::vector<std::string>> ignored;
  for (const ColumnRule& column : p.columns)
    if (column.kind == ColumnKind::ignored) ignored[column.why].push_back(column.name);
  std::vector<std::string> notes;
  for (const auto& [why, names] : ignored) {
    std::string list, option = "use ";
    for (std::size_t i = 0; i < std::min(names.size(), most_listed); ++i) {
      list += fmt::format("{}{}", i > 0 ? ", " : "", shown(names[i]));
      option += fmt::format("{}{}", i > 0 ? "," : "", as_in_a_list(names[i]));
    }
    if (names.size() > most_listed) list += fmt::format(" and {} more", names.size() - most_listed);
    notes.push_back(fmt::format("ignored ({}): {}{}", why, list, may_be_used(why) ? change({option}) : std::string()));
  }
  return notes;
}

std::vector<std::string> notes_of(const CsvSkipped& skipped) {
  std::vector<std::string> notes;
  if (skipped.sep_line) notes.push_back("line 1 names the delimiter, and is no row");
  if (skipped.short_header)
    notes.push_back("the header is one name short of the rows, as R writes it: the first column has no name");
  if (skipped.comments > 0)
    notes.push_back(fmt::format("skipped {} comments (lines that begin with # and are no rows), the first in line {}",
                                skipped.comments, skipped.comment_line));
  if (skipped.bad_rows > 0)
    notes.push_back(fmt::format("skipped {} rows of another number of fields, the first in line {}", skipped.bad_rows,
                                skipped.bad_row_line));
  if (skipped.trailing_columns > 0)
    notes.push_back(
        fmt::format("dropped {} last columns, which have neither names nor values", skipped.trailing_columns));
  return notes;
}

std::vector<std::string> notes_of(const LeftOut& left_out) {
  std::vector<std::string> notes;
  const auto add = [&](const std::vector<Index>& lines, const std::string& one, const std::string& many) {
    if (lines.empty()) return;
    notes.push_back(fmt::format("{} {}", lines_text(lines), lines.size() == 1 ? one : many));
  };
  add(left_out.repeated, "repeats the header and was left out", "repeat the header and were left out");
  const std::string word = quoted(left_out.word);
  add(left_out.totals, fmt::format("holds totals ({}) and was left out", word),
      fmt::format("hold totals ({}) and were left out", word));
  return notes;
}

std::vector<std::string> notes_of(const Table& table, const Profile& profile, const Layout& layout,
                                  const TargetChoice& target, const Preprocessing& p, const std::vector<Part>& parts,
                                  const TableOptions& options) {
  const std::string target_name = shown(p.target.name);
  std::vector<std::string> notes;
  const auto append = [&](const std::vector<std::string>& more) {
    notes.insert(notes.end(), more.begin(), more.end());
  };
  notes.push_back(fmt::format(
      "{}: {} rows, {} columns, {} features; target {}: {}", table.name, profile.rows, p.columns.size(), p.features(),
      target_name, p.target.classes.empty() ? "regression" : fmt::format("{} classes", p.target.classes.size())));
  notes.push_back(dialect_note(profile, options.csv.dialect));
  if (const std::string note = target_note(profile, target, p.target, options); !note.empty()) notes.push_back(note);
  const auto testing = std::ranges::count(parts, Part::test);  // none: they are in a file of their own
  notes.push_back(fmt::format("{} rows for training, {} for validation{}", std::ranges::count(parts, Part::train),
                              std::ranges::count(parts, Part::validation),
                              testing ? fmt::format(", {} for testing", testing) : std::string()));
  append(notes_of(profile.skipped));
  append(notes_of(profile.left_out));
  append(notes_of_target(table, profile, target));
  append(notes_of_mixtures(profile, layout));
  append(notes_of_floats(profile, layout, p, options));
  std::vector<std::pair<std::string, Index>> missing, infinite;
  std::vector<StrayWords> notation(p.columns.size());
  std::vector<std::string> names;
  for (std::size_t c = 0; c < p.columns.size(); ++c) {
    names.push_back(p.columns[c].name);
    if (p.columns[c].kind == ColumnKind::ignored) continue;
    const ColumnProfile& column = profile.columns[layout.field[c]];
    if (column.missing > 0) missing.emplace_back(names.back(), column.missing);
    if (column.infinite > 0) infinite.emplace_back(names.back(), column.infinite);
    if (layout.content[c] == Content::numbers) notation[c] = column.notation;
  }
  if (!missing.empty()) notes.push_back("missing values: " + counts_text(missing));
  if (!infinite.empty()) notes.push_back("infinite numbers, taken for missing: " + counts_text(infinite));
  if (const std::string text = strays_text(notation, names); !text.empty())
    notes.push_back("numbers as people write them: " + text +
                    (options.csv.dialect.decimal == 0 ? change({"decimal"}) : std::string()));
  append(ignored_columns(p));
  return notes;
}

}  // namespace espalier::table
