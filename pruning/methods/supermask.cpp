// Supermask: strong lottery tickets by coin flips.
//
//   training     W = c m w,   m ~ Bernoulli(p),   p = sigmoid(b (s - t)),   c = sqrt(n / sum m)
//   evaluation   the same with m = 1 where p >= 1/2
//   dL/ds = dL/dW c w b p (1 - p)                            straight through the flip; w = +-sqrt(2 / fan_in) stays
//
// Each weight learns how probable it should be. c is the paper's dynamic weight rescaling: it makes up, layer by layer
// and step by step, for the n - sum m weights that are not there, so that signals neither grow nor fade from layer to
// layer. (The paper has c = n / sum m with w = +-sqrt(2 / (fan_in + fan_out)): the same thing, in a square layer with
// half of its weights. That c with the w of here doubles the variance in every layer: five of them, conv-2, and
// gradients killed all units within an epoch.)
//
// t is 0 as in the paper, unless more than d n weights would then be probable; it is then the (d n)-th largest s: what
// comes out has at most density d. b is 1 in the paper, which flips coins for ever; here it grows, so that the networks
// trained last are the one that is kept. What evaluation sees on the way, while most p are near 1/2, says little.
//
// When: in every step; the noise depends on (seed, layer, step, position) only.
//
// Exercise: with --set sharpness=1, compare the training loss and the validation accuracy. Which network has which?
#include <algorithm>
#include <cmath>
#include <utility>

#include "espalier/pruning/random_network.h"

namespace espalier {
namespace {

class Supermask final : public RandomNetwork {
 public:
  explicit Supermask(const MethodContext& context)
      : RandomNetwork(context), threshold_(layers(), 0), scale_(layers(), 1) {
    for (std::size_t l = 0; l < layers(); ++l) scores().push_back(latent_like(l, "score", Role::bias));  // no decay
  }
  std::vector<PruneEvent> after_step(Index step, Index steps) override {
    sharpness_ =
        static_cast<Real>(std::pow(setting("sharpness"), static_cast<double>(step) / static_cast<double>(steps)));
    return {};
  }
  std::vector<NamedNumbers> state() override { return {{"supermask/sharpness", {&sharpness_, 1}}}; }

 private:
  void derive_layer(std::size_t l, Mode mode, Index step, std::span<Real> W, std::span<std::uint8_t> live) override {
    const auto s = std::as_const(scores(l)).value();
    const Real least = mark_top_k(s, kept(l), live);
    threshold_[l] = std::max(least, Real{0});
    const Random random(options().seed, "supermask/" + layer(l).name(), static_cast<std::uint64_t>(step));
    Index count = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (mode == Mode::training)
        live[i] = random.uniform(i) < static_cast<double>(probability(l, s[i]));
      else
        live[i] = live[i] && s[i] >= 0;
      count += live[i];
    }
    if (count == 0) count = live[std::ranges::max_element(s) - s.begin()] = 1;
    scale_[l] = std::sqrt(static_cast<Real>(s.size()) / static_cast<Real>(count));
    mask(l, scale_[l], live, W);
  }
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto w = of_block(random(l), block);
    const auto s = of_block(std::as_const(scores(l)).value(), block);
    const auto dS = latent_scratch(G.size());
    for (std::size_t i = 0; i < G.size(); ++i) {
      const Real p = probability(l, s[i]);
      dS[i] = G[i] * scale_[l] * w[i] * sharpness_ * p * (1 - p);
    }
    train(l, block, dS, rate, step);
  }
  Real probability(std::size_t l, Real s) const { return 1 / (1 + std::exp(sharpness_ * (threshold_[l] - s))); }

  std::vector<Real> threshold_, scale_;  // of the step
  Real sharpness_ = 1;                   // b
};

std::vector<Setting> settings() {
  std::vector<Setting> all = random_network_settings(100);
  all.push_back({"sharpness", 1000, "b at the end of training; 1: as in the paper"});
  return all;
}

}  // namespace

namespace method_pages {
MethodInfo supermask() {
  return {.name = "supermask",
          .family = "strong lottery ticket",
          .line = "choose a subnetwork of a random network by trained probabilities; no weight is ever trained",
          .source = "Zhou, Lan, Liu, Yosinski, Deconstructing lottery tickets: zeros, signs, and the supermask, 2019",
          .formula = "W = c m w, c = sqrt(n / sum m), m ~ Bernoulli(p = sigmoid(b s));  dL/ds = dL/dW c w b p (1 - p)",
          .cost = "dense training, plus a random number and two exponentials per weight and step",
          .caveat = "the density asked for is a bound, it may end below; saves nothing while it trains",
          .example = "espalier train --data mnist --method supermask --epochs 20",
          .defaults = {.allocation = Allocation::uniform, .schedule = {.density = 0.5}},
          .settings = settings(),
          .make = [](const MethodContext& context) { return std::make_unique<Supermask>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
