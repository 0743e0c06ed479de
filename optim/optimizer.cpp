#include "espalier/optim/optimizer.h"

#include <cmath>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/optim/adam.h"
#include "espalier/optim/sgd.h"

namespace espalier {

Catalogue<OptimizerEntry>& optimizers() {
  static Catalogue<OptimizerEntry> all("optimizer", {sgd_entry(), nesterov_entry(), adam_entry(), adamw_entry()});
  return all;
}

OptimizerOptions settled(OptimizerOptions o) {
  optimizers().named(o.name);
  require(o.momentum >= 0 && o.momentum < 1, "[optimizer] momentum: expected a number in [0, 1), got {}", o.momentum);
  require(o.weight_decay >= 0 && std::isfinite(o.weight_decay),
          "[optimizer] weight_decay: expected a number of at least 0, got {}", o.weight_decay);
  require(o.beta1 >= 0 && o.beta1 < 1, "[optimizer] beta1: expected a number in [0, 1), got {}", o.beta1);
  require(o.beta2 >= 0 && o.beta2 < 1, "[optimizer] beta2: expected a number in [0, 1), got {}", o.beta2);
  // An epsilon that Real rounds to zero would make 0 / 0 of a pruned weight's update.
  require(static_cast<Real>(o.epsilon) >= std::numeric_limits<Real>::min() && std::isfinite(o.epsilon),
          "[optimizer] epsilon: expected a number of at least {}, got {}", std::numeric_limits<Real>::min(), o.epsilon);
  return o;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options) {
  const OptimizerOptions checked = settled(options);
  return optimizers().named(checked.name).make(checked);
}

double default_rate(const OptimizerEntry& optimizer, const ModelProfile& model) {
  if (const auto own = model.rates.find(optimizer.name); own != model.rates.end()) return own->second;
  return optimizer.rate_follows_model ? model.rate : optimizer.rate;
}

}  // namespace espalier
