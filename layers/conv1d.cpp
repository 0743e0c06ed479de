#include "espalier/layers/conv1d.h"

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/onnx_graph.h"
#include "espalier/layers/sequence.h"

namespace espalier {
namespace {

Shape convolved_shape(const Shape& x, const Parameter& W, const TimeWindow& w, const std::string& layer) {
  require_sequence(x, "conv1d", layer, W.cols() / w.kernel);
  const Index room = x[0] + 2 * w.padding - w.kernel;
  require(room >= 0,
          "[conv1d] {}: expected at least {} steps with a padding of {} on each side, got {}: the output would be "
          "empty",
          layer, w.kernel, w.padding, x.text());
  return {room / w.stride + 1, W.rows()};
}

TimeWindow checked(const std::string& layer, const TimeWindow& w) {
  require(w.kernel >= 1 && w.stride >= 1 && w.padding >= 0,
          "[conv1d] {}: expected a kernel and stride of at least 1 and no negative padding, got {}, stride {}, "
          "padding {}",
          layer, w.kernel, w.stride, w.padding);
  return w;
}

// x between `padding` zero steps on each side; x itself if there are none.
Tensor padded_in_time(Tape& tape, const Tensor& x, Index padding) {
  if (padding == 0) return x;
  const Index T = x.shape()[0], F = x.shape()[1];
  Tensor y = tape.make({T + 2 * padding, F});
  y.slice(0, {padding, F}).fill(0);
  Tensor middle = y.slice(padding * F, x.shape());
  put(x, middle, Write::overwrite);
  y.slice((padding + T) * F, {padding, F}).fill(0);
  return y;
}

}  // namespace

Var conv1d(const Var& x, const Parameter& W, const Parameter* b, const TimeWindow& w, Activation f) {
  Tape& tape = x.tape();
  const Shape shape = convolved_shape(x.shape(), W, w, W.name());
  const Index T = shape[0], out = shape[1], in = x.shape()[1];
  const Tensor X = padded_in_time(tape, tape.with_halo(x.value(), {}), w.padding);
  const auto patch = [w, in](const Tensor& of, Index t) { return of.slice(t * w.stride * in, {w.kernel * in}); };
  Tensor y = tape.make(shape);
  for (Index t = 0; t < T; ++t) {
    Tensor y_t = y.slice(t * out, {out});
    multiply(W, patch(X, t), y_t, {.bias = b, .activation = f});
  }
  return tape.record({.operation = "conv1d", .inputs = {x}, .parameters = {&W, b}, .reads = {{&W, Steps{w}}}}, y,
                     [x, X, y, &W, b, w, f, T, out, in, patch](Tape& t, Tensor& dY) {
                       // dZ = dY f'(Z), in place;  db = sum over samples and steps of dZ;  dW = sum of dZ_t patch_t'
                       Tensor step_db = t.make_numbers(out), db = t.make_numbers(out);
                       db.fill(0);
                       for (Index s = 0; s < T; ++s) {
                         kernels::activate_backward(f, y.row(s * out), dY.row(s * out), out, dY.stride(), dY.valid(),
                                                    step_db.data());
                         kernels::add(step_db.data(), db.data(), out);
                       }
                       if (b) t.owe(std::move(db), *b);
                       const auto dZ = [&](Index s) { return dY.slice(s * out, {out}); };
                       owe_over_time(t, W, T, dZ, [&](Index s) { return patch(X, s); });
                       // dX: patches overlap, so each adds W' dZ_t to where it was read
                       const auto dX = t.gradient_of(x);
                       if (!dX) return;
                       const bool in_place = w.padding == 0;
                       Tensor sum = in_place ? *dX->tensor : t.make(X.shape());
                       if (!in_place || dX->write == Write::overwrite) sum.fill(0);
                       for (Index s = 0; s < T; ++s) {
                         Tensor part = patch(sum, s);
                         multiply_transposed(W, dZ(s), part, Write::add);
                       }
                       if (!in_place) put(sum.slice(w.padding * in, x.shape()), *dX->tensor, dX->write);
                     });
}

Conv1d::Conv1d(const Conv1dOptions& o, std::uint64_t seed)
    : name_(o.name),
      window_(checked(o.name, o.window)),
      activation_(o.activation),
      weight_(o.pattern ? Parameter(o.name + ".weight", o.pattern)
                        : Parameter(o.name + ".weight", o.out, o.in * o.window.kernel)),
      bias_(o.bias ? std::make_unique<Parameter>(o.name + ".bias", o.out, 1, Role::bias) : nullptr) {
  require(weight_.rows() == o.out && weight_.cols() == o.in * o.window.kernel,
          "[conv1d] {}: expected a pattern of {} x {}, got {} x {}", name_, o.out, o.in * o.window.kernel,
          weight_.rows(), weight_.cols());
  initialise(weight_, o.initialiser, seed);
}

Var Conv1d::forward(const Var& x) const {
  return conv1d(x, weight_, bias_.get(), window_, activation_);
}

Shape Conv1d::output_shape(const Shape& input) const {
  return convolved_shape(input, weight_, window_, name_);
}

// With channels in front: [T, F] -> [F, T], convolved, and back; W: [out, F, kernel].
OnnxValue Conv1d::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const TimeWindow& w = window_;
  if (w.kernel == 1 && w.stride == 1 && w.padding == 0)
    return graph.activate(name_, activation_, graph.at_every_step(name_, x, weight_, bias_.get()));
  const Index F = x.shape[1], K = w.kernel;
  const Shape y = output_shape(x.shape);
  const std::string W = graph.weights(weight_, {weight_.rows(), F, K}, [F, K](Index row, Index column) {
    return (row * F + column % F) * K + column / F;
  });
  const OnnxValue z =
      graph.add("Conv", name_, graph.operands(graph.transpose(name_, x, {0, 2, 1}), W, bias_.get()), {y[1], y[0]},
                {{"kernel_shape", std::vector{K}},
                 {"strides", std::vector{w.stride}},
                 {"pads", std::vector{w.padding, w.padding}}});
  return graph.activate(name_, activation_, graph.transpose(name_, z, {0, 2, 1}));
}

void Conv1d::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(weight_);
  if (bias_) visit(*bias_);
}

}  // namespace espalier
