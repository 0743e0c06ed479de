#include "espalier/datasets/table/split.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/random.h"

namespace espalier {

StratifiedSplit::StratifiedSplit(std::vector<Index> rows, double test_fraction, Index validation, std::uint64_t seed)
    : seed_(seed) {
  const auto share = [](Index count, double fraction) { return std::llround(static_cast<double>(count) * fraction); };
  Index rest = 0;
  for (const Index count : rows) {
    strata_.push_back({.left = count, .test = share(count, test_fraction)});
    rest += count - strata_.back().test;
  }
  const double held_out = rest ? static_cast<double>(std::min(validation, rest / 10)) / static_cast<double>(rest) : 0;
  for (Stratum& s : strata_) s.validation = share(s.left - s.test, held_out);
}

Part StratifiedSplit::next(std::size_t klass) {
  Stratum& s = strata_[klass];
  const double u = Random(seed_, "table/split").uniform(row_++) * static_cast<double>(s.left--);
  if (u < static_cast<double>(s.test)) {
    --s.test;
    return Part::test;
  }
  if (u < static_cast<double>(s.test + s.validation)) {
    --s.validation;
    return Part::validation;
  }
  return Part::train;
}

}  // namespace espalier
