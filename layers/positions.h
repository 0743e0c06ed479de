// Where in a sequence a step stands: y_t = x_t + p_t. Attention does not know, for it sums over steps in any order.
//
//   learnt       p is a Parameter [T, D], which begins at 0
//   sinusoidal   p_{t, 2i} = sin(t / 10000^(2i / D))   p_{t, 2i+1} = cos(t / 10000^(2i / D))      Vaswani et al. 2017
#pragma once

#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

enum class PositionKind { learnt, sinusoidal };

struct PositionsOptions {
  std::string name = "positions";
  Index steps = 0, features = 0;  // T, D
  PositionKind kind = PositionKind::learnt;
};

// x: [T, D]   p: T D numbers, of `learnt` if that is given   ->   [T, D]
Var add_positions(const Var& x, std::span<const Real> p, const Parameter* learnt = nullptr);

class Positions final : public Module {
 public:
  explicit Positions(PositionsOptions options);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return options_.name; }

 private:
  PositionsOptions options_;
  std::unique_ptr<Parameter> learnt_;  // [T, D], or null
  std::vector<Real> fixed_;            // T D numbers, or none
};

}  // namespace espalier
