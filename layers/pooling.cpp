#include "espalier/layers/pooling.h"

#include "espalier/core/error.h"
#include "espalier/core/kernels/pooling.h"
#include "espalier/layers/image.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {
namespace {

constexpr Index largest_kernel = 15;  // 15 * 15 places fit into a byte

PoolOptions checked(PoolOptions o) {
  require(o.kernel >= 1 && o.kernel <= largest_kernel, "[pool] {}: expected a kernel of 1 to {}, got {}", o.name,
          largest_kernel, o.kernel);
  require(o.stride >= 0, "[pool] {}: expected a stride of at least 1, or 0 for the kernel's, got {}", o.name, o.stride);
  require(o.padding >= 0 && o.padding <= o.kernel / 2,
          "[pool] {}: expected a padding of at most half the kernel of {}, got {}", o.name, o.kernel, o.padding);
  if (o.stride == 0) o.stride = o.kernel;
  return o;
}

kernels::Windows windows_of(const Tensor& x, const Tensor& y, const PoolOptions& o) {
  return {.kernel = o.kernel,
          .stride = o.stride ? o.stride : o.kernel,
          .padding = o.padding,
          .height = x.shape()[1],
          .width = x.shape()[2],
          .out_height = y.shape()[1],
          .out_width = y.shape()[2],
          .lanes = x.lanes()};
}

OnnxAttributes attributes_of(const PoolOptions& o) {
  return {{"kernel_shape", std::vector{o.kernel, o.kernel}},
          {"strides", std::vector{o.stride, o.stride}},
          {"pads", std::vector{o.padding, o.padding, o.padding, o.padding}}};
}

}  // namespace

Shape pooled_shape(const Shape& input, const PoolOptions& o) {
  require(input.rank() == 3, "[pool] {}: expected an image [C, H, W], got {}", o.name, input.text());
  const Index stride = o.stride ? o.stride : o.kernel;
  const auto windows = [&](Index extent) {
    const Index room = extent + 2 * o.padding - o.kernel;
    require(room >= 0, "[pool] {}: expected an image that holds a window of {} x {} with padding {}, got {}", o.name,
            o.kernel, o.kernel, o.padding, input.text());
    return room / stride + 1;
  };
  return {input[0], windows(input[1]), windows(input[2])};
}

Var max_pool(const Var& x, const PoolOptions& options, Halo halo) {
  Tape& tape = x.tape();
  Tensor y = tape.make(pooled_shape(x.shape(), options), halo);
  const kernels::Windows windows = windows_of(x.value(), y, options);
  // The winner of each window is all that the way back needs: a byte where x is sizeof(Real) stride^2.
  const bool recorded = tape.options().mode != Mode::inference;
  const Index plane_bytes = windows.out_height * windows.out_width * windows.lanes;
  Bytes winners = recorded ? tape.make_bytes(y.shape()[0] * plane_bytes) : Bytes{};
  const auto winner = [plane_bytes](Bytes& of, Index c) { return of ? of.data() + c * plane_bytes : nullptr; };
  // y[c, oy, ox] = max over ky, kx of x[c, oy stride - padding + ky, ox stride - padding + kx]
  for (Index c = 0; c < y.shape()[0]; ++c)
    kernels::max_pool(windows, plane(x.value(), c), plane(y, c), winner(winners, c));
  return tape.record({.operation = "max_pool", .inputs = {x}}, y,
                     [x, windows, winners, winner](Tape& t, Tensor& dY) mutable {
                       // dX[winner] += dY
                       if (const auto dX = t.image_gradient_of(x))
                         for (Index c = 0; c < dY.shape()[0]; ++c)
                           kernels::max_pool_backward(windows, winner(winners, c), plane(dY, c).begin,
                                                      plane(*dX->tensor, c), dX->write == Write::add);
                     });
}

Var average_pool(const Var& x, const PoolOptions& options, Halo halo) {
  Tape& tape = x.tape();
  Tensor y = tape.make(pooled_shape(x.shape(), options), halo);
  const kernels::Windows windows = windows_of(x.value(), y, options);
  // y[c, oy, ox] = sum over ky, kx of x[c, oy stride - padding + ky, ox stride - padding + kx] / kernel^2
  for (Index c = 0; c < y.shape()[0]; ++c) kernels::average_pool(windows, plane(x.value(), c), plane(y, c));
  return tape.record({.operation = "average_pool", .inputs = {x}}, y, [x, windows](Tape& t, Tensor& dY) {
    // dX[every pixel of the window] += dY / kernel^2
    if (const auto dX = t.image_gradient_of(x))
      for (Index c = 0; c < dY.shape()[0]; ++c)
        kernels::average_pool_backward(windows, plane(dY, c).begin, plane(*dX->tensor, c), dX->write == Write::add);
  });
}

Var global_average_pool(const Var& x) {
  Tape& tape = x.tape();
  Tensor y = tape.make({channels_of(x.shape())});
  // y[c] = mean over h, w of x[c, h, w]
  for (Index c = 0; c < y.features(); ++c)
    kernels::mean_of_pixels(pixels_of({&x.value()}), plane(x.value(), c), y.row(c));
  return tape.record({.operation = "global_average_pool", .inputs = {x}}, y, [x](Tape& t, Tensor& dY) {
    // dX[c, h, w] = dY[c] / (H W)
    if (const auto dX = t.image_gradient_of(x))
      for (Index c = 0; c < dY.features(); ++c)
        kernels::mean_of_pixels_backward(pixels_of({dX->tensor}), dY.row(c), plane(*dX->tensor, c),
                                         dX->write == Write::add);
  });
}

MaxPool::MaxPool(PoolOptions options) : options_(checked(std::move(options))) {}
AveragePool::AveragePool(PoolOptions options) : options_(checked(std::move(options))) {}

Shape GlobalAveragePool::output_shape(const Shape& input) const {
  require(input.rank() == 3, "[pool] {}: expected an image [C, H, W], got {}", name_, input.text());
  return {input[0]};
}

OnnxValue MaxPool::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  return graph.add("MaxPool", name(), {x.name}, output_shape(x.shape), attributes_of(options_));
}

OnnxValue AveragePool::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  OnnxAttributes attributes = attributes_of(options_);
  attributes["count_include_pad"] = 1;
  return graph.add("AveragePool", name(), {x.name}, output_shape(x.shape), attributes);
}

// [C, H, W] -> [C, 1, 1] -> [C]
OnnxValue GlobalAveragePool::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  return graph.flatten(name_, graph.add("GlobalAveragePool", name_, {x.name}, {x.shape[0], 1, 1}));
}

}  // namespace espalier
