// What is said to people about a table that was read.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "espalier/datasets/table/cells.h"
#include "espalier/datasets/table/split.h"

namespace espalier::table {

// "age 3, income 12, and 4 more columns"
std::string counts_text(const std::vector<std::pair<std::string, Index>>& counts);

// Lines about rows, columns and parts; about what is missing, infinite and ignored.
std::vector<std::string> notes_of(const Table& table, const Profile& profile, const Layout& layout,
                                  const Preprocessing& rules, const std::vector<Part>& parts);

}  // namespace espalier::table
