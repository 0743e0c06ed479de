// The formulas of learnt sparsity, one weight at a time: what methods/str.cpp, l0.cpp and variational.cpp do to arrays,
// and what their tests differentiate.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace espalier {

// e^x and log x in plain arithmetic, to a few units in the last place of float, so that compilers can turn loops over
// them into vectors. e^x: x within +-87; log x: x > 0, normal.
inline double exp_of(double x) {
  return std::exp(x);
}
inline float exp_of(float x) {
  x = std::min(std::max(x, -87.0f), 87.0f);
  constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds
  const float n = (x * 1.44269504f + magic) - magic;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x - n log 2, |r| <= log(2) / 2
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}
inline double log_of(double x) {
  return std::log(x);
}
inline float log_of(float x) {
  // x = 2^n m, m from sqrt(1/2) to sqrt(2);   log m = 2 atanh t, t = (m - 1) / (m + 1), |t| < 0.172
  const std::int32_t bits = std::bit_cast<std::int32_t>(x) - 0x3f3504f3;
  const float n = static_cast<float>(bits >> 23), m = std::bit_cast<float>((bits & 0x7fffff) + 0x3f3504f3);
  const float t = (m - 1) / (m + 1), t2 = t * t;
  const float series = 1 + t2 * (1.0f / 3 + t2 * (1.0f / 5 + t2 * (1.0f / 7 + t2 / 9)));
  return n * 0.693147181f + 2 * t * series;
}

template <typename T>
T sigmoid(T x) {
  return 1 / (1 + exp_of(-x));
}

// Kusupati et al. 2020:   w' = sign(w) relu(|w| - t)
template <typename T>
T soft_threshold(T w, T t) {
  return std::copysign(std::max(std::abs(w) - t, T{0}), w);
}
// dw'/dt; dw'/dw is its absolute value.
template <typename T>
T soft_threshold_slope(T w, T t) {
  return std::abs(w) > t ? std::copysign(T{1}, -w) : T{0};
}

// Louizos et al. 2018:   s = sigmoid((logit u + log alpha) / beta)   z = min(1, max(0, s (zeta - gamma) + gamma))
struct HardConcrete {
  static constexpr double beta = 2.0 / 3, gamma = -0.1, zeta = 1.1;

  // The gate is shut up to x = -edge and wide open from x = edge, x being what sigmoid is taken of.
  static constexpr double edge = 2.3978952727983707;  // logit(zeta / (zeta - gamma)) = log 11
  // P(z != 0) = sigmoid(log alpha - shift)
  static constexpr double shift = -beta * edge;  // beta log(-gamma / zeta)

  template <typename T>
  struct Gate {
    T z, slope;  // slope: dz / d log alpha
  };
  template <typename T>
  static Gate<T> sample(T log_alpha, T logit_u) {
    const T x = (logit_u + log_alpha) / static_cast<T>(beta);
    const T s = sigmoid(x), width = static_cast<T>(zeta - gamma), stretched = s * width + static_cast<T>(gamma);
    const T z = std::min(std::max(stretched, T{0}), T{1});
    return {z, z == stretched ? width * s * (1 - s) / static_cast<T>(beta) : T{0}};
  }
  // For evaluation: without noise and without beta.
  template <typename T>
  static T gate(T log_alpha) {
    return std::clamp(sigmoid(log_alpha) * static_cast<T>(zeta - gamma) + static_cast<T>(gamma), T{0}, T{1});
  }
  template <typename T>
  static T open(T log_alpha) {
    return sigmoid(log_alpha - static_cast<T>(shift));
  }
};

// Molchanov et al. 2017: KL from the posterior N(theta, alpha theta^2) to the log-uniform prior, but for a constant,
//   KL = -k1 sigmoid(k2 + k3 log alpha) + log(1 + 1 / alpha) / 2
struct VariationalKl {
  static constexpr double k1 = 0.63576, k2 = 1.87320, k3 = 1.48695;

  template <typename T>
  static T value(T log_alpha) {
    return -static_cast<T>(k1) * sigmoid(static_cast<T>(k2) + static_cast<T>(k3) * log_alpha) +
           std::log1p(std::exp(-log_alpha)) / 2;
  }
  // dKL / d log alpha
  template <typename T>
  static T slope(T log_alpha) {
    const T s = sigmoid(static_cast<T>(k2) + static_cast<T>(k3) * log_alpha);
    return -static_cast<T>(k1 * k3) * s * (1 - s) - sigmoid(-log_alpha) / 2;
  }
};

// From 64 random bits, without a logarithm or a cosine: the sum of four uniforms, with mean 0 and variance 1. Close to
// normal out to its ends at +-3.46.
template <typename T>
T nearly_normal(std::uint64_t bits) {
  const std::uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
  constexpr T middle = 2 * 65535, deviation = static_cast<T>(37837.22784);  // sqrt(4 (2^32 - 1) / 12)
  return (static_cast<T>(static_cast<std::int32_t>(sum)) - middle) / deviation;
}

}  // namespace espalier
