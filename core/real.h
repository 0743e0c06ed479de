// The number every weight and activation is made of.
//
// The product is float32. A test-only build defines ESPALIER_REAL_DOUBLE and compiles the very same
// operations over double, so that finite differences can check every gradient to ten digits.
#pragma once

#include <cstdint>

namespace espalier {

#ifdef ESPALIER_REAL_DOUBLE
using Real = double;
#else
using Real = float;
#endif

// Counts and positions. A 65,536 x 65,536 layer has 2^32 positions: 32 bits are not enough.
using Index = std::int64_t;

}  // namespace espalier
