#include "espalier/optim/optimizer.h"

#include <cmath>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/optim/adam.h"
#include "espalier/optim/sgd.h"

namespace espalier {

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& o) {
  require(o.momentum >= 0 && o.momentum < 1, "[optimizer] expected a momentum in [0, 1), got {}", o.momentum);
  require(o.weight_decay >= 0 && std::isfinite(o.weight_decay),
          "[optimizer] expected a weight decay of at least 0, got {}", o.weight_decay);
  require(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1,
          "[optimizer] expected betas in [0, 1), got {} and {}", o.beta1, o.beta2);
  // An epsilon that Real rounds to zero would make 0 / 0 of a pruned weight's update.
  require(static_cast<Real>(o.epsilon) >= std::numeric_limits<Real>::min() && std::isfinite(o.epsilon),
          "[optimizer] expected an epsilon of at least {}, got {}", std::numeric_limits<Real>::min(), o.epsilon);
  if (o.name == "sgd" || o.name == "nesterov")
    return std::make_unique<Sgd>(SgdOptions{.momentum = static_cast<Real>(o.momentum),
                                            .weight_decay = static_cast<Real>(o.weight_decay),
                                            .nesterov = o.name == "nesterov"});
  if (o.name == "adam" || o.name == "adamw")
    return std::make_unique<Adam>(AdamOptions{.beta1 = o.beta1,
                                              .beta2 = o.beta2,
                                              .epsilon = o.epsilon,
                                              .weight_decay = o.weight_decay,
                                              .decoupled = o.name == "adamw"});
  throw UsageError(fmt::format("[optimizer] expected sgd, nesterov, adam or adamw, got \"{}\"", o.name));
}

}  // namespace espalier
