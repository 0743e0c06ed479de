// Stochastic gradient descent with momentum (Polyak 1964; Nesterov 1983, in the form of Sutskever et al. 2013).
//
//   g' = g + decay w        v = mu v + g'        w -= rate v                   (momentum)
//                                                w -= rate (g' + mu v)         (Nesterov)
#pragma once

#include "espalier/optim/optimizer.h"

namespace espalier {

struct SgdOptions {
  double momentum = 0.9, weight_decay = 0;
  bool nesterov = false;
};

// One step's constants.
struct SgdStep {
  Real momentum, weight_decay, rate;
  bool nesterov;
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

// Their places in the catalogue.
OptimizerEntry sgd_entry();
OptimizerEntry nesterov_entry();

}  // namespace espalier
