// What methods with latents have in common (optim/latents.h): while they train, every pruned layer is a dense array
// that is derived from something else in each step; in the end it is frozen into an ordinary sparse parameter.
//
//      scores, thresholds, gates, dense weights  --derive-->  W (zeros where dead)  -->  forward, backward
//                        ^                                                                      |
//                        +----------------------- update <---------------------- dL/dW ---------+
//
// What such a method saves while it trains is nothing: its products are dense, its arrays more than dense. What it
// leaves behind is as small as any other's.
#pragma once

#include <cstdint>
#include <vector>

#include "pruning/method.h"

namespace espalier {

class LatentMethod : public Method, public Latents {
 public:
  ~LatentMethod() override;
  LatentMethod(const LatentMethod&) = delete;
  LatentMethod& operator=(const LatentMethod&) = delete;

  // Method: freezes. Every layer takes the values derived for evaluation, on the pattern of those that are live.
  std::vector<PruneEvent> finish(Index step) final;
  std::vector<PruneEvent> after_step(Index /*step*/, Index steps) override {
    steps_ = steps;
    return {};
  }
  void require_possible(double density) const override;
  double density() const override;

  // Latents
  void derive(Mode mode, Index step) final;
  bool update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) final;

 protected:
  // Takes over the trainer's derivation of weights. All layers must be dense arrays, as they are when made.
  explicit LatentMethod(const MethodContext& context);

  // Writes layer l's derived values into W (dense storage), and 1 or 0 for each position into `live`.
  //   W: [rows * cols]   live: [rows * cols]
  virtual void derive_layer(std::size_t l, Mode mode, Index step, std::span<Real> W, std::span<std::uint8_t> live) = 0;
  // Before the layers are derived: what needs to see all of them (a global threshold).
  virtual void before_derive(Mode /*mode*/, Index /*step*/) {}
  // One block of layer l.   G: [block.weights()] dL/dW
  virtual void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) = 0;
  // Whether W, a parameter that is not derived (a bias, a protected layer), is not to be trained either.
  virtual bool frozen(const Parameter& /*W*/) const { return false; }

  std::size_t layers() const { return layers_.size(); }
  const Parameter& layer(std::size_t l) const { return *layers_[l]; }
  const PrunerOptions& options() const { return options_; }
  double setting(const std::string& name) const { return options_.settings.at(name); }
  const Optimizer& optimizer() const { return trainer_.optimizer(); }
  Trainer& trainer() { return trainer_; }
  Index steps() const { return steps_; }  // of the whole training; 0 before after_step(0, ...)
  std::span<const std::uint8_t> live(std::size_t l) const { return live_[l]; }
  // A dense parameter of layer l's shape, with the optimizer's slots, called LAYER/what: a latent. The same blocks.
  Parameter latent_like(std::size_t l, const std::string& what, Role role = Role::weight) const;

 private:
  Trainer& trainer_;
  PrunerOptions options_;
  std::vector<Parameter*> layers_;
  std::map<const Parameter*, std::size_t> index_;
  std::vector<std::vector<std::uint8_t>> live_;
  Index steps_ = 0;
};

// Scratch of this thread.
std::span<Real> latent_scratch(std::size_t count);

}  // namespace espalier
