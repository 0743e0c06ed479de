// Dead units: what a pattern of weights leaves without a path from the input to the output.
//
//   a hidden unit none of whose outgoing weights lead on changes nothing;
//   one that no input reaches is a constant, and could be folded into the biases that follow
//   (Evci et al., "Rigging the lottery", 2020, appendix B).
//
// Weights from or to such units are stored and multiplied, but are not *effective*.
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

// Live weights on a path from input to output, plus biases and scales of units on such paths. A unit is a feature or a
// channel of an image; of a residual sum it is enough that one side reaches it. A model with operations that are not
// understood has all its nonzeros counted.
//
// input: the shape of one sample.
Index effective_nonzeros(const Module& model, const Shape& input);

}  // namespace espalier
