// Pooling, one channel at a time.
#pragma once

#include <cstdint>

#include "espalier/core/kernels/planes.h"

namespace espalier::kernels {

// Square windows on a plane of [height, width] pixels inside `padding` more, `stride` pixels apart.
struct Windows {
  Index kernel, stride, padding;
  Index height, width, out_height, out_width;
  Index lanes;
};

// Y[oy, ox] = max of X over the window; padding never wins, a NaN always does.
// winner[(oy * out_width + ox) * lanes + lane] = place of the first such pixel in the window, row-major; null: not kept
void max_pool(const Windows& windows, ConstPlane X, Plane Y, std::uint8_t* winner);
// dX = or +=  dY at the winners, 0 elsewhere          dY: without halo
void max_pool_backward(const Windows& windows, const std::uint8_t* winner, const Real* dY, Plane dX, bool add);
// Y[oy, ox] = sum of X over the window / kernel^2, padding counting as zeros
void average_pool(const Windows& windows, ConstPlane X, Plane Y);
// dX = or +=  sum over the windows that hold the pixel of dY / kernel^2          dY: without halo
void average_pool_backward(const Windows& windows, const Real* dY, Plane dX, bool add);
// y[lane] = mean over the pixels of X[pixel, lane]
void mean_of_pixels(const Pixels& pixels, ConstPlane X, Real* y);
// dX[pixel, lane] = or +=  dy[lane] / number of pixels
void mean_of_pixels_backward(const Pixels& pixels, const Real* dy, Plane dX, bool add);

}  // namespace espalier::kernels
