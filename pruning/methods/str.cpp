// Soft-threshold reparameterisation.
//
//   Kusupati, Ramanujan, Somani, Wortsman, Jain, Kakade, Farhadi, "Soft threshold weight reparameterization for
//   learnable sparsity", 2020
//
//   w' = sign(w) relu(|w| - g(s)),   g = sigmoid, s learnt per layer
//   dL/ds = -g'(s) sum_i sign(w_i) dL/dw'_i, over the live i        s <- s - rate dL/ds - decay log(density / target) s
//
// Every layer learns below which size it can do without a weight, and pays no jump when one crosses. The paper lets
// weight decay pull s from far below towards 0 (g = 1/2) and takes the density that comes of it; here the decay is
// stronger the more weights are live than the schedule wants at that step, and turns round when they are fewer: layers
// learn their shares, the user says the sum. When: every step until `end`; from then on the pattern is fixed, the
// threshold has been taken off for good, and the weights are trained alone. Cost: dense products, one more array.
// Caveat: survivors are shrunk by g(s) and have to grow back; the loss pulls thresholds down, so the density stays a
// little above its target, and at `end` the rest, those just above their threshold, is cut.
// Try: espalier train --method str --density 0.05
// Exercise: print g(s) of the three layers of lenet-300-100. Which one learns the highest threshold, and why?
#include "espalier/core/error.h"
#include "espalier/pruning/latent_method.h"
#include "espalier/pruning/relaxations.h"

namespace espalier {
namespace {

class SoftThreshold final : public LatentMethod {
 public:
  explicit SoftThreshold(const MethodContext& context) : LatentMethod(context), decay_(setting("decay")) {
    require(decay_ > 0, "[str] expected a decay above 0, got {}", decay_);
    for (std::size_t l = 0; l < layers(); ++l) {
      w_.push_back(latent_like(l, "w"));
      std::ranges::copy(layer(l).value(), w_.back().value().begin());
      s_.emplace_back(layer(l).name() + "/s", 1, 1, Role::bias);
      optimizer().prepare(s_.back());
      s_.back().value()[0] = static_cast<Real>(setting("start"));
      sums_.emplace_back(layer(l).blocks().size());
    }
  }
  std::vector<Parameter*> latents() override {
    std::vector<Parameter*> all;
    for (std::size_t l = 0; l < layers(); ++l) all.insert(all.end(), {&w_[l], &s_[l]});
    return all;
  }

 protected:
  void decide(Index, double target) override {
    const double pull = decay_ * std::clamp(std::log(density() / target), -1.0, 1.0);
    if (target < 1)
      for (Parameter& s : s_) s.value()[0] *= static_cast<Real>(1 - pull);
  }
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    const auto w = w_[l].value();
    for (std::size_t i = 0; i < w.size(); ++i) scores[i] = std::abs(w[i]) - threshold(l);
    return true;
  }
  const Parameter* source(std::size_t l) const override { return &w_[l]; }

  void derive_block(std::size_t l, const RowBlock& block, Mode, Index, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto w = of_block(std::as_const(w_[l]).value(), block);
    const Real t = threshold(l);
    for (std::size_t i = 0; i < W.size(); ++i) {
      W[i] = soft_threshold(w[i], t);
      live[i] = std::abs(w[i]) > t;
    }
  }
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto w = of_block(std::as_const(w_[l]).value(), block);
    const Real t = threshold(l);
    const auto dw = latent_scratch(G.size());
    double sum = 0;  // dL/dt
    for (std::size_t i = 0; i < G.size(); ++i) {
      const Real slope = soft_threshold_slope(w[i], t);
      dw[i] = G[i] * std::abs(slope);
      sum += static_cast<double>(G[i] * slope);
    }
    sums_[l][block.number] = sum;
    optimizer().update(w_[l], block, dw, rate, step);
  }
  void finish(Real rate, Index step) override {  // sums in the order of the blocks, whoever computed them
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
  std::vector<Parameter> w_, s_;
  std::vector<std::vector<double>> sums_;  // per block
};

}  // namespace

namespace method_pages {
MethodInfo str() {
  return {.name = "str",
          .family = "during training",
          .line = "soft-threshold reparameterisation: every layer learns its threshold",
          .source = "Kusupati et al., Soft threshold weight reparameterization for learnable sparsity, 2020",
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
