// From the rows of the training part to a Preprocessing: means, medians, the words that are frequent.
#pragma once

#include <vector>

#include "espalier/datasets/table/cells.h"
#include "espalier/datasets/table/split.h"

namespace espalier::table {

// parts: [rows] of the table. target: knows the target's column only. The table's words are renumbered, and its
// dictionaries emptied. Throws FileError if no column is left to learn from, or all targets are the same number.
Preprocessing fit(Table& table, const std::vector<Part>& parts, const Profile& profile, const Layout& layout,
                  const Preprocessing& target, const TableOptions& options);

}  // namespace espalier::table
