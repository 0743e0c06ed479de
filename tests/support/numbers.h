// Filling tensors and parameters with numbers, and comparing them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/core/random.h"
#include "espalier/core/tensor.h"

namespace espalier::testing {

inline constexpr Real epsilon = std::numeric_limits<Real>::epsilon();
inline constexpr Real nan = std::numeric_limits<Real>::quiet_NaN();

// Every lane of every row standard normal, padding included.
inline void fill_normal(Tensor& x, std::string_view purpose, std::uint64_t seed = 1) {
  const Random random(seed, purpose);
  for (Index i = 0; i < x.features(); ++i)
    for (Index lane = 0; lane < x.lanes(); ++lane)
      x.row(i)[lane] = static_cast<Real>(random.normal(static_cast<std::uint64_t>(i * x.lanes() + lane)));
}

inline Tensor normal_tensor(Shape shape, Lanes lanes, std::string_view purpose, std::uint64_t seed = 1) {
  Tensor x(shape, lanes);
  fill_normal(x, purpose, seed);
  return x;
}

// What stands in the lanes that hold no sample.
inline void fill_padding(Tensor& x, Real value) {
  for (Index i = 0; i < x.features(); ++i) std::fill(x.row(i) + x.valid(), x.row(i) + x.lanes(), value);
}

// Every live weight, and nothing else, standard normal: a function of its position, not of the storage.
inline void fill_normal(std::span<Real> array, const Parameter& W, std::string_view purpose, std::uint64_t seed = 1) {
  const Random random(seed, purpose);
  W.for_each_weight([&](Index r, Index c, Index at) {
    array[at] = static_cast<Real>(random.normal(static_cast<std::uint64_t>(r * W.cols() + c)));
  });
}

inline bool same_bits(std::span<const Real> a, std::span<const Real> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// The valid lanes of every row, one after the other.
inline std::vector<Real> valid_numbers(const Tensor& x) {
  std::vector<Real> numbers;
  for (Index i = 0; i < x.features(); ++i) numbers.insert(numbers.end(), x.row(i), x.row(i) + x.valid());
  return numbers;
}

// |a - b| <= relative * max(1, largest |a|), elementwise: for results of sums in different order.
inline void expect_close(std::span<const Real> a, std::span<const Real> b, Real relative, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  Real largest = 1;
  for (const Real value : a) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_FALSE(std::isnan(a[i]) || std::isnan(b[i])) << what << ", element " << i;
    ASSERT_NEAR(a[i], b[i], relative * largest) << what << ", element " << i;
  }
}

}  // namespace espalier::testing
