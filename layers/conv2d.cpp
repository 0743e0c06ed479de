#include "espalier/layers/conv2d.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/normalise.h"
#include "espalier/core/kernels/pooling.h"
#include "espalier/layers/image.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {
namespace {

// Lines of an image that are computed before the next step is taken on them: they are then still in L2.
constexpr Index lines_at_once = 4;

template <typename Body>
void for_bands(Index height, Body&& body) {
  for (Index y = 0; y < height; y += lines_at_once) body(Lines{y, std::min(height, y + lines_at_once)});
}

// x in a halo of at least the window's padding.
Tensor padded(Tape& tape, const Tensor& x, const Window& w) {
  const bool enough = x.halo().height >= w.padding_height && x.halo().width >= w.padding_width;
  return enough ? x : tape.with_halo(x, w.padding());
}

Shape convolved_shape(const Var& x, const Parameter& W, const Window& w) {
  const Shape shape = output_shape(w, x.shape(), W.rows(), "conv2d", W.name());
  require(W.cols() == x.shape()[0] / w.groups * w.taps(), "[conv2d] {}: expected {} input channels, got {}", W.name(),
          W.cols() / w.taps() * w.groups, x.shape().text());
  return shape;
}

kernels::Pixels pixels_in(const Tensor& image, Lines lines) {
  return {lines.last - lines.first, image.shape()[2], image.lanes(), image.valid()};
}

Real* line_of(Tensor& image, Index channel, Index y) {
  return image.row((channel * image.shape()[1] + y) * image.shape()[2]);
}
const Real* line_of(const Tensor& image, Index channel, Index y) {
  return image.row((channel * image.shape()[1] + y) * image.shape()[2]);
}

// dY *= f'(Y) on some lines; sums[c] += sum over their pixels and valid lanes of dY[c]
void differentiate_lines(Activation f, const Tensor& Y, Tensor& dY, Lines lines, Real* sums) {
  for (Index c = 0; c < Y.shape()[0]; ++c)
    sums[c] +=
        static_cast<Real>(kernels::activate_backward(f, pixels_in(Y, lines), {line_of(Y, c, lines.first), pitch_of(Y)},
                                                     {line_of(dY, c, lines.first), pitch_of(dY)}));
}

// What is left to do when dZ, the gradient before the activation, is there: dX = W' * dZ.
void owe_input(Tape& t, const Var& x, const Parameter& W, const Window& w, const Tensor& dZ) {
  const auto dX = t.image_gradient_of(x);
  if (!dX) return;
  convolve_transposed(W, w, t.with_halo(dZ, gradient_halo(w, x.shape(), dZ.shape())), *dX->tensor, dX->write);
}

}  // namespace

Var conv2d(const Var& x, const Parameter& W, const Parameter* b, const Window& w, Activation f, Halo halo) {
  Tape& tape = x.tape();
  const Tensor X = padded(tape, x.value(), w);
  const Shape shape = convolved_shape(x, W, w);
  Tensor y = tape.make(shape, halo);
  convolve(W, w, X, y, {0, shape[1]}, {.bias = b, .activation = f});
  return tape.record({.operation = "conv2d",
                      .inputs = {x},
                      .parameters = {&W, b},
                      .reads = {{&W, Patches{w}}},
                      .gradient_halo = gradient_halo(w, x.shape(), shape)},
                     y, [x, X, y, &W, b, w, f](Tape& t, Tensor& dY) {
                       Tensor db = t.make_numbers(W.rows()), dW = t.make_numbers(static_cast<Index>(W.value().size()));
                       db.fill(0), dW.fill(0);
                       for_bands(y.shape()[1], [&](Lines lines) {
                         // dZ = dY f'(Z), in place;  db = sum over samples and pixels of dZ;  dW = dZ X'
                         differentiate_lines(f, y, dY, lines, db.data());
                         convolve_outer(W, w, dY, X, lines, std::span(dW.data(), W.value().size()));
                       });
                       t.owe(std::move(dW), W);
                       if (b) t.owe(std::move(db), *b);
                       owe_input(t, x, W, w, dY);
                     });
}

Var conv2d_max_pool(const Var& x, const Parameter& W, const Parameter* b, const Window& w, Activation f, Halo halo) {
  Tape& tape = x.tape();
  const Tensor X = padded(tape, x.value(), w);
  const Shape shape = convolved_shape(x, W, w), pooled{shape[0], shape[1] / 2, shape[2] / 2};
  Tensor y = tape.make(pooled, halo);
  // A byte per output number: which of its four pixels won.
  Bytes winners = tape.make_bytes(y.features() * y.stride());
  const auto pooling = [shape, pooled, lanes = y.lanes()](Lines lines) {
    return kernels::Windows{.kernel = 2,
                            .stride = 2,
                            .padding = 0,
                            .height = lines.last - lines.first,
                            .width = shape[2],
                            .out_height = (lines.last - lines.first) / 2,
                            .out_width = pooled[2],
                            .lanes = lanes};
  };
  {
    Tensor z = tape.make(shape);  // given back at once, still warm
    for_bands(2 * pooled[1], [&](Lines lines) {
      convolve(W, w, X, z, lines, {.bias = b});
      for (Index c = 0; c < shape[0]; ++c) {
        kernels::max_pool(pooling(lines), {line_of(z, c, lines.first), pitch_of(z)},
                          {line_of(y, c, lines.first / 2), pitch_of(y)},
                          winners.data() + (c * pooled[1] + lines.first / 2) * pooled[2] * y.lanes());
        for (Index line = lines.first / 2; line < lines.last / 2; ++line)
          kernels::activate(f, line_of(y, c, line), pooled[2] * y.stride());
      }
    });
  }
  return tape.record(
      {.operation = "conv2d_max_pool", .inputs = {x}, .parameters = {&W, b}, .reads = {{&W, Patches{w}}}}, y,
      [x, X, y, winners, &W, b, w, f, shape, pooled, pooling](Tape& t, Tensor& dY) {
        Tensor db = t.make_numbers(W.rows()), dW = t.make_numbers(static_cast<Index>(W.value().size()));
        db.fill(0), dW.fill(0);
        // dZ = dY f'(Z) at the winners, 0 elsewhere
        Tensor dZ = t.make(shape, gradient_halo(w, x.shape(), shape));
        if (shape[1] % 2 != 0 || shape[2] % 2 != 0) dZ.fill(0);  // what no window holds
        for_bands(2 * pooled[1], [&](Lines lines) {
          differentiate_lines(f, y, dY, {lines.first / 2, lines.last / 2}, db.data());
          for (Index c = 0; c < shape[0]; ++c)
            kernels::max_pool_backward(pooling(lines),
                                       winners.data() + (c * pooled[1] + lines.first / 2) * pooled[2] * y.lanes(),
                                       line_of(dY, c, lines.first / 2), {line_of(dZ, c, lines.first), pitch_of(dZ)},
                                       /*add=*/false);
          convolve_outer(W, w, dZ, X, lines, std::span(dW.data(), W.value().size()));
        });
        t.owe(std::move(dW), W);
        if (b) t.owe(std::move(db), *b);
        owe_input(t, x, W, w, dZ);
      });
}

Conv2d::Conv2d(const Conv2dOptions& o, std::uint64_t seed)
    : name_(o.name),
      window_(o.window),
      activation_(o.activation),
      max_pool_(o.max_pool),
      weight_(o.pattern
                  ? Parameter(o.name + ".weight", o.pattern)
                  : Parameter(o.name + ".weight", o.out, o.in / std::max<Index>(o.window.groups, 1) * o.window.taps())),
      bias_(o.bias ? std::make_unique<Parameter>(o.name + ".bias", o.out, 1, Role::bias) : nullptr) {
  require(o.window.groups >= 1 && o.in % o.window.groups == 0 && o.out % o.window.groups == 0,
          "[conv2d] {}: expected channels that {} groups divide, got {} in and {} out", name_, o.window.groups, o.in,
          o.out);
  require(weight_.rows() == o.out && weight_.cols() == o.in / o.window.groups * o.window.taps(),
          "[conv2d] {}: expected a pattern of {} x {}, got {} x {}", name_, o.out,
          o.in / o.window.groups * o.window.taps(), weight_.rows(), weight_.cols());
  initialise(weight_, o.initialiser, seed);
}

Var Conv2d::forward(const Var& x) const {
  return (max_pool_ ? conv2d_max_pool : conv2d)(x, weight_, bias_.get(), window_, activation_, halo_);
}

Shape Conv2d::output_shape(const Shape& input) const {
  const Index in = weight_.cols() / window_.taps() * window_.groups;
  require(input.rank() == 3 && input[0] == in, "[conv2d] {}: expected images of {} channels, got {}", name_, in,
          input.text());
  const Shape shape = espalier::output_shape(window_, input, weight_.rows(), "conv2d", name_);
  if (!max_pool_) return shape;
  require(shape[1] >= 2 && shape[2] >= 2, "[conv2d] {}: expected at least 2 x 2 pixels to pool, got {} from input {}",
          name_, shape.text(), input.text());
  return {shape[0], shape[1] / 2, shape[2] / 2};
}

// W: [out, in / groups, kernel height, kernel width]
OnnxValue Conv2d::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Window& w = window_;
  const std::string W =
      graph.weights(weight_, {weight_.rows(), weight_.cols() / w.taps(), w.kernel_height, w.kernel_width});
  const OnnxValue z =
      graph.add("Conv", name_, graph.operands(x, W, bias_.get()),
                espalier::output_shape(w, x.shape, weight_.rows(), "conv2d", name_),
                {{"kernel_shape", std::vector{w.kernel_height, w.kernel_width}},
                 {"strides", std::vector{w.stride, w.stride}},
                 {"pads", std::vector{w.padding_height, w.padding_width, w.padding_height, w.padding_width}},
                 {"group", w.groups}});
  if (!max_pool_) return graph.activate(name_, activation_, z);
  const std::vector<std::int64_t> two{2, 2};
  const OnnxValue pooled =
      graph.add("MaxPool", name_, {z.name}, output_shape(x.shape), {{"kernel_shape", two}, {"strides", two}});
  return graph.activate(name_, activation_, pooled);
}

void Conv2d::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(weight_);
  if (bias_) visit(*bias_);
}

}  // namespace espalier
