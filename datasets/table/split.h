// Which rows of a table are for training, for validation and for testing.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/core/tensor.h"

namespace espalier {

// Rows to parts, class by class, by selection sampling (Knuth, The Art of Computer Programming, 3.4.2, algorithm S).
enum class Part : std::uint8_t { train, validation, test };
class StratifiedSplit {
 public:
  // rows: of each class (one class: no strata). Of these, `test_fraction`, and of the rest `validation` rows, but a
  // tenth of it at most.
  StratifiedSplit(std::vector<Index> rows, double test_fraction, Index validation, std::uint64_t seed);
  // The part of the next row, of class `klass`: to be called for each row once, in order.
  Part next(std::size_t klass);

 private:
  struct Stratum {
    Index left = 0, test = 0, validation = 0;  // rows still to come, and how many of them go where
  };
  std::vector<Stratum> strata_;
  std::uint64_t seed_, row_ = 0;
};

}  // namespace espalier
