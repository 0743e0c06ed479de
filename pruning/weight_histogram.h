// How the values of a layer's weights are distributed before and after it is pruned:
//
//             before                      after
//             _ _                          .   .
//           _|   |_                      _|     |_
//      ____|       |____            ____|         |____        the weights around zero have gone
//    -limit    0   limit          -limit     0    limit
//
// Bins are equally wide, from minus to plus the largest magnitude before. Weights that are exactly zero, pruned ones in
// masked storage and newborn ones, are in none of them. Of layers with more than 65,536 stored weights only every n-th
// is looked at, and counts n times.
#pragma once

#include <array>

#include "espalier/core/clock.h"
#include "espalier/core/parameter.h"

namespace espalier {

struct WeightHistogram {
  static constexpr std::size_t bins = 40;
  explicit WeightHistogram(const Parameter& before);
  void add_after(const Parameter& W);

  double limit = 0;
  std::array<Index, bins> before = {}, after = {};
  double seconds = 0;  // that counting took
};

}  // namespace espalier
