// Element-wise activations as layers of their own. After a linear layer, prefer its fused `activation`: same numbers,
// one pass over memory less.
#pragma once

#include "layers/module.h"

namespace espalier {

Var activate(const Var& x, Activation f);  // relu, tanh, sigmoid
Var gelu(const Var& x);                    // x Phi(x), exact (Hendrycks & Gimpel 2016)

class Activate final : public Module {
 public:
  explicit Activate(Activation f) : f_(f) {}
  Var forward(const Var& x) const override { return activate(x, f_); }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string name() const override;

 private:
  Activation f_;
};

class Gelu final : public Module {
 public:
  Var forward(const Var& x) const override { return gelu(x); }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string name() const override { return "gelu"; }
};

}  // namespace espalier
