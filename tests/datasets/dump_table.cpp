// Prints what is read of a table, for tests/datasets/pandas_test.py: one line of JSON.
//
//   {"columns": ["a", "b"], "rows": [[1.5, "red"], [null, "blue"]]}
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "espalier/core/error.h"
#include "espalier/datasets/table/profile.h"

namespace espalier {
namespace {

nlohmann::json contents_of(const std::string& file) {
  TableOptions options;
  const table::OpenTable open = [&] { return std::make_unique<CsvReader>(file, options.csv); };
  const table::Profile profile = table::profile_of(open, options);
  options.csv.dialect = profile.dialect;
  const MissingMarks marks(missing_marks_of(options));
  nlohmann::json rows = nlohmann::json::array();
  const auto reader = open();
  while (reader->next()) {
    nlohmann::json& row = rows.emplace_back(nlohmann::json::array());
    for (std::size_t c = 0; c < profile.columns.size(); ++c) {
      const std::string_view field = reader->fields()[c];
      long double value = 0;
      if (marks.holds(field))
        row.push_back(nullptr);
      else if (profile.columns[c].holds_numbers() &&
               read_number(field, profile.dialect.decimal, value) == Number::finite)
        row.push_back(static_cast<double>(value));
      else
        row.push_back(field);
    }
  }
  return {{"columns", profile.names}, {"rows", rows}};
}

}  // namespace
}  // namespace espalier

int main(int count, char** arguments) {
  try {
    for (int i = 1; i < count; ++i) fmt::print("{}\n", espalier::contents_of(arguments[i]).dump());
    return espalier::exit_done;
  } catch (const espalier::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.code();
  }
}
