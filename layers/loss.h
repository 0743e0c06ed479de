// Losses: from a network's output to one number per sample. The batch's loss is their mean; the tape starts the way
// back with 1/denominator per valid lane. A loss
// keeps a reference to the tile: it must outlive the way back.
#pragma once

#include "layers/module.h"

namespace espalier {

// -log softmax(logits)[label]      logits: [classes]   ->   [1]
Var softmax_cross_entropy(const Var& logits, const Tile& tile);

// mean over outputs of (y - target)^2      y: [outputs]   ->   [1]
Var mean_squared_error(const Var& y, const Tile& tile);

// A loss as a value: what the training loop is given.
using Loss = Var (*)(const Var& output, const Tile& tile);

}  // namespace espalier
