#include "espalier/layers/conv_transpose2d.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/normalise.h"
#include "espalier/layers/image.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

Shape transposed_shape(const Window& w, const Shape& x, Index out, Index output_padding, const std::string& layer) {
  require(x.rank() == 3 && x[0] % w.groups == 0 && out % w.groups == 0,
          "[conv_transpose2d] {}: expected an image [C, H, W] whose channels {} groups divide, got {} for {} channels",
          layer, w.groups, x.text(), out);
  const Index height = (x[1] - 1) * w.stride - 2 * w.padding_height + w.kernel_height + output_padding,
              width = (x[2] - 1) * w.stride - 2 * w.padding_width + w.kernel_width + output_padding;
  require(height >= 1 && width >= 1,
          "[conv_transpose2d] {}: expected an image of which a padding of {} x {} leaves a pixel, got {}", layer,
          w.padding_height, w.padding_width, x.text());
  return {out, height, width};
}

Var conv_transpose2d(const Var& x, const Parameter& W, const Parameter* b, const Window& w, Index output_padding,
                     Activation f, Halo halo) {
  Tape& tape = x.tape();
  const Index out = W.cols() / w.taps() * w.groups;
  const Shape shape = transposed_shape(w, x.shape(), out, output_padding, W.name());
  const Halo needed = gradient_halo(w, shape, x.shape());
  const bool enough = x.value().halo().height >= needed.height && x.value().halo().width >= needed.width;
  const Tensor X = enough ? x.value() : tape.with_halo(x.value(), needed);
  Tensor y = tape.make(shape, halo);
  // Z = W' * X;  Y = f(Z + b)
  convolve_transposed(W, w, X, y);
  const kernels::Pixels pixels = pixels_of({&y});
  for (Index o = 0; o < out; ++o) kernels::normalise(pixels, plane(y, o), 0, 1, b ? b->value()[o] : 0, f, plane(y, o));
  return tape.record({.operation = "conv_transpose2d",
                      .inputs = {x},
                      .parameters = {&W, b},
                      .reads = {{.W = &W, .kind = Patches{w}, .transposed = true}},
                      .gradient_halo = w.padding()},
                     y, [x, X, y, &W, b, w, f, out](Tape& t, Tensor& dY) {
                       // dZ = dY f'(Z), in place;  db = sum over samples and pixels of dZ
                       Tensor db = t.make_numbers(out), dW = t.make_numbers(static_cast<Index>(W.value().size()));
                       const kernels::Pixels p = pixels_of({&y, &dY});
                       for (Index o = 0; o < out; ++o)
                         db.data()[o] = static_cast<Real>(kernels::activate_backward(f, p, plane(y, o), plane(dY, o)));
                       if (b) t.owe(std::move(db), *b);
                       // dW = X dZ', each pixel of X with the patch of dZ that it has written to
                       const Tensor dZ = t.with_halo(dY, w.padding());
                       dW.fill(0);
                       convolve_outer(W, w, X, dZ, {0, X.shape()[1]}, std::span(dW.data(), W.value().size()));
                       t.owe(std::move(dW), W);
                       // dX = W * dZ
                       const auto dX = t.image_gradient_of(x);
                       if (!dX) return;
                       const bool add = dX->write == Write::add;
                       Tensor whole = add ? t.make(x.shape()) : *dX->tensor;
                       convolve(W, w, dZ, whole, {0, x.shape()[1]});
                       if (add) put(whole, *dX->tensor, Write::add);
                     });
}

ConvTranspose2d::ConvTranspose2d(const ConvTranspose2dOptions& o, std::uint64_t seed)
    : name_(o.name),
      window_(o.window),
      output_padding_(o.output_padding),
      activation_(o.activation),
      weight_(o.pattern
                  ? Parameter(o.name + ".weight", o.pattern)
                  : Parameter(o.name + ".weight", o.in, o.out / std::max<Index>(o.window.groups, 1) * o.window.taps())),
      bias_(o.bias ? std::make_unique<Parameter>(o.name + ".bias", o.out, 1, Role::bias) : nullptr) {
  const Window& w = o.window;
  require(w.groups >= 1 && o.in % w.groups == 0 && o.out % w.groups == 0,
          "[conv_transpose2d] {}: expected channels that {} groups divide, got {} in and {} out", name_, w.groups, o.in,
          o.out);
  require(w.stride >= 1 && w.padding_height >= 0 && w.padding_width >= 0 && o.output_padding >= 0 &&
              o.output_padding < w.stride,
          "[conv_transpose2d] {}: expected a stride of at least 1, no negative padding and an output padding below the "
          "stride, got stride {}, padding {} x {}, output padding {}",
          name_, w.stride, w.padding_height, w.padding_width, o.output_padding);
  require(weight_.rows() == o.in && weight_.cols() == o.out / w.groups * w.taps(),
          "[conv_transpose2d] {}: expected a pattern of {} x {}, got {} x {}", name_, o.in, o.out / w.groups * w.taps(),
          weight_.rows(), weight_.cols());
  initialise(weight_, o.initialiser, seed);
}

Var ConvTranspose2d::forward(const Var& x) const {
  return conv_transpose2d(x, weight_, bias_.get(), window_, output_padding_, activation_, halo_);
}

Shape ConvTranspose2d::output_shape(const Shape& input) const {
  require(input.rank() == 3 && input[0] == weight_.rows(),
          "[conv_transpose2d] {}: expected images of {} channels, got {}", name_, weight_.rows(), input.text());
  return transposed_shape(window_, input, weight_.cols() / window_.taps() * window_.groups, output_padding_, name_);
}

// W: [in, out / groups, kernel height, kernel width]
OnnxValue ConvTranspose2d::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Window& w = window_;
  const std::string W =
      graph.weights(weight_, {weight_.rows(), weight_.cols() / w.taps(), w.kernel_height, w.kernel_width});
  const OnnxValue z =
      graph.add("ConvTranspose", name_, graph.operands(x, W, bias_.get()), output_shape(x.shape),
                {{"kernel_shape", std::vector{w.kernel_height, w.kernel_width}},
                 {"strides", std::vector{w.stride, w.stride}},
                 {"pads", std::vector{w.padding_height, w.padding_width, w.padding_height, w.padding_width}},
                 {"output_padding", std::vector{output_padding_, output_padding_}},
                 {"group", w.groups}});
  return graph.activate(name_, activation_, z);
}

// However large the images are, the taps reach equally far over their edges.
Halo ConvTranspose2d::input_halo() const {
  const Index extent = window_.kernel_height + window_.kernel_width + window_.padding_height + window_.padding_width;
  const Shape x{weight_.rows(), extent, extent};
  return gradient_halo(window_, output_shape(x), x);
}

void ConvTranspose2d::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(weight_);
  if (bias_) visit(*bias_);
}

}  // namespace espalier
