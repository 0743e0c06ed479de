// Dropout (Srivastava et al. 2014), inverted: survivors are scaled by 1/(1-p) in training, evaluation is the identity.
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

// Whether feature i of a sample survives is a function of (seed, purpose, step, the sample's place in its batch, i):
// neither lanes nor threads change it.     p: probability of dropping, in [0, 1)
// halo: that the output should have; x itself is returned where nothing is dropped.
Var dropout(const Var& x, Real p, std::string_view purpose, Halo halo = {});

class Dropout final : public Module {
 public:
  Dropout(std::string name, Real p);
  Var forward(const Var& x) const override { return dropout(x, p_, purpose_, halo_); }
  Shape output_shape(const Shape& input) const override { return input; }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  std::string name_, purpose_;
  Real p_;
  Halo halo_;
};

}  // namespace espalier
