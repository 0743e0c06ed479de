// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
//
//   m = b1 m + (1-b1) g      v = b2 v + (1-b2) g^2      w -= rate (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
//
//   Adam adds decay w to g; AdamW subtracts rate decay w from w.
#pragma once

#include "espalier/optim/optimizer.h"

namespace espalier {

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW
};

// One step's constants: corrected_rate = rate / (1-b1^t), corrected_root = 1 / sqrt(1-b2^t).
struct AdamStep {
  Real beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, coupled_decay, decoupled_factor, corrected_rate,
      corrected_root;
};

class Adam final : public Optimizer {
 public:
  explicit Adam(AdamOptions options) : options_(options) {}
  void prepare(Parameter& W) const override;
  void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) const override;
  std::string name() const override { return options_.decoupled ? "adamw" : "adam"; }

 private:
  AdamOptions options_;
};

// Their places in the catalogue.
OptimizerEntry adam_entry();
OptimizerEntry adamw_entry();

}  // namespace espalier
