#include "espalier/optim/rate.h"

#include <array>
#include <cmath>
#include <numbers>

#include "espalier/core/nearest.h"

namespace espalier {
namespace {

constexpr std::array schedules{RateSchedule::constant, RateSchedule::step, RateSchedule::cosine};

}  // namespace

std::string_view name_of(RateSchedule schedule) {
  switch (schedule) {
    case RateSchedule::constant:
      return "constant";
    case RateSchedule::step:
      return "step";
    case RateSchedule::cosine:
      return "cosine";
  }
  return "?";
}

RateSchedule rate_schedule_named(std::string_view name) {
  std::vector<std::string> known;
  for (const RateSchedule schedule : schedules) {
    if (name_of(schedule) == name) return schedule;
    known.emplace_back(name_of(schedule));
  }
  throw UsageError(
      fmt::format("[rate] schedule: expected {}, got \"{}\"{}", listed(known), name, did_you_mean(name, known)));
}

RateOptions settled(RateOptions o) {
  require(o.rate > 0 && std::isfinite(o.rate), "[rate] rate: expected a positive learning rate, got {}", o.rate);
  require(o.warmup >= 0 && o.warmup < 1, "[rate] warmup: expected a fraction of the steps in [0, 1), got {}", o.warmup);
  require(o.floor >= 0 && o.floor <= 1, "[rate] floor: expected a fraction of the rate in [0, 1], got {}", o.floor);
  for (const double milestone : o.milestones)
    require(milestone >= 0 && milestone <= 1, "[rate] milestones: expected fractions of the steps in [0, 1], got {}",
            milestone);
  require(o.gamma > 0 && o.gamma <= 1, "[rate] gamma: expected a factor in (0, 1], got {}", o.gamma);
  return o;
}

double rate_at(const RateOptions& o, Index step, Index steps) {
  const double warm_steps = o.warmup * static_cast<double>(steps);
  const double t = static_cast<double>(step);
  if (t < warm_steps) return o.rate * (t + 1) / (warm_steps + 1);
  const double progress = t / static_cast<double>(steps);
  const double after = (t - warm_steps) / (static_cast<double>(steps) - warm_steps);
  double rate = o.rate;
  switch (o.schedule) {
    case RateSchedule::constant:
      return rate;
    case RateSchedule::step:
      for (const double milestone : o.milestones)
        if (progress >= milestone) rate *= o.gamma;
      return rate;
    case RateSchedule::cosine:
      return rate * (o.floor + (1 - o.floor) * (1 + std::cos(std::numbers::pi * after)) / 2);
  }
  return rate;
}

}  // namespace espalier
