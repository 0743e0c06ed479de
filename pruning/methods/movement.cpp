// Movement pruning.
//
//   w'_i = w_i if S_i is among the k largest, else 0        S_i <- S_i - w_i dL/dw'_i, of all i, the dead as well
//
// A weight is important if training moves it away from zero, and not if it moves towards zero, however large it still
// is.
//
// When: k follows the schedule, and S decides anew every `interval` steps, so that weights come back, until `end`. From
// then on the pattern is fixed and its weights are trained alone.
//
// Exercise: which weights does it keep that magnitude does not? Print |w| of the survivors of both.
#include <limits>

#include "espalier/core/error.h"
#include "espalier/pruning/latent_method.h"

namespace espalier {
namespace {

class Movement final : public LatentWeights {
 public:
  explicit Movement(const MethodContext& context)
      : LatentWeights(context), memory_(static_cast<Real>(setting("memory"))) {
    require(memory_ > 0 && memory_ <= 1, "[movement] expected a memory in (0, 1], got {}", memory_);
    for (std::size_t l = 0; l < layers(); ++l) S_.emplace_back(static_cast<std::size_t>(layer(l).positions()));
    threshold_.assign(layers(), none);
  }
  std::vector<NamedNumbers> state() override {
    std::vector<NamedNumbers> all = LatentMethod::state();
    for (std::size_t l = 0; l < layers(); ++l) all.push_back({layer(l).name() + "/movement", S_[l]});
    all.push_back({"movement/threshold", threshold_});
    return all;
  }

 protected:
  void decide(Index step, double density) override {
    if (step % options().schedule.interval == 0 && density < 1) threshold_ = thresholds(density);
  }
  void conclude() override { threshold_ = thresholds(options().schedule.density); }
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    std::ranges::copy(S_[l], scores.begin());
    return true;
  }

  void derive_block(std::size_t l, const RowBlock& block, Mode, Index, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto weights = w(l, block);
    const auto S = of_block(std::span<const Real>(S_[l]), block);
    const Real threshold = threshold_[l];
    for (std::size_t i = 0; i < W.size(); ++i) {
      live[i] = S[i] >= threshold;
      W[i] = live[i] ? weights[i] : Real{0};
    }
  }

  // dL/dS_i = w_i dL/dw'_i, straight through; dL/dw_i = dL/dw'_i where live: the dead keep their values.
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto weights = w(l, block);
    const auto S = of_block(std::span<Real>(S_[l]), block);
    const auto alive = of_block(live(l), block);
    const auto dw = latent_scratch(G.size());
    for (std::size_t i = 0; i < G.size(); ++i) {
      S[i] = memory_ * S[i] - weights[i] * G[i];
      dw[i] = alive[i] ? G[i] : Real{0};
    }
    train(l, block, dw, rate, step);
  }

 private:
  static constexpr Real none = -std::numeric_limits<Real>::infinity();
  Real memory_;
  std::vector<AlignedVector<Real>> S_;
  std::vector<Real> threshold_;
};

}  // namespace

namespace method_pages {
MethodInfo movement() {
  return {.name = "movement",
          .family = "during training",
          .line = "keep weights that training moves away from zero",
          .source = "Sanh, Wolf, Rush, Movement pruning: adaptive sparsity by fine-tuning, 2020",
          .formula = "S <- S - w dL/dw';  w' = w on the k largest S, else 0;  s(t) = s_f (1 - (1 - t)^3)",
          .cost = "dense products and one more array until `end`; a pass over all scores every `interval` steps",
          .caveat = "made for fine-tuning: from scratch, S sums from the first step on, when gradients are largest",
          .example = "espalier train --method movement --density 0.05",
          .defaults = {.schedule = {.begin = 0.1, .end = 0.7, .interval = 10}},
          .settings = {{"memory", 1, "what a score keeps of itself from step to step; 1: all, as in the paper"}},
          .make = [](const MethodContext& context) { return std::make_unique<Movement>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
