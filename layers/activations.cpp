#include "espalier/layers/activations.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

Var activate(const Var& x, Activation f, Halo halo) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape(), halo);
  const Index line = std::min(x.value().line(), y.line());
  for (Index i = 0; i < y.features(); i += line) kernels::activate(f, x.value().row(i), y.row(i), line * y.stride());
  return tape.record({.operation = "activate", .inputs = {x}}, y, [x, y, f](Tape& t, Tensor& dY) {
    // dX = dY f'(x), in place
    differentiate(f, y, dY);
    t.give_gradient(x, std::move(dY));
  });
}

Var gelu(const Var& x, Halo halo) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape(), halo);
  const auto cdf = [](Real v) { return Real{0.5} * (1 + std::erf(v * static_cast<Real>(1 / std::numbers::sqrt2))); };
  const Index line = std::min(x.value().line(), y.line());
  for (Index i = 0; i < y.features(); i += line) {
    const Real* from = x.value().row(i);
    std::transform(from, from + line * y.stride(), y.row(i), [cdf](Real v) { return v * cdf(v); });
  }
  return tape.record({.operation = "gelu", .inputs = {x}}, y, [x, cdf](Tape& t, Tensor& dY) {
    // dX = dY (Phi(x) + x phi(x)), in place
    const auto slope = [cdf](Real v) {
      return cdf(v) + v * std::exp(-v * v / 2) * static_cast<Real>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    };
    for (Index i = 0; i < dY.features(); i += x.value().line()) {
      Real* dy = dY.row(i);
      std::transform(dy, dy + x.value().line() * dY.stride(), x.value().row(i), dy,
                     [&](Real g, Real v) { return g * slope(v); });
    }
    t.give_gradient(x, std::move(dY));
  });
}

void differentiate(Activation f, const Tensor& y, Tensor& dY) {
  const Index line = y.line();
  for (Index i = 0; i < y.features(); i += line)
    kernels::activate_backward(f, y.row(i), dY.row(i), line, y.stride(), y.valid(), nullptr);
}

std::string Activate::name() const {
  switch (f_) {
    case Activation::relu:
      return "relu";
    case Activation::tanh:
      return "tanh";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::none:
      return "identity";
  }
  return "?";
}

OnnxValue Activate::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  return graph.activate(name(), f_, x);
}

// x (1 + erf(x / sqrt(2))) / 2: the operator Gelu came with opset 20
OnnxValue Gelu::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const auto apply = [&](const char* operation, const OnnxValue& to, const std::string& with) {
    return graph.add(operation, name(), {to.name, with}, x.shape);
  };
  const std::string half = graph.number("gelu.half", Real{0.5}), one = graph.number("gelu.one", 1),
                    scale = graph.number("gelu.scale", static_cast<Real>(1 / std::numbers::sqrt2));
  const OnnxValue erf = graph.add("Erf", name(), {apply("Mul", x, scale).name}, x.shape);
  return apply("Mul", apply("Mul", apply("Add", erf, one), half), x.name);
}

}  // namespace espalier
