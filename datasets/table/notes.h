// What is said to people about a table that was read. A note about a guess ends in the options that change it, as in
// config.toml's section [table], in brackets: "ignored (it counts the rows): id [use id]". A program may put its flags
// in their place.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "espalier/datasets/table/cells.h"
#include "espalier/datasets/table/split.h"
#include "espalier/datasets/table/target.h"

namespace espalier::table {

// "age 3, income 12, and 4 more columns"
std::string counts_text(const std::vector<std::pair<std::string, Index>>& counts);
// "age 3 ("old" in line 11), ..."; names: [columns]
std::string strays_text(const std::vector<StrayWords>& strays, const std::vector<std::string>& names);

// Of each reason, the columns: "ignored (dates): day, night [use day,night]".
std::vector<std::string> ignored_columns(const Preprocessing& rules);

// What there is to say about the lines that were read over, and the rows that were left out.
std::vector<std::string> notes_of(const CsvSkipped& skipped);
std::vector<std::string> notes_of(const LeftOut& left_out);

// Lines about the file, the target, rows and parts; about what is missing, replaced and ignored.
std::vector<std::string> notes_of(const Table& table, const Profile& profile, const Layout& layout,
                                  const TargetChoice& target, const Preprocessing& rules,
                                  const std::vector<Part>& parts, const TableOptions& options);

}  // namespace espalier::table
