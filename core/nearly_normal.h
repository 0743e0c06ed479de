// Nearly normal numbers from 64 random bits, without a logarithm or a cosine.
#pragma once

#include <cstdint>

namespace espalier {

// The sum of the four 16-bit uniform numbers in `bits`, less its mean: close to normal out to its ends at +-131070,
// which are 3.46 times its standard deviation, sqrt(4 (2^32 - 1) / 12) = 37837.2.
inline std::int32_t sum_of_four_uniforms(std::uint64_t bits) {
  const std::uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
  return static_cast<std::int32_t>(sum) - 2 * 65535;
}
// With mean 0 and variance 1.
template <typename T>
T nearly_normal(std::uint64_t bits) {
  return static_cast<T>(sum_of_four_uniforms(bits)) / static_cast<T>(37837.22784);
}

}  // namespace espalier
