// Tables in tests: written row by row, loaded from memory, looked into.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/table.h"

namespace espalier::testing {

// `rows` times line(row), behind a header; none if it is empty.
template <typename Line>
std::string table_of(const std::string& header, int rows, Line&& line) {
  std::string text = header.empty() ? "" : header + "\n";
  for (int r = 0; r < rows; ++r) text += line(r) + "\n";
  return text;
}

inline DataParts load_table_text(const std::string& text, const TableOptions& options = {}) {
  return espalier::load_table_text("table.csv", text, options);
}
// What is said of a table that is refused.
inline std::string complaint_about_table(const std::string& text, const TableOptions& options = {}) {
  try {
    load_table_text(text, options);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text.substr(0, 200);
  return {};
}

inline std::vector<Real> features(const Dataset& data, Index i) {
  std::vector<Real> row(static_cast<std::size_t>(data.shape().features()));
  data.read(i, row);
  return row;
}
inline Real target(const Dataset& data, Index i) {
  std::vector<Real> value(1);
  data.target(i, value);
  return value[0];
}
inline std::string notes_of(const DataParts& parts) {
  std::string text;
  for (const std::string& note : parts.notes) text += note + "\n";
  return text;
}
inline const ColumnRule& column(const DataParts& parts, const std::string& name) {
  const auto& columns = parts.preprocessing->columns;
  const auto found = std::ranges::find(columns, name, &ColumnRule::name);
  if (found == columns.end()) throw FileError("no column " + name);
  return *found;
}

}  // namespace espalier::testing
