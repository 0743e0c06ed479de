// Where number (c, y, x, lane) of an image tensor stands, counted from the beginning of its buffer: the formula of the
// bordered array [C, H + 2 halo, W + 2 halo, lanes], written out.
#pragma once

#include "espalier/core/tensor.h"

namespace espalier::reference {

inline Index position_in_buffer(const Shape& image, const Lanes& lanes, const Halo& halo, Index c, Index y, Index x,
                                Index lane) {
  const Index height = image[1] + 2 * halo.height, width = image[2] + 2 * halo.width;
  return ((c * height + (y + halo.height)) * width + (x + halo.width)) * lanes.count + lane;
}

}  // namespace espalier::reference
