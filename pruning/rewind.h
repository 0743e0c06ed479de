// Rewinding: what survived pruning goes back to what it was early in training, and is trained again.
//
// Frankle & Carbin, "The lottery ticket hypothesis", 2019: to initialisation. Frankle et al., "Linear mode connectivity
// and the lottery ticket hypothesis", 2020: to step k, a little later, which larger networks need.
#pragma once

#include <span>
#include <vector>

#include "core/parameter.h"

namespace espalier {

class Snapshot {
 public:
  // Copies values (weights and biases), not optimizer slots.
  explicit Snapshot(std::span<Parameter* const> parameters);
  // Every live weight gets the value it had; patterns and storage stay as they are now. The parameters must be the
  // same, in the same order; weights that were not live at the time get 0.
  void restore(std::span<Parameter* const> parameters) const;
  // The copies, for checkpoints.
  std::vector<Parameter*> copies();

 private:
  std::vector<Parameter> copies_;
};

}  // namespace espalier
