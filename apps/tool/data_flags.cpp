// Flags about data, the same wherever there are data; and what is said about data, in these flags.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "apps/tool/commands.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/dialect.h"

namespace espalier {
namespace {

void add_names_flag(CLI::App& app, const char* flag, std::vector<std::string>& names, const char* help) {
  app.add_option_function<std::vector<std::string>>(
      flag, [&names](const std::vector<std::string>& texts) { names = names_in(texts); }, help);
}

template <typename Value>
void add_word_flag(CLI::App& app, const char* flag, Value& value, Value (*named)(std::string_view), const char* help) {
  app.add_option_function<std::string>(
         flag, [&value, named](const std::string& word) { value = named(word); }, help)
      ->default_str("auto");
}

}  // namespace

std::string in_a_shell(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_-.,:/=").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::ranges::all_of(word, plain)) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::vector<std::string> names_in(const std::vector<std::string>& texts) {
  std::vector<std::string> names;
  for (const std::string& text : texts)
    for (const std::vector<std::string>& row : cut_sample(text, ',')) names.insert(names.end(), row.begin(), row.end());
  return names;
}

void add_csv_flags(CLI::App& app, CsvOptions& options) {
  Dialect& dialect = options.dialect;
  add_word_flag(app, "--header", dialect.header, header_named,
                "Of a table: whether its first line names the columns: yes, no or auto");
  add_word_flag(app, "--delimiter", dialect.delimiter, delimiter_named,
                "Of a table: what stands between fields: comma, semicolon, tab, pipe, another character, or auto");
  add_word_flag(app, "--decimal", dialect.decimal, decimal_named, "Of a table's numbers: point, comma or auto");
  add_word_flag(app, "--charset", dialect.charset, charset_named, "Of a table's text: utf-8, latin-1, utf-16 or auto");
  app.add_option("--skip-bad-rows", options.skip_bad_rows,
                 "Of a table: so many rows of another number of fields may be left out")
      ->capture_default_str();
}

void add_data_flags(CLI::App& app, RunConfig& c) {
  app.option_defaults()->group(data_group);
  app.add_option("--data", c.data, fmt::format("auto: what suits the model, if found; {}", data_help()))
      ->capture_default_str();
  app.add_option("--format", c.format, "Of a file of any name: " + format_help() + "; auto: by its ending")
      ->capture_default_str();
  app.add_option("--data-dir", c.data_dir, "Where the data's files are (else $ESPALIER_DATA, else ./data)");
  app.option_defaults()->group(table_group);
  app.add_option("--target", c.table.target, "Of a table: the column to predict (default: the last)");
  app.add_option("--test-data", c.test_data, "Of a table: the file to test on (default: a part drawn from the table)");
  app.add_option("--test-fraction", c.table.test_fraction, "Of a table without --test-data: the part drawn for testing")
      ->capture_default_str();
  app.add_option("--task", c.table.task, "Of a table: auto, classification or regression")->capture_default_str();
  app.add_option("--scaling", c.table.scaling,
                 "Of a table's numbers: standard, robust (median and quartiles), none, quantile (normal scores of "
                 "ranks), piecewise or piecewise:BINS (robust, and 16 or so many bins at quantiles)")
      ->capture_default_str();
  app.add_option("--encoding", c.table.encoding, "Of a table's words: one-hot or ordinal")->capture_default_str();
  app.add_option("--impute", c.table.impute, "What stands for missing numbers: mean, median or auto")
      ->capture_default_str();
  add_names_flag(app, "--missing", c.table.missing_marks, "Marks for missing values, besides the usual ones");
  add_names_flag(app, "--ignore", c.table.ignore, "Columns of a table to leave out");
  add_names_flag(app, "--categorical", c.table.categorical, "Columns of numbers that are to be taken for words");
  add_names_flag(app, "--use", c.table.use, "Columns to keep that look like counters or names of rows, or like dates");
  add_csv_flags(app, c.table.csv);
  app.option_defaults()->group(data_group);
  app.add_option("--validation", c.validation, "Training samples held out for choices")->capture_default_str();
  app.option_defaults()->group("Options");
}

std::string in_flags(const std::string& note, const CLI::App& command) {
  const std::size_t begin = note.rfind(" [");
  if (begin == std::string::npos || !note.ends_with(']')) return note;
  std::string flags;
  for (std::size_t at = begin + 2; at < note.size();) {
    const std::size_t end = std::min(note.find("; ", at), note.size() - 1);
    const std::string change = note.substr(at, end - at);  // "task classification"
    const std::size_t space = change.find(' ');
    std::string flag = "--" + change.substr(0, space);
    std::ranges::replace(flag, '_', '-');
    if (!command.get_option_no_throw(flag)) return note;
    flags += (flags.empty() ? "" : ", ") + flag;
    if (space != std::string::npos) flags += " " + in_a_shell(change.substr(space + 1));
    at = end + 2;
  }
  return fmt::format("{} ({})", note.substr(0, begin), flags);
}

}  // namespace espalier
