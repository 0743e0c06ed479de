#include "layers/activations.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace espalier {

Var activate(const Var& x, Activation f) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape());
  for (Index i = 0; i < y.features(); ++i) {
    std::copy_n(x.value().row(i), y.stride(), y.row(i));
    kernels::activate(f, y.row(i), y.stride());
  }
  return tape.record({.operation = "activate", .inputs = {x}, .attributes = {{"activation", static_cast<double>(f)}}},
                     y, [x, y, f](Tape& t, Tensor& dY) {
                       // dX = dY f'(x), in place
                       kernels::activate_backward(f, y.data(), dY.data(), y.features(), dY.stride(), dY.valid(),
                                                  nullptr);
                       t.give_gradient(x, std::move(dY));
                     });
}

Var gelu(const Var& x) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape());
  const auto cdf = [](Real v) { return Real{0.5} * (1 + std::erf(v * static_cast<Real>(1 / std::numbers::sqrt2))); };
  for (Index i = 0; i < y.features(); ++i)
    for (Index lane = 0; lane < y.lanes(); ++lane)
      y.row(i)[lane] = x.value().row(i)[lane] * cdf(x.value().row(i)[lane]);
  return tape.record({.operation = "gelu", .inputs = {x}}, y, [x, cdf](Tape& t, Tensor& dY) {
    // dX = dY (Phi(x) + x phi(x)), in place
    for (Index i = 0; i < dY.features(); ++i)
      for (Index lane = 0; lane < dY.lanes(); ++lane) {
        const Real v = x.value().row(i)[lane];
        dY.row(i)[lane] *=
            cdf(v) + v * std::exp(-v * v / 2) * static_cast<Real>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
      }
    t.give_gradient(x, std::move(dY));
  });
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

}  // namespace espalier
