#include "espalier/datasets/table/options.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

namespace espalier {

void check(const TableOptions& o) {
  const auto one_of = [](const char* option, const std::string& value, std::initializer_list<std::string_view> known) {
    require(std::ranges::find(known, value) != known.end(), "[table] {}: expected {}, got \"{}\"{}", option,
            fmt::join(known, " or "), value, did_you_mean(value, {known.begin(), known.end()}));
  };
  one_of("task", o.task, {"auto", "classification", "regression"});
  scaling_named(o.scaling);
  one_of("encoding", o.encoding, {"one-hot", "ordinal"});
  one_of("impute", o.impute, {"auto", "mean", "median"});
  require(o.validation >= 0, "[table] validation: expected at least 0 rows, got {}", o.validation);
  require(o.test_fraction > 0 && o.test_fraction < 1, "[table] test fraction: expected a fraction in (0, 1), got {}",
          o.test_fraction);
  const char decimal = o.csv.dialect.decimal;
  require(decimal == 0 || decimal == '.' || decimal == ',',
          "[table] decimal: expected auto, point or comma, got \"{}\"", decimal);
  require(o.csv.skip_bad_rows >= 0, "[table] skip bad rows: expected at least 0 rows, got {}", o.csv.skip_bad_rows);
}

std::vector<std::string> missing_marks_of(const TableOptions& options) {
  std::vector<std::string> marks = usual_missing_marks();
  for (const std::string& mark : options.missing_marks)
    if (std::ranges::find(marks, mark) == marks.end()) marks.push_back(mark);
  return marks;
}

std::vector<std::string> target_marks_of(const TableOptions& options) {
  std::vector<std::string> marks = missing_marks_of(options);
  if (std::ranges::none_of(options.missing_marks, is_none)) std::erase_if(marks, is_none);
  return marks;
}

bool is_none(std::string_view field) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(field, std::string_view("none"), {}, lower);
}

}  // namespace espalier
