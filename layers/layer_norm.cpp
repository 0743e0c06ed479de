#include "espalier/layers/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/kernels/lanewise.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {
namespace {

// With TapeOptions::flow: y = x / sqrt(mean of x^2 + epsilon) at each step of F features, the divisor a constant.
Var scaled(const Var& x, Index F, Real epsilon) {
  Tape& tape = x.tape();
  const Index T = x.value().features() / F;
  Tensor y = tape.make(x.shape()), r = tape.make({T});
  r.fill(0);
  const auto scale = [r, F](const Tensor& from, Tensor& to) {
    for (Index i = 0; i < to.features(); ++i)
      for (Index lane = 0; lane < to.lanes(); ++lane) to.row(i)[lane] = r.row(i / F)[lane] * from.row(i)[lane];
  };
  for (Index i = 0; i < T * F; ++i)
    for (Index lane = 0; lane < y.lanes(); ++lane)
      r.row(i / F)[lane] += x.value().row(i)[lane] * x.value().row(i)[lane] / static_cast<Real>(F);
  for (Index t = 0; t < T; ++t)
    for (Index lane = 0; lane < y.lanes(); ++lane) r.row(t)[lane] = 1 / std::sqrt(r.row(t)[lane] + epsilon);
  scale(x.value(), y);
  return tape.record({.operation = "layer_norm", .inputs = {x}, .mixes = {{.input = 0}}}, y,
                     [x, scale](Tape& t, Tensor& dY) {
                       scale(dY, dY);
                       t.give_gradient(x, std::move(dY));
                     });
}

}  // namespace

Var layer_norm(const Var& x, const Parameter& gamma, const Parameter& beta, Real epsilon) {
  Tape& tape = x.tape();
  if (tape.options().flow) return scaled(x, gamma.rows(), epsilon);
  const Tensor& X = x.value();
  const Index F = gamma.rows(), T = X.features() / F;
  Tensor y = tape.make(x.shape()), statistics = tape.make({T, 2});
  const kernels::Rows rows{F, X.lanes(), X.valid()};
  for (Index t = 0; t < T; ++t)
    kernels::layer_norm(rows, X.row(t * F), gamma.value().data(), beta.value().data(), epsilon, statistics.row(2 * t),
                        y.row(t * F));
  return tape.record({.operation = "layer_norm", .inputs = {x}, .parameters = {&gamma, &beta}, .mixes = {{.input = 0}}},
                     y, [x, statistics, rows, T, F, &gamma, &beta](Tape& t, Tensor& dY) {
                       // dX = r (g - mean of g - x^ mean of g x^) with g = gamma dY, at each step
                       // dgamma = sum over samples and steps of dY x^;  dbeta = that of dY
                       Tensor dgamma = t.make_numbers(F), dbeta = t.make_numbers(F);
                       dgamma.fill(0), dbeta.fill(0);
                       const auto dX = t.gradient_of(x);
                       for (Index s = 0; s < T; ++s)
                         kernels::layer_norm_backward(rows, x.value().row(s * F), gamma.value().data(),
                                                      statistics.row(2 * s), dY.row(s * F),
                                                      dX ? dX->tensor->row(s * F) : nullptr,
                                                      dX && dX->write == Write::add, dgamma.data(), dbeta.data());
                       t.owe(std::move(dgamma), gamma);
                       t.owe(std::move(dbeta), beta);
                     });
}

LayerNorm::LayerNorm(LayerNormOptions options)
    : options_(std::move(options)),
      gamma_(options_.name + ".gamma", options_.features, 1, Role::scale),
      beta_(options_.name + ".beta", options_.features, 1, Role::bias) {
  require(options_.epsilon > 0, "[layer_norm] {}: expected an epsilon above 0, got {}", options_.name,
          options_.epsilon);
  std::ranges::fill(gamma_.value(), Real{1});
}

Shape LayerNorm::output_shape(const Shape& input) const {
  const int last = input.rank() - 1;
  require((last == 0 || last == 1) && input[last] == gamma_.rows(),
          "[layer_norm] {}: expected [{}] or a sequence [steps, {}], got {}", options_.name, gamma_.rows(),
          gamma_.rows(), input.text());
  return input;
}

OnnxValue LayerNorm::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Index F = options_.features;
  return graph.add("LayerNormalization", name(), {x.name, graph.weights(gamma_, {F}), graph.weights(beta_, {F})},
                   x.shape, {{"axis", -1}, {"epsilon", static_cast<float>(options_.epsilon)}});
}

void LayerNorm::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(gamma_);
  visit(beta_);
}

}  // namespace espalier
