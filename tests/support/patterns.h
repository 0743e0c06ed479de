// The patterns every sparse thing has to cope with.
#pragma once

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/core/pattern.h"

namespace espalier::testing {

enum class Density { full, half, tenth, one_weight, empty_row, nothing };
inline constexpr Density all_densities[] = {Density::full,       Density::half,      Density::tenth,
                                            Density::one_weight, Density::empty_row, Density::nothing};
inline constexpr Storage all_storages[] = {Storage::dense, Storage::masked, Storage::csr};

inline const char* name_of(Density density) {
  constexpr const char* names[] = {"full", "half", "tenth", "one_weight", "empty_row", "nothing"};
  return names[static_cast<int>(density)];
}
inline std::ostream& operator<<(std::ostream& out, Density density) {
  return out << name_of(density);
}

// empty_row: density one half, but nothing lives in the middle row nor in the last column.
inline PatternPtr pattern_of(Index rows, Index cols, Density density, std::uint64_t seed = 1) {
  const Random random(seed, "test-pattern");
  const Index positions = rows * cols;
  switch (density) {
    case Density::full:
      return Pattern::full(rows, cols);
    case Density::half:
      return Pattern::random(rows, cols, (positions + 1) / 2, random);
    case Density::tenth:
      return Pattern::random(rows, cols, (positions + 9) / 10, random);
    case Density::one_weight:
      return Pattern::random(rows, cols, 1, random);
    case Density::empty_row: {
      std::vector<std::uint8_t> mask = Pattern::random(rows, cols, (positions + 1) / 2, random)->mask();
      for (Index r = 0; r < rows; ++r)
        for (Index c = 0; c < cols; ++c)
          if (r == rows / 2 || c == cols - 1) mask[r * cols + c] = 0;
      return Pattern::from_mask(rows, cols, mask);
    }
    case Density::nothing:
      break;
  }
  return Pattern::from_positions(rows, cols, {});
}

// Whether a pattern can be stored so: dense means every weight.
inline bool storable(const Pattern& pattern, Storage storage) {
  return storage != Storage::dense || pattern.full();
}

}  // namespace espalier::testing
