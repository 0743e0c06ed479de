#include "espalier/layers/residual.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/activations.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

Var add(const Var& a, const Var& b, Activation f, Halo halo) {
  Tape& tape = a.tape();
  Tensor y = tape.make(a.shape(), halo);
  // y = f(a + b), a line at a time where one of the three has a halo
  const Index line = std::min({a.value().line(), b.value().line(), y.line()});
  for (Index i = 0; i < y.features(); i += line)
    kernels::add_and_activate(f, a.value().row(i), b.value().row(i), y.row(i), line * y.stride());
  return tape.record({.operation = "add", .inputs = {a, b}}, y, [a, b, y, f](Tape& t, Tensor& dY) {
    // dA = dB = dY f'(y): a copy for a, since dY itself goes to b
    differentiate(f, y, dY);
    if (const auto dA = t.image_gradient_of(a)) put(dY, *dA->tensor, dA->write);
    t.give_gradient(b, std::move(dY));
  });
}

Residual::Residual(std::string name, ModulePtr body, ModulePtr shortcut, Activation activation)
    : name_(std::move(name)), body_(std::move(body)), shortcut_(std::move(shortcut)), activation_(activation) {
  require(body_ != nullptr, "[residual] {}: expected a body, got none", name_);
}

Var Residual::forward(const Var& x) const {
  const Var y = body_->forward(x);
  return add(y, shortcut_ ? shortcut_->forward(x) : x, activation_, halo_);
}

Shape Residual::output_shape(const Shape& input) const {
  const Shape body = body_->output_shape(input), shortcut = shortcut_ ? shortcut_->output_shape(input) : input;
  require(body == shortcut, "[residual] {}: expected body and shortcut to give one shape for {}, got {} and {}", name_,
          input.text(), body.text(), shortcut.text());
  return body;
}

OnnxValue Residual::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const OnnxValue body = body_->to_onnx(graph, x), shortcut = shortcut_ ? shortcut_->to_onnx(graph, x) : x;
  return graph.activate(name_, activation_, graph.add("Add", name_, {body.name, shortcut.name}, body.shape));
}

void Residual::visit_parameters(const std::function<void(Parameter&)>& visit) {
  body_->visit_parameters(visit);
  if (shortcut_) shortcut_->visit_parameters(visit);
}

void Residual::visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) {
  body_->visit_state(visit);
  if (shortcut_) shortcut_->visit_state(visit);
}

void Residual::merge_state(std::span<Tape* const> tapes, std::optional<double> weight) {
  body_->merge_state(tapes, weight);
  if (shortcut_) shortcut_->merge_state(tapes, weight);
}

}  // namespace espalier
