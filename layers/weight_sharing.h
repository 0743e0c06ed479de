// Weights that share their values: a codebook of at most 256 numbers, and for each live weight the one it has.
//
//      weights   1.0  1.2  -0.5  0.9  -0.6          codebook   -0.55  1.03
//      codes       1    1     0    1     0          weights    1.03  1.03  -0.55  1.03  -0.55
//
// Han, Mao & Dally, "Deep Compression: Compressing deep neural networks with pruning, trained quantization and Huffman
// coding", 2016. Two ways to a codebook:
//
//   k-means       the values are clustered, each cluster's mean is one entry: the sum of squared changes is as small as
//                 Lloyd's iteration makes it. It begins with evenly spaced centres between the least and the greatest
//                 value, so that the few large weights, which matter most, have centres of their own.
//   equal steps   255 values at equal distances around 0, the outermost being the weight of largest magnitude: only the
//                 distance has to be kept.
//
// Codes are in the row-major order of the live weights, whatever the storage.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "espalier/core/parameter.h"

namespace espalier {

struct Sharing {
  std::vector<Real> codebook;       // at most 256
  std::vector<std::uint8_t> codes;  // [nonzeros]
};

// bits: 1 to 8, for at most 2^bits clusters; fewer where no weight is near a centre.
Sharing kmeans_sharing(const Parameter& W, int bits);
Sharing equal_steps_sharing(const Parameter& W);

// The sharing that W has: the codebook ascends, equal weights have equal bits. None if there are more than 256 values.
std::optional<Sharing> sharing_of(const Parameter& W);

// The distance between two neighbours, if each entry is, to the bit, a whole number from -127 to 127 times it.
std::optional<Real> step_of(const Sharing& sharing);
// Which whole number.
int steps_in(Real value, Real step);

// Gives each weight its entry of the codebook.
void apply(const Sharing& sharing, Parameter& W);
// Entries become the means of the weights that share them, for weights that were trained apart. Then applies it.
void average_shared(Sharing& sharing, Parameter& W);

}  // namespace espalier
