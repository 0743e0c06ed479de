// What a sample does with itself, as the definitions read: one lane, one number at a time, in a wider type than Real.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/products.h"

namespace espalier::reference {

using Numbers = std::vector<Wide>;

struct Normal {
  Numbers y, normal;  // gamma x^ + beta, and x^
  Wide r;             // 1 / sqrt(variance + epsilon)
};

inline Normal layer_norm(const Numbers& x, const Numbers& gamma, const Numbers& beta, Wide epsilon) {
  const auto n = static_cast<Wide>(x.size());
  Wide mean = 0, variance = 0;
  for (const Wide v : x) mean += v / n;
  for (const Wide v : x) variance += (v - mean) * (v - mean) / n;
  Normal result{.y = {}, .normal = {}, .r = 1 / std::sqrt(variance + epsilon)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    result.normal.push_back((x[i] - mean) * result.r);
    result.y.push_back(gamma[i] * result.normal[i] + beta[i]);
  }
  return result;
}

// The Jacobian written out: dy_i / dx_j = gamma_i r (delta_ij - 1/n - x^_i x^_j / n)
inline Numbers layer_norm_backward(const Normal& at, const Numbers& gamma, const Numbers& dy) {
  const std::size_t n = dy.size();
  Numbers dx(n, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      dx[j] += dy[i] * gamma[i] * at.r *
               (static_cast<Wide>(i == j) - (1 + at.normal[i] * at.normal[j]) / static_cast<Wide>(n));
  return dx;
}

inline Numbers softmax(const Numbers& s) {
  const Wide highest = std::ranges::max(s);
  Wide sum = 0;
  Numbers p;
  for (const Wide v : s) sum += std::exp(v - highest);
  for (const Wide v : s) p.push_back(std::exp(v - highest) / sum);
  return p;
}

// dp_i / ds_j = p_i (delta_ij - p_j)
inline Numbers softmax_backward(const Numbers& p, const Numbers& dp) {
  Numbers ds(p.size(), 0);
  for (std::size_t i = 0; i < p.size(); ++i)
    for (std::size_t j = 0; j < p.size(); ++j) ds[j] += dp[i] * p[i] * (static_cast<Wide>(i == j) - p[j]);
  return ds;
}

// One head of attention: vectors of d numbers, causal: s <= t only.
using Rows = std::vector<Numbers>;

inline Wide dot(const Numbers& a, const Numbers& b) {
  Wide sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return sum;
}

inline Rows attention(const Rows& q, const Rows& k, const Rows& v, bool causal) {
  Rows o;
  for (std::size_t t = 0; t < q.size(); ++t) {
    Numbers scores, mixed(v[0].size(), 0);
    for (std::size_t s = 0; s < (causal ? t + 1 : q.size()); ++s)
      scores.push_back(dot(q[t], k[s]) / std::sqrt(static_cast<Wide>(q[t].size())));
    const Numbers p = softmax(scores);
    for (std::size_t s = 0; s < p.size(); ++s)
      for (std::size_t j = 0; j < mixed.size(); ++j) mixed[j] += p[s] * v[s][j];
    o.push_back(mixed);
  }
  return o;
}

}  // namespace espalier::reference
