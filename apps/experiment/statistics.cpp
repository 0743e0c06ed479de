#include "espalier/experiment/statistics.h"

#include <cmath>

namespace espalier {

MeanSd mean_sd(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  MeanSd m;
  for (const double v : values) m.mean += v / n;
  for (const double v : values) m.sd += (v - m.mean) * (v - m.mean);
  m.sd = values.size() > 1 ? std::sqrt(m.sd / (n - 1)) : 0;
  m.standard_error = m.sd / std::sqrt(n);
  return m;
}

}  // namespace espalier
