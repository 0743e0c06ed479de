// Images, one channel at a time: what pooling and normalisation are given.
#pragma once

#include "espalier/core/real.h"

namespace espalier::kernels {

// A channel is a plane of pixels, each a row of `lanes` numbers. The pixels of a line lie side by side; the next line
// begins `pitch` numbers further, which is more than a line where the tensor has a halo.
struct Plane {
  Real* begin;
  Index pitch;
};
struct ConstPlane {
  ConstPlane(const Real* first, Index distance) : begin(first), pitch(distance) {}
  ConstPlane(Plane plane) : begin(plane.begin), pitch(plane.pitch) {}
  const Real* begin;
  Index pitch;
};
// What planes that go through a kernel in step have in common.
struct Pixels {
  Index lines, line;  // pixels of a line
  Index lanes, valid;
  Index values() const { return lines * line * valid; }
};

}  // namespace espalier::kernels
