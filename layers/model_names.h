// The grammar of models' names: what stands behind "mlp:", "tabular:" and the like. All functions throw UsageError,
// naming the model, for texts that do not follow it.
//
//   784-300-10                 extents, joined by '-'
//   128x3                      extents, joined by 'x'
//   256-128+norm+dropout=0.1   extents, and suffixes for the hidden layers
//   64                         a number of units
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

// What stands behind the prefix: "784-300-10" of "mlp:784-300-10".
std::string_view behind(std::string_view prefix, std::string_view name);

// "300-100" -> {300, 100}: at least one extent from 1 to 2^31. example: for the message
std::vector<Index> extents_in(std::string_view text, const std::string& model, std::string_view example,
                              char separator = '-');

// "64" -> 64: a number from 1 to `most`. what: for the message, "a number of units from 1 to 2^20 such as gru:64"
Index number_in(std::string_view text, const std::string& model, Index most, std::string_view what);

// What hidden layers have besides weights.
struct HiddenOptions {
  bool norm = false;   // batch norm before the ReLU
  double dropout = 0;  // after the ReLU
};

// "256-128+norm+dropout=0.1" -> "256-128", "+norm+dropout=0.1" and what the latter says.
struct SuffixedName {
  std::string_view extents, suffixes;  // parts of the text that was given
  HiddenOptions hidden;
};
SuffixedName suffixes_in(std::string_view text, const std::string& model);

}  // namespace espalier
