// A tensor as planes, the way the kernels of images want it: [C, H, W] is C planes of H x W pixels, and [F] is F planes
// of one pixel.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "espalier/core/kernels/planes.h"
#include "espalier/core/tensor.h"

namespace espalier {

inline Index channels_of(const Shape& shape) {
  return shape[0];
}
inline Index height_of(const Shape& shape) {
  return shape.rank() == 3 ? shape[1] : 1;
}
inline Index width_of(const Shape& shape) {
  return shape.rank() == 3 ? shape[2] : 1;
}

inline Index pitch_of(const Tensor& x) {
  return (width_of(x.shape()) + 2 * x.halo().width) * x.stride();
}
inline kernels::Plane plane(Tensor& x, Index channel) {
  return {x.row(channel * height_of(x.shape()) * width_of(x.shape())), pitch_of(x)};
}
inline kernels::ConstPlane plane(const Tensor& x, Index channel) {
  return {x.row(channel * height_of(x.shape()) * width_of(x.shape())), pitch_of(x)};
}

// The pixels of tensors of one shape that are gone through in step: a plane is a single line if none has a halo.
inline kernels::Pixels pixels_of(std::initializer_list<const Tensor*> tensors) {
  const Tensor& x = **tensors.begin();
  const Index height = height_of(x.shape()), width = width_of(x.shape());
  const bool halo = std::ranges::any_of(tensors, [](const Tensor* t) { return !t->halo().none(); });
  return {.lines = halo ? height : 1, .line = halo ? width : height * width, .lanes = x.lanes(), .valid = x.valid()};
}

}  // namespace espalier
