// Batch normalisation (Ioffe & Szegedy 2015), over the channels of an image or over features.
//
//   training                  x^ = (x - mean of the tile) / sqrt(variance of the tile + epsilon)
//   evaluation, inference     x^ = (x - running mean) / sqrt(running variance + epsilon)
//   all                       y = f(gamma x^ + beta)
//
// Statistics are those of a tile (ghost batch norm, Hoffer et al. 2017): over its valid lanes and all pixels. So a tile
// still needs no other, and what it computes does not depend on threads. Where a tile has one value per channel there
// is nothing to normalise by, and it takes the running statistics.
//
// The running statistics move once a step, after all tiles: forward, which is const, leaves what it saw on the tape,
// and merge_state puts the tiles together in their order.
//
// A layer without statistics. Of a trained network they are constants, and the layer is a scale and a shift of each
// channel. A visitor of the state that leaves both arrays empty asks for just that, and for good: the layer then keeps
//
//   gamma' = gamma / sqrt(running variance + epsilon)      beta' = beta - gamma' running mean      y = f(gamma' x +
//   beta')
//
// which is the same to rounding, in training as well. A gamma' that is 1 everywhere is a parameter no longer: so a
// layer whose scale was multiplied into the matrix before it has only beta' left (layers/fold_norm.h).
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

struct BatchNormOptions {
  std::string name = "batch_norm";
  Index channels = 0;
  Activation activation = Activation::none;  // fused, and differentiated from its output
  Real epsilon = Real{1e-5};
  double momentum = 0.1;  // the weight of a new batch in the running statistics
};

struct RunningStatistics {
  std::vector<Real> mean, variance;  // [channels]
};

// x: [C, H, W] or [C]   gamma, beta: [C, 1]   ->   the same shape
// In training observes, under the address of `running`, mean and variance of the tile: [2 C].
Var batch_norm(const Var& x, const Parameter& gamma, const Parameter& beta, const RunningStatistics& running,
               Activation f = Activation::none, Real epsilon = Real{1e-5}, Halo halo = {});

// y = f(gamma x + beta), channel by channel; without gamma f(x + beta)
Var scale_and_shift(const Var& x, const Parameter* gamma, const Parameter& beta, Activation f = Activation::none,
                    Halo halo = {});

class BatchNorm final : public Module {
 public:
  // gamma = 1, beta = 0, running mean 0 and variance 1.
  explicit BatchNorm(BatchNormOptions options);
  Var forward(const Var& x) const override {
    if (!has_statistics())
      return scale_and_shift(x, has_scale() ? &gamma_ : nullptr, beta_, options_.activation, halo_);
    return batch_norm(x, gamma_, beta_, running_, options_.activation, options_.epsilon, halo_);
  }
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  void visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) override;
  void merge_state(std::span<Tape* const> tapes, std::optional<double> weight) override;
  std::string name() const override { return options_.name; }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  bool has_statistics() const { return !running_.mean.empty(); }
  bool has_scale() const;
  void absorb(const RunningStatistics& statistics);
  BatchNormOptions options_;
  Parameter gamma_, beta_;
  RunningStatistics running_;
  std::vector<double> mean_, squares_;  // scratch of merge_state
  Halo halo_;
};

}  // namespace espalier
