// The formulas of learnt sparsity, one weight at a time: what methods/str.cpp, l0.cpp and variational.cpp do to arrays,
// and what their tests differentiate.
#pragma once

#include <algorithm>
#include <cmath>

namespace espalier {

template <typename T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
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
    return stretched(sigmoid((logit_u + log_alpha) / static_cast<T>(beta)));
  }
  // The same from s.
  template <typename T>
  static Gate<T> stretched(T s) {
    const T width = static_cast<T>(zeta - gamma), z = s * width + static_cast<T>(gamma);
    const T slope = width * s * (1 - s) / static_cast<T>(beta);
    return {std::min(std::max(z, T{0}), T{1}), z > 0 && z < 1 ? slope : T{0}};
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
    return -static_cast<T>(k1) * sigmoid(place(log_alpha)) + std::log1p(std::exp(-log_alpha)) / 2;
  }
  // dKL / d log alpha
  template <typename T>
  static T slope(T log_alpha) {
    return slope(sigmoid(place(log_alpha)), sigmoid(-log_alpha));
  }
  // The same from its two sigmoids.
  template <typename T>
  static T slope(T s, T certain) {
    return -static_cast<T>(k1 * k3) * s * (1 - s) - certain / 2;
  }
  template <typename T>
  static T place(T log_alpha) {
    return static_cast<T>(k2) + static_cast<T>(k3) * log_alpha;
  }
};

}  // namespace espalier
