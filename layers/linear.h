// The linear layer: Y = f(W X + b), dense, masked or csr.
#pragma once

#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

// x: [in]   W: [out, in]   b: [out, 1] or null   ->   [out]
// f is fused: it runs while the rows of Y are in cache, and is differentiated from its output.
Var linear(const Var& x, const Parameter& W, const Parameter* b, Activation f = Activation::none);

struct LinearOptions {
  std::string name = "linear";
  Index in = 0, out = 0;
  Activation activation = Activation::none;
  bool bias = true;
  Initialiser initialiser = Initialiser::kaiming;
  PatternPtr pattern = nullptr;  // if given, the layer is born csr and nothing dense is ever allocated
};

class Linear final : public Module {
 public:
  Linear(const LinearOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Parameter weight_;
  std::unique_ptr<Parameter> bias_;
  Activation activation_;
};

}  // namespace espalier
