// Recalibration: running statistics anew, for weights that changed without training.
//
// Pruning at one stroke moves every activation, but the running mean and variance of batch norm still are those of the
// dense network; what is then measured is a network that normalises wrongly, and much of the loss comes back without
// changing a weight (Li et al., "EagleEye", 2020). It costs a forward pass per batch.
#pragma once

#include <cstdint>

#include "espalier/core/flops.h"
#include "espalier/core/threads.h"
#include "espalier/datasets/loader.h"
#include "espalier/layers/module.h"

namespace espalier {

struct RecalibrateOptions {
  Index batches = 0;  // of the loader's epoch; 0: all
  int threads = default_threads();
  std::uint64_t seed = 1;  // of dropout and the like, which is on, as in training
};

// Every layer's running statistics become their mean over the batches, each weighing as many as it has samples; what
// they were is forgotten. Parameters stay as they are.
// Returns the FLOPs of the passes.
Flops recalibrate(Module& model, const Loader& loader, const RecalibrateOptions& options = {});

}  // namespace espalier
