#include "espalier/layers/layer_norm.h"

#include <algorithm>

#include "espalier/core/error.h"

namespace espalier {

Var layer_norm(const Var& x, const Parameter& gamma, const Parameter& beta, Real epsilon) {
  Tape& tape = x.tape();
  const Tensor& X = x.value();
  const Index F = gamma.rows(), T = X.features() / F;
  Tensor y = tape.make(x.shape()), statistics = tape.make({T, 2});
  const kernels::Rows rows{F, X.lanes(), X.valid()};
  for (Index t = 0; t < T; ++t)
    kernels::layer_norm(rows, X.row(t * F), gamma.value().data(), beta.value().data(), epsilon, statistics.row(2 * t),
                        y.row(t * F));
  return tape.record({.operation = "layer_norm", .inputs = {x}, .parameters = {&gamma, &beta}}, y,
                     [x, statistics, rows, T, F, &gamma, &beta](Tape& t, Tensor& dY) {
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
      gamma_(options_.name + ".gamma", options_.features, 1, Role::bias),
      beta_(options_.name + ".beta", options_.features, 1, Role::bias) {
  require(options_.epsilon > 0, "[layer_norm] {}: expected an epsilon above 0, got {}", options_.name,
          options_.epsilon);
  std::ranges::fill(gamma_.value(), Real{1});
}

Shape LayerNorm::output_shape(const Shape& input) const {
  const int last = input.rank() - 1;
  require((last == 0 || last == 1) && input[last] == options_.features,
          "[layer_norm] {}: expected [{}] or a sequence [steps, {}], got {}", options_.name, options_.features,
          options_.features, input.text());
  return input;
}

void LayerNorm::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(gamma_);
  visit(beta_);
}

}  // namespace espalier
