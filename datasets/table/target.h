// What the target is: classes, and which; or a number.
#pragma once

#include <string>
#include <vector>

#include "espalier/datasets/table/profile.h"

namespace espalier::table {

struct TargetChoice {
  std::vector<std::string> classes = {};  // in the order of their numbers or of the alphabet; none: regression
  bool has_strays = false;                // words among its numbers are no classes: their rows are left out
  double offset = 0;                      // regression: see datasets/preprocessing.h
  std::string reason = {};                // why it is classes or a number; empty if the options said so
};

// By the rule in datasets/table.h. Throws FileError if the target can be neither.
TargetChoice target_of(const Profile& profile, const TableOptions& options);

}  // namespace espalier::table
