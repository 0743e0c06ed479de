// Soft-threshold reparameterisation.
//
//   w' = sign(w) relu(|w| - g(s)),   g = sigmoid, s learnt per layer
//   dL/ds = -g'(s) sum_i sign(w_i) dL/dw'_i, over the live i        s <- s - rate dL/ds - decay log(density / target) s
//
// Every layer learns below which size it can do without a weight, and pays no jump when one crosses. The paper lets
// weight decay pull s from far below towards 0 (g = 1/2) and takes the density that comes of it; here the decay is
// stronger the more weights are live than the schedule wants at that step, and turns round when they are fewer: layers
// learn their shares, the user says the sum. The loss pulls thresholds down, so the density stays a little above its
// target, and at `end` the rest, those just above their threshold, is cut.
//
// When: every step until `end`; from then on the pattern is fixed, the threshold has been taken off for good, and the
// weights are trained alone, those that survived having to grow back what the threshold took.
//
// Exercise: print g(s) of the three layers of lenet-300-100. Which one learns the highest threshold, and why?
#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/pruning/latent_method.h"
#include "espalier/pruning/relaxations.h"

namespace espalier {
namespace {

class SoftThreshold final : public LatentWeights {
 public:
  explicit SoftThreshold(const MethodContext& context) : LatentWeights(context), decay_(setting("decay")) {
    require(decay_ > 0, "[str] expected a decay above 0, got {}", decay_);
    for (std::size_t l = 0; l < layers(); ++l) {
      s_.emplace_back(layer(l).name() + "/s", 1, 1, Role::bias);
      optimizer().prepare(s_.back());
      s_.back().value()[0] = static_cast<Real>(setting("start"));
      sums_.emplace_back(layer(l).blocks().size());
    }
  }

 protected:
  Parameter* beside(std::size_t l) override { return &s_[l]; }
  void decide(Index, double target) override {
    const double pull = decay_ * std::clamp(std::log(density() / target), -1.0, 1.0);
    if (target < 1)
      for (Parameter& s : s_) s.value()[0] *= static_cast<Real>(1 - pull);
  }
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    std::ranges::transform(w(l), scores.begin(), [&](Real weight) { return std::abs(weight) - threshold(l); });
    return true;
  }

  void derive_block(std::size_t l, const RowBlock& block, Mode, Index, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto weights = w(l, block);
    const Real t = threshold(l);
    for (std::size_t i = 0; i < W.size(); ++i) {
      W[i] = soft_threshold(weights[i], t);
      live[i] = std::abs(weights[i]) > t;
    }
  }
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto weights = w(l, block);
    const Real t = threshold(l);
    const auto dw = latent_scratch(G.size());
    double sum = 0;  // dL/dt
    for (std::size_t i = 0; i < G.size(); ++i) {
      const Real slope = soft_threshold_slope(weights[i], t);
      dw[i] = G[i] * std::abs(slope);
      sum += static_cast<double>(G[i] * slope);
    }
    sums_[l][block.number] = sum;
    train(l, block, dw, rate, step);
  }
  void finish(Real rate, Index step) override {  // sums in the order of the blocks, on any number of threads
    for (std::size_t l = 0; l < layers() && !is_frozen(); ++l) {
      double sum = 0;
      for (const double part : sums_[l]) sum += part;
      const Real g = threshold(l), ds = static_cast<Real>(sum) * g * (1 - g);
      optimizer().update(s_[l], s_[l].blocks()[0], {&ds, 1}, rate, step);
    }
  }

 private:
  using LatentMethod::finish;
  Real threshold(std::size_t l) const { return sigmoid(s_[l].value()[0]); }
  double decay_;
  std::vector<Parameter> s_;
  std::vector<std::vector<double>> sums_;  // per block
};

}  // namespace

namespace method_pages {
MethodInfo str() {
  return {.name = "str",
          .family = "during training",
          .line = "soft-threshold reparameterisation: every layer learns its threshold",
          .source =
              "Kusupati, Ramanujan, Somani, Wortsman, Jain, Kakade, Farhadi, Soft threshold weight "
              "reparameterization for learnable sparsity, 2020",
          .formula = "w' = sign(w) relu(|w| - sigmoid(s));  s <- s - rate dL/ds - decay log(density / target) s",
          .cost = "dense products and one more array until `end`",
          .caveat = "survivors are shrunk by the threshold; layers learn their shares, not the sum, which is steered",
          .example = "espalier train --method str --density 0.05",
          .defaults = {.schedule = {.begin = 0.05, .end = 0.7}},
          .settings = {{"start", -8, "s before training; sigmoid(-8) = 0.0003"},
                       {"decay", 0.1, "of s, per step and e-fold of density above its target"}},
          .make = [](const MethodContext& context) { return std::make_unique<SoftThreshold>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
