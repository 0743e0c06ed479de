// Evidence: what a criterion may ask of a network besides its weights. Everything is computed when it is first asked
// for, kept until begin() is called for the next decision, and counted in the training's FLOPs.
//
//   gradient          dL/dw                    snip, taylor; rigl, of the dead as well
//
// All of it is of the mean loss over `batches` batches of the training data, beginning with the batch that the next
// step will train on.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "optim/trainer.h"

namespace espalier {

class Evidence {
 public:
  // Both must outlive the evidence.
  Evidence(Trainer& trainer, const Loader& data, Index batches = 1);

  // Forgets what is known: the network has changed, `step` steps are done.
  void begin(Index step);

  // dL/dw, in the order of W's arrays.
  std::span<const Real> gradient(const Parameter& W);
  // dL/dw at every position of W, dead or alive, row-major: what growth by gradient looks at. Costs a dense forward and
  // backward pass, for which all weights become dense arrays for a moment.   [W.positions()]
  std::span<const Real> dense_gradient(const Parameter& W);

  Trainer& trainer() { return trainer_; }
  const Loader& data() const { return data_; }
  // The i-th batch to look at.
  Index batch(Index i) const { return (step_ + i) % data_.batches(); }
  Index batches() const { return batches_; }

 private:
  using Arrays = std::vector<AlignedVector<Real>>;  // one per parameter
  std::size_t index_of(const Parameter& W) const;
  Arrays mean_gradients(Loss loss = nullptr);

  Trainer& trainer_;
  const Loader& data_;
  Index batches_, step_ = 0;
  std::map<const Parameter*, std::size_t> index_;
  Arrays gradient_, dense_gradient_;  // empty: not asked for yet
};

}  // namespace espalier
