// Learning rates over time: a warm-up, then constant, steps, or half a cosine.
//
//   rate |   /''''\                    warm-up rises linearly over its first `warmup` of the steps;
//        |  /       \   cosine         step multiplies by `gamma` at each milestone (fractions of all steps);
//        | /           \               cosine falls to `floor` * rate (Loshchilov & Hutter 2017).
//        +---------------- step
#pragma once

#include <string>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

struct RateOptions {
  std::string schedule = "cosine";               // constant, step, cosine
  double rate = 0.1;                             // the highest
  double warmup = 0;                             // fraction of all steps
  double floor = 0;                              // cosine: the lowest, as a fraction of rate
  double gamma = 0.1;                            // step
  std::vector<double> milestones = {0.5, 0.75};  // step
};

// Throws UsageError for unknown schedules and impossible numbers.
void check_rate(const RateOptions& options);

// The rate of `step`, 0 <= step < steps.
double rate_at(const RateOptions& options, Index step, Index steps);

}  // namespace espalier
