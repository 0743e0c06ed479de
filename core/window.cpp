#include "espalier/core/window.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <mutex>

#include "espalier/core/error.h"

namespace espalier {
namespace {

Index floor_divided(Index a, Index b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

Index ceil_divided(Index a, Index b) {
  return -floor_divided(-a, b);
}

// One direction of one transposed sweep: i + padding = stride * q + remainder for first <= q <= last, 0 <= i < extent.
struct Phase {
  Index remainder, first, last, taps;  // taps: how many of the kernel's have this remainder
  Index count() const { return last - first + 1; }
};

Phase phase_of(Index remainder, Index kernel, Index stride, Index padding, Index extent) {
  return {.remainder = remainder,
          .first = ceil_divided(padding - remainder, stride),
          .last = floor_divided(extent - 1 + padding - remainder, stride),
          .taps = remainder < kernel ? (kernel - remainder + stride - 1) / stride : 0};
}

// How far outside [0, extent of dY) the taps reach in one direction.
Index overhang(Index kernel, Index stride, Index padding, Index x_extent, Index y_extent) {
  Index most = 0;
  for (Index remainder = 0; remainder < stride; ++remainder) {
    const Phase phase = phase_of(remainder, kernel, stride, padding, x_extent);
    if (phase.taps == 0 || phase.count() <= 0) continue;
    most = std::max({most, -(phase.first - (phase.taps - 1)), phase.last - (y_extent - 1)});
  }
  return most;
}

Sweep forward_sweep(const Window& w, const Frame& x, const Frame& y) {
  assert(x.halo_height >= w.padding_height && x.halo_width >= w.padding_width);
  Sweep sweep{.height = y.height,
              .width = y.width,
              .out = {.first = 0, .row = y.pitch(), .step = 1},
              .in = {.first = 0, .row = w.stride * x.pitch(), .step = w.stride},
              .out_plane = y.plane(),
              .in_plane = x.plane()};
  for (Index ky = 0; ky < w.kernel_height; ++ky)
    for (Index kx = 0; kx < w.kernel_width; ++kx) {
      sweep.tap.push_back(ky * w.kernel_width + kx);
      sweep.offset.push_back((ky - w.padding_height) * x.pitch() + kx - w.padding_width);
    }
  sweep.reach = *std::ranges::max_element(sweep.offset);
  return sweep;
}

std::vector<Sweep> transposed_sweeps(const Window& w, const Frame& dy, const Frame& dx) {
  std::vector<Sweep> sweeps;
  for (Index a = 0; a < w.stride; ++a)
    for (Index b = 0; b < w.stride; ++b) {
      const Phase rows = phase_of(a, w.kernel_height, w.stride, w.padding_height, dx.height),
                  columns = phase_of(b, w.kernel_width, w.stride, w.padding_width, dx.width);
      if (rows.taps == 0 || columns.taps == 0 || rows.count() <= 0 || columns.count() <= 0) continue;
      const Index top = w.stride * rows.first + a - w.padding_height,
                  left = w.stride * columns.first + b - w.padding_width;
      Sweep sweep{.height = rows.count(),
                  .width = columns.count(),
                  .out = {.first = top * dx.pitch() + left, .row = w.stride * dx.pitch(), .step = w.stride},
                  .in = {.first = rows.first * dy.pitch() + columns.first, .row = dy.pitch(), .step = 1},
                  .in_line = rows.first,
                  .out_plane = dx.plane(),
                  .in_plane = dy.plane()};
      for (Index ky = a; ky < w.kernel_height; ky += w.stride)
        for (Index kx = b; kx < w.kernel_width; kx += w.stride) {
          sweep.tap.push_back(ky * w.kernel_width + kx);
          sweep.offset.push_back(-(ky / w.stride) * dy.pitch() - kx / w.stride);
        }
      sweep.reach = *std::ranges::max_element(sweep.offset);
      sweeps.push_back(std::move(sweep));
    }
  return sweeps;
}

}  // namespace

Shape output_shape(const Window& w, const Shape& input, Index channels, std::string_view operation,
                   std::string_view layer) {
  require(w.kernel_height >= 1 && w.kernel_width >= 1 && w.stride >= 1 && w.padding_height >= 0 &&
              w.padding_width >= 0 && w.groups >= 1,
          "[{}] {}: expected a kernel and stride of at least 1 and no negative padding, got {} x {}, stride {}, "
          "padding {} x {}",
          operation, layer, w.kernel_height, w.kernel_width, w.stride, w.padding_height, w.padding_width);
  require(input.rank() == 3, "[{}] {}: expected an image [C, H, W], got {}", operation, layer, input.text());
  require(input[0] % w.groups == 0 && channels % w.groups == 0,
          "[{}] {}: expected channels that {} groups divide, got {} in and {} out", operation, layer, w.groups,
          input[0], channels);
  const Index height = input[1] + 2 * w.padding_height - w.kernel_height,
              width = input[2] + 2 * w.padding_width - w.kernel_width;
  require(
      height >= 0 && width >= 0,
      "[{}] {}: expected an image of at least {} x {} with its padding of {} x {}, got {}: the output would be empty",
      operation, layer, w.kernel_height, w.kernel_width, w.padding_height, w.padding_width, input.text());
  return {channels, height / w.stride + 1, width / w.stride + 1};
}

Halo gradient_halo(const Window& w, const Shape& x, const Shape& y) {
  return {overhang(w.kernel_height, w.stride, w.padding_height, x[1], y[1]),
          overhang(w.kernel_width, w.stride, w.padding_width, x[2], y[2])};
}

Frame::Frame(const Tensor& image)
    : channels(image.shape()[0]),
      height(image.shape()[1]),
      width(image.shape()[2]),
      halo_height(image.halo().height),
      halo_width(image.halo().width) {}

const std::vector<Sweep>& sweeps_of(const Convolution& c) {
  static std::mutex mutex;
  static std::map<Convolution, std::vector<Sweep>> kept;  // its nodes stay where they are
  const std::lock_guard lock(mutex);
  const auto found = kept.find(c);
  if (found != kept.end()) return found->second;
  return kept
      .emplace(c, c.transposed ? transposed_sweeps(c.window, c.operand, c.result)
                               : std::vector{forward_sweep(c.window, c.operand, c.result)})
      .first->second;
}

}  // namespace espalier
