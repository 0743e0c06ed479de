#include "espalier/layers/positions.h"

#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

Var add_positions(const Var& x, std::span<const Real> p, const Parameter* learnt) {
  Tape& tape = x.tape();
  if (tape.options().flow) return x;
  const Index rows = x.value().features();
  Tensor y = tape.make(x.shape());
  // y_t = p_t + x_t
  kernels::begin_rows(p.data(), y.data(), rows, y.stride());
  kernels::add(x.value().data(), y.data(), rows * y.stride());
  // Positions that are not learnt are of all features together: none of these can go.
  const Index D = x.shape()[1], neighbours = learnt ? 1 : D;
  const Tie tie{tied_value(neighbours), tied_input(0, neighbours)};
  return tape.record({.operation = "add_positions", .inputs = {x}, .parameters = {learnt}, .ties = {tie}}, y,
                     [x, learnt, rows](Tape& t, Tensor& dY) {
                       // dp_t = sum over samples of dY_t;  dX = dY
                       if (learnt) {
                         Tensor dp = t.make_numbers(rows);
                         kernels::activate_backward(Activation::none, dY.data(), dY.data(), rows, dY.stride(),
                                                    dY.valid(), dp.data());
                         t.owe(std::move(dp), *learnt);
                       }
                       t.give_gradient(x, std::move(dY));
                     });
}

Positions::Positions(PositionsOptions options) : options_(std::move(options)) {
  const Index T = options_.steps, D = options_.features;
  require(T >= 1 && D >= 1, "[positions] {}: expected at least 1 step of 1 feature, got {} of {}", options_.name, T, D);
  if (options_.kind == PositionKind::learnt) {
    learnt_ = std::make_unique<Parameter>(options_.name + ".learnt", T, D, Role::bias);
    return;
  }
  for (Index t = 0; t < T; ++t)
    for (Index i = 0; i < D; ++i) {
      const double angle =
          static_cast<double>(t) / std::pow(10000.0, static_cast<double>(i - i % 2) / static_cast<double>(D));
      fixed_.push_back(static_cast<Real>(i % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
}

Var Positions::forward(const Var& x) const {
  return add_positions(x, learnt_ ? std::as_const(*learnt_).value() : std::span<const Real>(fixed_), learnt_.get());
}

Shape Positions::output_shape(const Shape& input) const {
  const Index D = learnt_ ? learnt_->cols() : options_.features;
  require((input == Shape{options_.steps, D}), "[positions] {}: expected a sequence [{}, {}], got {}", options_.name,
          options_.steps, D, input.text());
  return input;
}

OnnxValue Positions::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const std::vector<std::int64_t> extents{options_.steps, options_.features};
  const std::string p = learnt_ ? graph.weights(*learnt_, extents) : graph.numbers(name() + ".fixed", extents, fixed_);
  return graph.add("Add", name(), {x.name, p}, x.shape);
}

void Positions::visit_parameters(const std::function<void(Parameter&)>& visit) {
  if (learnt_) visit(*learnt_);
}

}  // namespace espalier
