// Stochastic gradient descent with momentum (Polyak 1964; Nesterov 1983, in the form of Sutskever et al. 2013).
//
//   g' = g + decay w        v = mu v + g'        w -= rate v                   (momentum)
//                                                w -= rate (g' + mu v)         (Nesterov)
#pragma once

#include "espalier/optim/optimizer.h"

namespace espalier {

struct SgdOptions {
  Real momentum = 0.9f;
  Real weight_decay = 0;
  bool nesterov = false;
};

class Sgd final : public Optimizer {
 public:
  explicit Sgd(SgdOptions options) : options_(options) {}
  void prepare(Parameter& W) const override;
  void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) const override;
  std::string name() const override { return options_.nesterov ? "nesterov" : "sgd"; }

 private:
  SgdOptions options_;
};

}  // namespace espalier
