// Batch norm that is no layer any more: of a trained network its statistics are constants, and a scale and a shift of
// what a matrix has made are part of that matrix.
//
//   z = W x + b,   y = f(gamma (z - mean) / sqrt(variance + epsilon) + beta)
//
//   s = gamma / sqrt(variance + epsilon)      W' = s W,   b' = s b,   beta' = beta - s mean      y = f(W' x + b' +
//   beta')
//
// The weights of a row are multiplied by one number, so that none that was pruned comes back. What is left of the layer
// is beta', the bias that the matrix before it did without.
//
// Possible where a matrix makes what is normalised, nothing stands between the two (an activation, a maximum), and
// nothing else reads what it makes. The first and the last are read off a recorded tape; that nothing stands between is
// seen from the numbers: what the tape has is W x + b, where that is negative as well.
//
// Intuition: normalising is for training. Cost: nothing, from then on. Caveat: the network that is left can be trained
// on, but is not normalised any more.
#pragma once

#include <string>
#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

struct FoldedNorms {
  std::vector<std::string> folded = {};  // names of layers: "fc1.norm"
  struct Stays {
    std::string name, why;
  };
  std::vector<Stays> stay = {};
};

// input: the shape of one sample. Outputs change by rounding only.
FoldedNorms fold_norms(Module& model, const Shape& input);

// Takes the statistics and the scale of the layers of these names away, as they are in a network in which they were
// folded. For readers of files, who bring the other numbers along.
void forget_norms(Module& model, const std::vector<std::string>& names);

}  // namespace espalier
