// Element-wise activations as layers of their own. After a linear layer, prefer its fused `activation`: same numbers,
// one pass over memory less.
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

// halo: that the output should have, here and below.
Var activate(const Var& x, Activation f, Halo halo = {});  // relu, tanh, sigmoid
Var gelu(const Var& x, Halo halo = {});                    // x Phi(x), exact (Hendrycks & Gimpel 2016)

// dY *= f'(y), in place; y is the output, in any halo, dY has none
void differentiate(Activation f, const Tensor& y, Tensor& dY);

class Activate final : public Module {
 public:
  explicit Activate(Activation f) : f_(f) {}
  Var forward(const Var& x) const override { return activate(x, f_, halo_); }
  Shape output_shape(const Shape& input) const override { return input; }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override;
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  Activation f_;
  Halo halo_;
};

class Gelu final : public Module {
 public:
  Var forward(const Var& x) const override { return gelu(x, halo_); }
  Shape output_shape(const Shape& input) const override { return input; }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return "gelu"; }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  Halo halo_;
};

}  // namespace espalier
