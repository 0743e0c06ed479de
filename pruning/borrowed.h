// Numbers that are changed for a moment.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

// Numbers that are again what they were, to the bit, at the end of the scope.
class Borrowed {
 public:
  explicit Borrowed(std::span<Real> numbers) : numbers_(numbers), before_(numbers.begin(), numbers.end()) {}
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() { std::ranges::copy(before_, numbers_.begin()); }

 private:
  std::span<Real> numbers_;
  std::vector<Real> before_;
};

}  // namespace espalier
