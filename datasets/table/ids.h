// Columns that tell rows apart and nothing else: counters, and names of rows. A network that reads them learns the
// file's order, or nothing.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "espalier/core/tensor.h"

namespace espalier::table {

// id, customer_id, PassengerId, user ID, Unnamed: 0, index, row, uuid, key, nr, no, ...; or no name at all.
bool names_an_id(std::string_view name);
// No name at all, Unnamed: 0, index: what is left of a data frame's index.
bool names_an_index(std::string_view name);

// Whether the fields of a column are all different, as far as they are looked at: the first million.
class Different {
 public:
  void add(std::string_view field);
  bool all() const;

 private:
  std::vector<std::uint64_t> hashes_;
  Index count_ = 0;
};

// Whether numbers count: each is one more than the one before, or each one less, from any start.
class Counter {
 public:
  void add(long double x) {
    if (!counts_) return;
    const long double step = x - last_;
    last_ = x;
    if (count_++ == 0) {
      first_ = x;
    } else if (count_ == 2) {
      step_ = step;
      counts_ = step == 1 || step == -1;
    } else if (step != step_) {
      again_ = again_ || x == first_;
      counts_ = x == first_;
    }
  }
  // Of files that were joined, an index counts again from the same start.
  bool counts(bool may_begin_again) const { return counts_ && (!again_ || may_begin_again); }

 private:
  long double first_ = 0, last_ = 0, step_ = 0;
  Index count_ = 0;
  bool counts_ = true, again_ = false;
};

}  // namespace espalier::table
