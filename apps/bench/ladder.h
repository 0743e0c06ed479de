// What the ladders of `bench kernels` and `bench convolution` share: filling, comparing, timing.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "espalier/core/clock.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/core/random.h"
#include "espalier/core/real.h"
#include "espalier/experiment/text.h"
#include "espalier/pruning/measure.h"

namespace espalier {

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

// Of what is timed: it must be what the definition says.
inline void require_close(std::span<const Real> result, std::span<const Real> right, const std::string& product,
                          const std::string& kernel) {
  constexpr double tolerance = 1e-4;
  const double error = largest_error(result, right);
  if (!(error < tolerance)) throw std::logic_error(fmt::format("{} by {} is wrong by {}", product, kernel, error));
}

// Of one core, in FLOP/s: what a burst of independent multiplications and additions reaches.
inline double fma_rate() {
  double flops = 0;
  const double seconds = seconds_of([&] { flops = kernels::fma_burst(200000); });
  return flops / seconds;
}

// "1.24 ms (1.22 ms to 1.25 ms)", or, where the upper quartile is far from the lower one, "1.24 ms (1.22 ms to 5.28 ms,
// noisy)".
inline std::string text_of(const Timing& timing) {
  constexpr double noisy = 1.2;
  return fmt::format("{} ({} to {}{})", text_of_seconds(timing.median), text_of_seconds(timing.lower),
                     text_of_seconds(timing.upper), timing.upper > noisy * timing.lower ? ", noisy" : "");
}

}  // namespace espalier
