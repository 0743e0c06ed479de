// Mean and spread of a number over seeds.
#pragma once

#include <vector>

namespace espalier {

// sd: the sample's standard deviation; 0 of a single value.
struct MeanSd {
  double mean = 0, sd = 0, standard_error = 0;
};
MeanSd mean_sd(const std::vector<double>& values);

}  // namespace espalier
