// Layer normalisation (Ba, Kiros & Hinton 2016), over the features of a sample, or of each step of a sequence.
//
//   y = gamma x^ + beta        x^ = (x - mean of x) / sqrt(variance of x + epsilon), over the features of one step
//
// A sample needs no other for it: training, evaluation and inference compute the same, and there is nothing to
// remember.
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

struct LayerNormOptions {
  std::string name = "layer_norm";
  Index features = 0;  // of a step
  Real epsilon = Real{1e-5};
};

// x: [F] or [T, F]   gamma, beta: [F, 1]   ->   the same shape
Var layer_norm(const Var& x, const Parameter& gamma, const Parameter& beta, Real epsilon = Real{1e-5});

class LayerNorm final : public Module {
 public:
  explicit LayerNorm(LayerNormOptions options);  // gamma = 1, beta = 0
  Var forward(const Var& x) const override { return layer_norm(x, gamma_, beta_, options_.epsilon); }
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return options_.name; }

 private:
  LayerNormOptions options_;
  Parameter gamma_, beta_;
};

}  // namespace espalier
