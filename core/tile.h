// A tile: the part of a batch that one thread carries through the whole network.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/core/tensor.h"

namespace espalier {

struct Tile {
  Tensor input;                     // [sample shape, lanes]
  std::vector<std::int32_t> label;  // classification: the class of each valid lane, else empty
  Tensor target;                    // regression: [outputs, lanes], else empty
  Index first = 0;                  // position of lane 0 in the batch: keys per-sample randomness
  Real denominator = 1;             // the batch's samples: each lane's loss counts 1/denominator

  Index valid() const { return input.valid(); }
};

}  // namespace espalier
