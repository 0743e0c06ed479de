// Dead units: what a pattern of weights leaves without a path from the input to the output.
//
//   a hidden unit none of whose outgoing weights lead on changes nothing;
//   one that no input reaches is a constant, and could be folded into the biases that follow
//   (Evci et al., "Rigging the lottery", 2020, appendix B).
//
// Weights from or to such units are stored and multiplied, but are not *effective*.
#pragma once

#include "layers/module.h"

namespace espalier {

// Live weights on a path from input to output, plus biases of units on such paths. For models whose weights form a
// chain (recorded as linear and element-wise operations one after the other); any other model has all its nonzeros
// counted.
//
// input: the shape of one sample.
Index effective_nonzeros(Module& model, const Shape& input);

}  // namespace espalier
