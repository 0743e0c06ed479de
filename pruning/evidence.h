// Evidence: what a criterion may ask of a network besides its weights. Everything is computed when it is first asked
// for, kept until begin() is called for the next decision, and counted in the training's FLOPs as far as batches pass
// through the network. The network is left as it was, to the bit.
//
//   gradient                g = dL/dw                            snip, grasp
//   dense_gradient          the same of the dead as well         growth
//   squared_batch_gradient  mean over batches of g^2             taylor
//   squared_gradient        mean over samples of g^2             obd
//   hessian_gradient        H g                                  grasp
//   flow                    |w| dR/d|w| without data             synflow
//   input_squares           mean of x_j^2                        wanda, obs
//   input_products          mean of x_j x_k                      obs
//
// All of it but the flow is of the mean loss over `batches` batches of the training data, beginning with the batch that
// the next step will train on.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <vector>

#include "espalier/optim/trainer.h"

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

  // (dL/dw)^2, meaned over batches, each of which has a gradient of its own: it does not vanish where training has
  // brought the mean gradient to zero. In the order of W's arrays.
  std::span<const Real> squared_batch_gradient(const Parameter& W);
  // The same over samples: the diagonal of the empirical Fisher matrix. Of at most 256 samples, since each needs a pass
  // and a settled gradient of its own. In the order of W's arrays.
  //
  // A sample passes alone, so batch normalisation takes its statistics of that sample's pixels.
  std::span<const Real> squared_gradient(const Parameter& W);
  // H g, with the gradient g and the Hessian H of the loss with respect to the prunable weights that are alive; by
  // central differences, (grad(w + h g) - grad(w - h g)) / 2h. In the order of W's arrays.
  // temperature: what the outputs are divided by before the loss; a high one leaves the softmax no curvature of its
  // own, and H that of the network.
  std::span<const Real> hessian_gradient(const Parameter& W, double temperature = 1);
  // What flows through each weight if every weight is |w|, every bias 0, normalisation does nothing, every input is 1
  // and R is the sum of the outputs: |w| dR/d|w|, up to a positive factor that all weights of the network share. In the
  // order of W's arrays. Throws UsageError if R is 0 or not finite.
  std::span<const Real> flow(const Parameter& W);

  // x_j^2 of what W is multiplied by, summed over the operands of a sample (patches, steps) and meaned over samples.
  // Rows of different groups read different numbers, as do a grouped convolution's, or all rows of a matrix that is
  // used transposed: g-th row group at [g * cols, (g + 1) * cols).   [groups * W.cols()]
  std::span<const double> input_squares(const Parameter& W);
  // The unit that each live weight of W leads to, in row-major order: its row, or, if W is used transposed, what its
  // column stands for.     [W.nonzeros()]
  std::span<const Index> led_to(const Parameter& W);
  // x_j x_k of what W is multiplied by, meaned over samples (and steps); nothing for a convolution of images or a
  // matrix that is used transposed.    [W.cols(), W.cols()]
  std::span<const Real> input_products(const Parameter& W);

  Trainer& trainer() { return trainer_; }
  const Loader& data() const { return data_; }
  // The i-th batch to look at.
  Index batch(Index i) const { return (step_ + i) % data_.batches(); }
  Index batches() const { return batches_; }

 private:
  using Arrays = std::vector<AlignedVector<Real>>;  // one per parameter
  std::size_t index_of(const Parameter& W) const;
  Arrays mean_gradients(const Loss& loss = nullptr);
  Arrays compute_squared_gradients();
  Arrays compute_hessian_gradients(double temperature);
  Arrays compute_flow();
  // Shows what every prunable matrix reads, tile by tile.
  void examine_inputs(const std::function<void(const Tape&, const Node&, const Reads&)>& look);

  Trainer& trainer_;
  const Loader& data_;
  Index batches_, step_ = 0;
  std::map<const Parameter*, std::size_t> index_;
  // Empty: not asked for yet.
  double temperature_ = 1;  // of hessian_gradient_
  Arrays gradient_, dense_gradient_, squared_batch_gradient_, squared_gradient_, hessian_gradient_, flow_;
  std::map<const Parameter*, std::vector<double>> input_squares_;
  std::map<const Parameter*, std::vector<Index>> led_to_;
  std::map<const Parameter*, AlignedVector<Real>> input_products_;
};

}  // namespace espalier
