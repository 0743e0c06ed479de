// The three products as their definitions read, one number at a time, in a wider type than Real. Beside every result
// stands the sum of the magnitudes of its terms: rounding errors are proportional to it.
#pragma once

#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include "espalier/core/products.h"

namespace espalier::reference {

using Wide = std::conditional_t<sizeof(Real) == sizeof(float), double, long double>;

struct Sum {
  Wide value = 0, magnitude = 0;
  void add(Wide term) {
    value += term;
    magnitude += std::abs(term);
  }
};

struct Matrix {
  Index rows, cols;
  std::vector<Sum> sums;
  Matrix(Index r, Index c) : rows(r), cols(c), sums(static_cast<std::size_t>(r * c)) {}
  Sum& at(Index r, Index c) { return sums[r * cols + c]; }
  const Sum& at(Index r, Index c) const { return sums[r * cols + c]; }
};

// Y[r, lane] = sum over c of W[r, c] X[c, lane]        valid lanes only
inline Matrix multiply(const Parameter& W, const Tensor& X) {
  Matrix Y(W.rows(), X.valid());
  W.for_each_weight([&](Index r, Index c, Index at) {
    for (Index lane = 0; lane < X.valid(); ++lane) Y.at(r, lane).add(Wide{W.value()[at]} * X.row(c)[lane]);
  });
  return Y;
}

// dX[c, lane] = sum over r of W[r, c] dY[r, lane]
inline Matrix multiply_transposed(const Parameter& W, const Tensor& dY) {
  Matrix dX(W.cols(), dY.valid());
  W.for_each_weight([&](Index r, Index c, Index at) {
    for (Index lane = 0; lane < dY.valid(); ++lane) dX.at(c, lane).add(Wide{W.value()[at]} * dY.row(r)[lane]);
  });
  return dX;
}

// G[r, c] = sum over pairs and valid lanes of dY[r, lane] X[c, lane], for live weights; the others stay zero
inline Matrix outer(const Parameter& W, std::span<const OuterPair> pairs) {
  Matrix G(W.rows(), W.cols());
  W.for_each_weight([&](Index r, Index c, Index) {
    Sum sum;  // most of the time of all tests is spent here
    for (const auto& [dY, X] : pairs) {
      const Real *dy = dY->row(r), *x = X->row(c);
      for (Index lane = 0; lane < X->valid(); ++lane) sum.add(Wide{dy[lane]} * x[lane]);
    }
    G.at(r, c) = sum;
  });
  return G;
}

inline Wide activate(Activation f, Wide z) {
  switch (f) {
    case Activation::relu:
      return z > 0 ? z : 0;
    case Activation::tanh:
      return std::tanh(z);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-z));
    case Activation::none:
      break;
  }
  return z;
}

}  // namespace espalier::reference
