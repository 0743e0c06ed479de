// Which columns are numbers, which are words, and which are left out.
#pragma once

#include <string>
#include <vector>

#include "espalier/datasets/table/profile.h"

namespace espalier::table {

enum class Content { numbers, words, ignored };

// The columns besides the target, in order.
struct Layout {
  std::vector<std::size_t> field = {};  // [columns] -> field of the file
  std::vector<Content> content = {};    // [columns]
  std::vector<std::string> why = {};    // [columns], of the ignored
  std::vector<bool> guessed = {};       // [columns], of the ignored: `use` keeps the column
  std::vector<bool> used = {};          // [columns]: asked for, so that it is left out only if it says nothing
  std::vector<double> offset = {};      // [columns], of numbers
};

// Throws UsageError for columns that do not exist.
Layout layout_of(const Profile& profile, const TableOptions& options);

}  // namespace espalier::table
