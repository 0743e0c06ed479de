// The rows of a table that are samples. Left out, and remembered by line:
//
//   a,b,label        rows that repeat the header, where files were joined
//   Total,,400       totals at the end: a word such as total or mean in the first column, or in one of numbers, that no
//                    other row has there
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/datasets/csv.h"

namespace espalier::table {

// Rows that were left out. word: what the first of the totals says.
struct LeftOut {
  std::vector<Index> repeated, totals;  // lines
  std::string word = {};
  std::vector<Index> lines() const;  // all, in order
};

class TableRows {
 public:
  // holds_numbers(column): asked at the end of the file.
  TableRows(CsvReader& reader, std::function<bool(std::size_t column)> holds_numbers);

  bool next();
  std::span<const std::string_view> fields() const { return fields_; }  // valid until next()
  Index line() const { return line_; }
  const LeftOut& left_out() const { return left_out_; }

 private:
  // A row that may be one of totals: kept until it is clear whether others follow.
  struct Held {
    Index line;
    std::vector<std::string> fields;
  };
  bool show_reader();
  bool show_held();
  void leave_out_totals();
  bool is_total(const Held& row) const;

  CsvReader& reader_;
  std::function<bool(std::size_t)> holds_numbers_;
  std::vector<Held> held_;
  std::size_t shown_ = 0;         // of the held ones
  bool waiting_ = false;          // behind the held ones, the reader's row
  std::vector<bool> word_shown_;  // [columns]: a row that was shown has such a word there
  std::vector<std::string_view> views_;
  std::span<const std::string_view> fields_;
  Index line_ = 0;
  LeftOut left_out_;
};

}  // namespace espalier::table
