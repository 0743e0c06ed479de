// A generated table of which it is known what matters, so that the inputs a pruned network keeps can be checked: of 40
// columns 10 bear on the target, the other 30 are noise of the same kinds.
//
//   x0 ... x29   numbers, standard normal; matter: x0 ... x6
//   w0 ... w9    words, one of four; matter: w0, w1, w2
//
// The target is a function of those ten that is not linear (sines, products, a square, words that change a sign), plus
// noise: words (low, high) for classification, a number for regression. The columns stand in an order drawn from the
// seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/datasets/dataset.h"

namespace espalier {

struct SyntheticTable {
  Index rows = 20000;
  Index first = 0;  // number of the first row: large tables are written in parts
  bool regression = false;
  double noise = 0.1;    // standard deviation beside a signal of about 1
  double missing = 0.0;  // fraction of the fields of columns that do not matter that are left empty
  std::uint64_t seed = 1;
};

// As CSV, with a header; the target, "y", is the last column. Row i is a pure function of (seed, i). Throws UsageError
// unless rows is positive.
std::string synthetic_table_csv(const SyntheticTable& options = {});
// The names of the columns that matter, in the order of the file.
std::vector<std::string> relevant_columns(const SyntheticTable& options = {});

}  // namespace espalier
