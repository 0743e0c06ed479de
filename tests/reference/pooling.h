// Pooling by its definition, one number at a time.
#pragma once

#include <cmath>
#include <vector>

#include "espalier/core/tensor.h"
#include "espalier/layers/pooling.h"

namespace espalier::reference {

// The pixels of the window at output pixel (oy, ox) of channel c, in row-major order, padding left out.
inline std::vector<Index> window_of(const Shape& input, const PoolOptions& o, Index c, Index oy, Index ox) {
  std::vector<Index> pixels;
  const Index stride = o.stride ? o.stride : o.kernel;
  for (Index ky = 0; ky < o.kernel; ++ky)
    for (Index kx = 0; kx < o.kernel; ++kx) {
      const Index y = oy * stride - o.padding + ky, x = ox * stride - o.padding + kx;
      if (y >= 0 && y < input[1] && x >= 0 && x < input[2]) pixels.push_back((c * input[1] + y) * input[2] + x);
    }
  return pixels;
}

// The first NaN, else the first of the largest.
inline Index winner_of(const Tensor& x, const std::vector<Index>& pixels, Index lane) {
  Index best = pixels.front();
  for (const Index pixel : pixels) {
    if (std::isnan(x.row(best)[lane])) break;
    if (std::isnan(x.row(pixel)[lane]) || x.row(pixel)[lane] > x.row(best)[lane]) best = pixel;
  }
  return best;
}

}  // namespace espalier::reference
