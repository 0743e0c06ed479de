// The three products over patches as their definitions read, one number at a time.
#pragma once

#include "espalier/core/window.h"
#include "reference/products.h"

namespace espalier::reference {

// body(o, c, y, x, i, j, at): output (o, y, x) reads input (c, i, j) through the weight at this place in W's arrays.
template <typename Body>
void for_each_tap(const Parameter& W, const Window& w, const Shape& X, const Shape& Y, Body&& body) {
  const Index out_per_group = Y[0] / w.groups, in_per_group = X[0] / w.groups;
  W.for_each_weight([&](Index o, Index column, Index at) {
    const Index c = o / out_per_group * in_per_group + column / w.taps(), ky = column % w.taps() / w.kernel_width,
                kx = column % w.kernel_width;
    for (Index y = 0; y < Y[1]; ++y)
      for (Index x = 0; x < Y[2]; ++x) {
        const Index i = y * w.stride + ky - w.padding_height, j = x * w.stride + kx - w.padding_width;
        if (i >= 0 && i < X[1] && j >= 0 && j < X[2])
          body((o * Y[1] + y) * Y[2] + x, (c * X[1] + i) * X[2] + j, o, column, at);
      }
  });
}

inline Matrix convolve(const Parameter& W, const Window& w, const Tensor& X, const Shape& y) {
  Matrix Y(y.features(), X.valid());
  for_each_tap(W, w, X.shape(), y, [&](Index out, Index in, Index, Index, Index at) {
    for (Index lane = 0; lane < X.valid(); ++lane) Y.at(out, lane).add(Wide{W.value()[at]} * X.row(in)[lane]);
  });
  return Y;
}

inline Matrix convolve_transposed(const Parameter& W, const Window& w, const Tensor& dY, const Shape& x) {
  Matrix dX(x.features(), dY.valid());
  for_each_tap(W, w, x, dY.shape(), [&](Index out, Index in, Index, Index, Index at) {
    for (Index lane = 0; lane < dY.valid(); ++lane) dX.at(in, lane).add(Wide{W.value()[at]} * dY.row(out)[lane]);
  });
  return dX;
}

inline Matrix convolve_outer(const Parameter& W, const Window& w, const Tensor& dY, const Tensor& X) {
  Matrix G(W.rows(), W.cols());
  for_each_tap(W, w, X.shape(), dY.shape(), [&](Index out, Index in, Index o, Index column, Index) {
    for (Index lane = 0; lane < X.valid(); ++lane) G.at(o, column).add(Wide{dY.row(out)[lane]} * X.row(in)[lane]);
  });
  return G;
}

}  // namespace espalier::reference
