// What methods with latents have in common (optim/latents.h): while they train, every pruned layer is a dense array
// that is derived from something else in each step; in the end it is frozen into an ordinary sparse parameter.
//
//      scores, thresholds, gates, dense weights  --derive-->  W (zeros where dead)  -->  forward, backward
//                        ^                                                                      |
//                        +----------------------- update <---------------------- dL/dW ---------+
//
// While it learns, such a method saves nothing: its products are dense, and it has more arrays than dense training.
// What it leaves behind is as small as any other's, and so is the training from there on: a method may freeze before
// the end (learns_until), and the survivors are then trained alone, as ordinary sparse weights.
//
// Everything that depends on the schedule is decided in after_step, and what was decided is state: a step that follows
// an interruption finds it in the checkpoint.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "espalier/pruning/method.h"

namespace espalier {

class LatentMethod : public Method, public Latents {
 public:
  ~LatentMethod() override;
  LatentMethod(const LatentMethod&) = delete;
  LatentMethod& operator=(const LatentMethod&) = delete;

  // Method. Freezing: every layer takes the values derived for evaluation, on the pattern of those that are live.
  std::vector<PruneEvent> finish(Index step) final;  // freezes, unless that has happened
  using Latents::finish;
  std::vector<PruneEvent> after_step(Index step, Index steps) override;
  void require_possible(double density) const override;
  double density() const override;
  std::vector<NamedNumbers> state() override;  // to be part of what a method returns

  // Latents
  void derive(Mode mode, Index step) final;
  bool update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) final;

 protected:
  // Takes over the trainer's derivation of weights. All layers must be dense arrays, as they are when made.
  explicit LatentMethod(const MethodContext& context);

  // Writes layer l's derived values into W (dense storage), and 1 or 0 for each position into `live`. One of the two is
  // to be overridden: the second one if blocks can be derived in parallel.
  //   W: [rows * cols]   live: [rows * cols]
  virtual void derive_layer(std::size_t /*l*/, Mode /*mode*/, Index /*step*/, std::span<Real> /*W*/,
                            std::span<std::uint8_t> /*live*/) {}
  //   W: [block.weights()]   live: [block.weights()]
  virtual void derive_block(std::size_t l, const RowBlock& block, Mode mode, Index step, std::span<Real> W,
                            std::span<std::uint8_t> live);
  // Before the layers are derived: what needs to see all of them (a global threshold).
  virtual void before_derive(Mode /*mode*/, Index /*step*/) {}
  // One block of layer l.   G: [block.weights()] dL/dW
  virtual void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) = 0;
  // Whether W, a parameter that is not derived (a bias, a protected layer), is not to be trained either.
  virtual bool never_trained(const Parameter& /*W*/) const { return false; }

  // After every step (and before the first) that does not freeze; density: what the schedule asks for by then.
  virtual void decide(Index /*step*/, double /*density*/) {}
  // Before freezing.
  virtual void conclude() {}
  // The fraction of the steps after which the layers are frozen; 1: after all of them.
  virtual double learns_until() const { return 1; }
  // How important each position of layer l is, dead or alive. With scores, freezing cuts what is live to the density
  // that was asked for and leaves a layer that lost everything the place of its best weight; false: derived weights
  // are as many as was asked, and a layer without any is an error.   scores: [rows * cols]
  virtual bool score_layer(std::size_t /*l*/, std::span<Real> /*scores*/) const { return false; }
  // Trained weights of which the derived ones are copies: their slots go on. Null: slots begin at zero.
  virtual const Parameter* source(std::size_t /*l*/) const { return nullptr; }

  // For each layer the score of the least important weight of those that its share of `density` lets it keep.
  std::vector<Real> thresholds(double density) const;

  std::size_t layers() const { return layers_.size(); }
  const Parameter& layer(std::size_t l) const { return *layers_[l]; }
  const PrunerOptions& options() const { return options_; }
  double setting(const std::string& name) const { return settings_.at(name); }
  bool is_frozen() const { return frozen_ != 0; }
  const Optimizer& optimizer() const { return trainer_.optimizer(); }
  Trainer& trainer() { return trainer_; }
  Index steps() const { return steps_; }  // of the whole training
  std::span<const std::uint8_t> live(std::size_t l) const { return live_[l]; }
  // A dense parameter of layer l's shape, with the optimizer's slots, called LAYER/what: a latent. The same blocks.
  Parameter latent_like(std::size_t l, const std::string& what, Role role = Role::weight) const;

 private:
  std::vector<PruneEvent> freeze(Index step);
  void cut_to_density();

  Trainer& trainer_;
  std::string name_;  // of the method, for messages
  PrunerOptions options_;
  Settings settings_;
  std::vector<Parameter*> layers_;
  std::map<const Parameter*, std::size_t> index_;
  std::vector<std::vector<std::uint8_t>> live_;
  Index steps_ = 0;
  Real frozen_ = 0;
};

// A latent method that trains a dense copy of every pruned layer's weights, and perhaps more.
//
//      LAYER/w: dense weights of their own   --derive-->   W = w where live, or w times a gate, or w less a threshold
class LatentWeights : public LatentMethod {
 public:
  // Layer by layer: the copy, and then what the method trains beside it.
  std::vector<Parameter*> latents() final;

 protected:
  // what: the copies are called LAYER/what.   role: Role::bias for weights that do not decay
  explicit LatentWeights(const MethodContext& context, const std::string& what = "w", Role role = Role::weight);

  std::span<const Real> w(std::size_t l) const { return w_[l].value(); }
  std::span<const Real> w(std::size_t l, const RowBlock& block) const { return of_block(w(l), block); }
  // One step of the run's optimizer.   G: [block.weights()] dL/dw
  void train(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) {
    optimizer().update(w_[l], block, G, rate, step);
  }
  // The latent that layer l has beside the copy, if there is one.
  virtual Parameter* beside(std::size_t /*l*/) { return nullptr; }
  const Parameter* source(std::size_t l) const override { return &w_[l]; }

 private:
  std::vector<Parameter> w_;
};

// How hard a penalty presses where the density is learnt: harder while more weights are live than the schedule wants.
//
//   e = log(density / target), within [-1, 1]      I += integral_gain e      pressure = exp(I + gain e)
class Steering {
 public:
  // pressure: at e = I = 0; above 0.
  Steering(double pressure, double gain, double integral_gain);
  void observe(double density, double target);
  Real pressure() const { return pressure_; }
  std::vector<NamedNumbers> state() {
    return {{"steering/integral", {&integral_, 1}}, {"steering/pressure", {&pressure_, 1}}};
  }

 private:
  Real integral_, pressure_ = 0;
  double gain_, integral_gain_;
};

// Scratch of this thread.
std::span<Real> latent_scratch(std::size_t count);

}  // namespace espalier
