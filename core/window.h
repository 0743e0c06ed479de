// Windows and sweeps: the geometry of convolutions, worked out once, so that kernels know nothing of strides, padding
// or transposition.
//
// A convolution's weights are a matrix W: [out channels, in channels / groups * taps]; tap t = ky * kernel_width + kx.
//
//   Y[o, y, x]  = sum over c, ky, kx   W[o, c, ky, kx]  X[c, y s + ky - p, x s + kx - p]
//   dX[c, i, j] = sum over o, ky, kx   W[o, c, ky, kx] dY[o, (i + p - ky) / s, (j + p - kx) / s]    where that divides
//
// Both are sweeps: for a regular grid of pixels of the result, sums of weights times pixels at fixed offsets. The first
// is one sweep. The second is s * s of them, one for each remainder of (i + p, j + p) by the stride s, with the taps
// that have the same remainder.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>
#include <vector>

#include "espalier/core/tensor.h"

namespace espalier {

struct Window {
  Index kernel_height = 1, kernel_width = 1;
  Index stride = 1;  // in both directions
  Index padding_height = 0, padding_width = 0;
  Index groups = 1;  // output channels of group g read the input channels of group g only

  Index taps() const { return kernel_height * kernel_width; }
  // The zero border that a convolution wants around what it reads.
  Halo padding() const { return {padding_height, padding_width}; }
  auto operator<=>(const Window&) const = default;
};

// What step t of a convolution over time looks at: `kernel` steps of a sequence, from step t stride - padding on.
// Beyond both ends there are zeros.
struct TimeWindow {
  Index kernel = 1, stride = 1, padding = 0;
};

// [channels, H', W'] for input [C, H, W]. Throws UsageError, "[operation] layer: ..." with the shapes, unless the input
// is an image whose channels divide by the groups and the output has at least one pixel.
Shape output_shape(const Window& window, const Shape& input, Index channels, std::string_view operation,
                   std::string_view layer);

// The halo that dY must have for the gradient of the input to be computed without tests for edges.
Halo gradient_halo(const Window& window, const Shape& x, const Shape& y);

// A regular grid of pixels: (y, x) lies at first + y * row + x * step, in pixels from the first pixel of the channel.
struct Grid {
  Index first = 0, row = 0, step = 1;
};

// result[r, out(y, x)] = sum over taps and channels c of   weight * operand[c, in(y, x) + offset[tap]]
struct Sweep {
  Index height = 0, width = 0;  // of the grid
  Grid out, in;
  Index in_line = 0;                  // the operand's line that the grid's first line reads at an offset of no lines
  Index out_plane = 0, in_plane = 0;  // pixels from one channel to the next
  std::vector<Index> tap;             // which of the window's taps take part
  std::vector<Index> offset;          // of each of them, in pixels
  Index reach = 0;                    // the largest offset: where a sweep meets pixels it has not read before
};

// An image in memory: its shape and what lies around it.
struct Frame {
  Index channels = 0, height = 0, width = 0, halo_height = 0, halo_width = 0;
  explicit Frame(const Tensor& image);
  Index pitch() const { return width + 2 * halo_width; }
  Index plane() const { return (height + 2 * halo_height) * pitch(); }
  auto operator<=>(const Frame&) const = default;
};

// Which convolution, on which images. Everything that is derived from the geometry is kept under this key.
struct Convolution {
  Window window;
  Frame operand, result;  // forward: X and Y; transposed: dY and dX
  bool transposed = false;
  auto operator<=>(const Convolution&) const = default;
};

// One for the forward convolution; for the transposed one up to stride * stride: those without taps are left out, for
// nothing is ever added to their pixels of dX. Worked out once for each geometry, from any thread, and kept for good.
const std::vector<Sweep>& sweeps_of(const Convolution& convolution);

}  // namespace espalier
