// Latents: weights that are not trained themselves but derived, in every step, from something that is: scores,
// thresholds, gates, a dense copy of the weights (pruning/latent_method.h lists the methods that have some).
//
//   derive   latents -> W             before a batch is carried through
//   update   dL/dW -> latents         instead of the optimizer's update, block by block, straight through or by the
//                                     chain rule, as the method says
//   finish                            after all blocks: uses sums over blocks, such as a threshold's gradient
#pragma once

#include <span>

#include "espalier/core/parameter.h"
#include "espalier/core/tape.h"

namespace espalier {

class Latents {
 public:
  virtual ~Latents() = default;
  // Writes the derived values into their parameters. Mode::training: the values of step `step` (counted from 0), with
  // their noise; any other mode: the values that the trained network will have. Called from one thread.
  virtual void derive(Mode mode, Index step) = 0;
  // Updates one block of one parameter. Returns false if the parameter is not derived: then the optimizer updates it.
  // Re-entrant for different blocks.
  //   G: [block.weights()] dL/dW     step: counted from 1, as optimizers count
  virtual bool update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) = 0;
  virtual void finish(Real /*rate*/, Index /*step*/) {}
};

}  // namespace espalier
