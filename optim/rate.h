// Learning rates over time: a warm-up, then constant, steps, or half a cosine.
//
//   rate |   /''''\                    warm-up rises linearly over its first `warmup` of the steps;
//        |  /       \   cosine         step multiplies by `gamma` at each milestone (fractions of all steps);
//        | /           \               cosine falls to `floor` * rate (Loshchilov & Hutter 2017).
//        +---------------- step
#pragma once

#include <string_view>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

enum class RateSchedule { constant, step, cosine };

std::string_view name_of(RateSchedule schedule);
// Throws UsageError, listing the known names, for any other.
RateSchedule rate_schedule_named(std::string_view name);

struct RateOptions {
  RateSchedule schedule = RateSchedule::cosine;
  double rate = 0.1;                             // the highest learning rate
  double warmup = 0;                             // the fraction of all steps over which it rises to `rate`
  double floor = 0;                              // cosine: the lowest learning rate, as a fraction of `rate`
  double gamma = 0.1;                            // step: the factor at each milestone
  std::vector<double> milestones = {0.5, 0.75};  // step: fractions of all steps
};

// The options, if their numbers are possible. Throws UsageError if not.
RateOptions settled(RateOptions options);

// The learning rate of `step`, 0 <= step < steps.
double rate_at(const RateOptions& options, Index step, Index steps);

}  // namespace espalier
