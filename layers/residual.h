// Residual connection (He et al. 2016): y = f(body(x) + shortcut(x)). Where body changes the shape, shortcut has to.
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

// f(a + b), a and b of one shape
Var add(const Var& a, const Var& b, Activation f = Activation::none, Halo halo = {});

class Residual final : public Module {
 public:
  // No shortcut: x itself.
  Residual(std::string name, ModulePtr body, ModulePtr shortcut = nullptr, Activation activation = Activation::none);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  void visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) override;
  void merge_state(std::span<Tape* const> tapes, std::optional<double> weight) override;
  std::string name() const override { return name_; }
  Halo input_halo() const override { return body_->input_halo(); }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  std::string name_;
  ModulePtr body_, shortcut_;
  Activation activation_;
  Halo halo_;
};

}  // namespace espalier
