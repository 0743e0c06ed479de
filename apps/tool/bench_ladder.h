// What the ladders of `bench kernels` and `bench convolution` share: filling, comparing, timing.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <span>

#include "espalier/core/random.h"
#include "espalier/core/real.h"

namespace espalier {

inline double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Uniform in [-0.5, 0.5).
inline void fill_uniform(std::span<Real> values, const Random& random) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<Real>(random.uniform(i) - 0.5);
}

// Of a against b, relative to the largest of b.
inline double largest_error(std::span<const Real> a, std::span<const Real> b) {
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
  }
  return error / std::max(scale, 1e-30);
}

}  // namespace espalier
