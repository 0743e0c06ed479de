// Dynamic network surgery.
//
//   w' = w T      T <- 0 where |w| < a,   1 where |w| >= b,   as it was in between      w <- w - rate dL/dw', of all w
//
// Pruning may err if it can be taken back: pruned weights are trained on, and are spliced in again when they have
// grown. The paper sets a and b by hand. Here they lie `width` below and above the |w| that leaves the schedule's
// density, layer by layer or, with global allocation, the same everywhere. At `end` a = b: exactly the density asked
// for stays. But with a = b all the way, weights at the threshold flicker.
//
// When: every `interval` steps until `end`; from then on the pattern is fixed and its weights are trained alone.
//
// Exercise: count the splicings of a training with width 0, 0.1 and 0.5. Which one ends best?
#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/pruning/latent_method.h"

namespace espalier {
namespace {

class Surgery final : public LatentWeights {
 public:
  explicit Surgery(const MethodContext& context) : LatentWeights(context), width_(static_cast<Real>(setting("width"))) {
    require(width_ >= 0 && width_ < 1, "[dns] expected a width in [0, 1), got {}", width_);
    for (std::size_t l = 0; l < layers(); ++l) T_.emplace_back(static_cast<std::size_t>(layer(l).positions()), Real{1});
  }
  std::vector<NamedNumbers> state() override {
    std::vector<NamedNumbers> all = LatentMethod::state();
    for (std::size_t l = 0; l < layers(); ++l) all.push_back({layer(l).name() + "/mask", T_[l]});
    return all;
  }

 protected:
  void decide(Index step, double density) override {
    if (step % options().schedule.interval == 0 && density < 1) operate(density, width_);
  }
  void conclude() override { operate(options().schedule.density, 0); }
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    std::ranges::transform(w(l), scores.begin(), [](Real weight) { return std::abs(weight); });
    return true;
  }

  void derive_block(std::size_t l, const RowBlock& block, Mode, Index, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto weights = w(l, block);
    const auto T = of_block(std::span<const Real>(T_[l]), block);
    for (std::size_t i = 0; i < W.size(); ++i) {
      live[i] = T[i] != 0;
      W[i] = live[i] ? weights[i] : Real{0};
    }
  }
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    train(l, block, G, rate, step);  // the dead as well
  }

 private:
  void operate(double density, Real width) {
    const std::vector<Real> middle = thresholds(density);
    for (std::size_t l = 0; l < layers(); ++l) {
      const Real a = middle[l] * (1 - width), b = middle[l] * (1 + width);
      const auto weights = w(l);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const Real size = std::abs(weights[i]);
        T_[l][i] = size >= b ? Real{1} : size < a ? Real{0} : T_[l][i];
      }
    }
  }
  Real width_;
  std::vector<AlignedVector<Real>> T_;
};

}  // namespace

namespace method_pages {
MethodInfo dns() {
  return {.name = "dns",
          .family = "during training",
          .line = "dynamic network surgery: pruned weights are trained on and return when they have grown",
          .source = "Guo, Yao, Chen, Dynamic network surgery for efficient DNNs, 2016",
          .formula = "w' = w T;  T <- 0 where |w| < a, 1 where |w| >= b, else as it was;  w <- w - rate dL/dw'",
          .cost = "dense products and two more arrays until `end`; a pass over all weights every `interval` steps",
          .caveat = "dense while it learns; between a and b history decides, not importance",
          .example = "espalier train --method dns --density 0.02",
          .defaults = {.schedule = {.begin = 0.05, .end = 0.7, .interval = 10}},
          .settings = {{"width", 0.1, "a and b lie this fraction below and above the |w| that leaves the density"}},
          .make = [](const MethodContext& context) { return std::make_unique<Surgery>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
