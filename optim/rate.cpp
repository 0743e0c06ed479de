#include "espalier/optim/rate.h"

#include <cmath>
#include <numbers>

#include "espalier/core/error.h"

namespace espalier {

void check_rate(const RateOptions& o) {
  require(o.schedule == "constant" || o.schedule == "step" || o.schedule == "cosine",
          "[rate] expected constant, step or cosine, got \"{}\"", o.schedule);
  require(o.rate > 0 && std::isfinite(o.rate), "[rate] expected a positive learning rate, got {}", o.rate);
  require(o.warmup >= 0 && o.warmup < 1, "[rate] expected a warm-up in [0, 1) of the steps, got {}", o.warmup);
  require(o.floor >= 0 && o.floor <= 1, "[rate] expected a floor in [0, 1], got {}", o.floor);
  for (const double milestone : o.milestones)
    require(milestone >= 0 && milestone <= 1, "[rate] expected milestones in [0, 1] of the steps, got {}", milestone);
  require(o.gamma > 0 && o.gamma <= 1, "[rate] expected a factor in (0, 1], got {}", o.gamma);
}

double rate_at(const RateOptions& o, Index step, Index steps) {
  const double warm_steps = o.warmup * static_cast<double>(steps);
  const double t = static_cast<double>(step);
  if (t < warm_steps) return o.rate * (t + 1) / (warm_steps + 1);
  if (o.schedule == "constant") return o.rate;
  const double progress = t / static_cast<double>(steps);
  if (o.schedule == "step") {
    double rate = o.rate;
    for (const double milestone : o.milestones)
      if (progress >= milestone) rate *= o.gamma;
    return rate;
  }
  const double after = (t - warm_steps) / (static_cast<double>(steps) - warm_steps);
  return o.rate * (o.floor + (1 - o.floor) * (1 + std::cos(std::numbers::pi * after)) / 2);
}

}  // namespace espalier
