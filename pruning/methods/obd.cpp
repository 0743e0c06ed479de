// Optimal brain damage.
//
// At a minimum the gradient is zero, and removing a weight costs w^2 h / 2 to second order, with h = d^2 L / dw^2, if
// every weight is removed as though it were the only one (the Hessian's diagonal). h is estimated by the diagonal of
// the empirical Fisher matrix, which equals the Hessian where the model predicts the very distribution of the labels.
// Samples that are classified without doubt have no gradient, so late in training a few hard ones decide.
//
// When: at the schedule's steps, gradually.
//
// Exercise: the squares of taylor's batch gradients are those of sums of 128 samples. Where the samples' gradients are
// independent and of mean 0, by which factor do the two scores differ, and does the order?
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class OptimalBrainDamage final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    const auto w = W.value(), h = context.require_evidence("obd").squared_gradient(W);
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index, Index at) {
      const auto i = static_cast<std::size_t>(at);
      scores[n++] = w[i] * w[i] * h[i] / 2;
    });
  }
  std::string name() const override { return "obd"; }
};

}  // namespace

namespace method_pages {
MethodInfo obd() {
  return {.name = "obd",
          .family = "during training",
          .line = "optimal brain damage: keep the weights whose removal would cost most, to second order",
          .source = "LeCun, Denker, Solla, Optimal brain damage, 1989",
          .formula = "score = w^2 h / 2,  h = mean over samples of (dL/dw)^2",
          .cost = "256 passes of a single sample at every pruning",
          .caveat = "the empirical Fisher is not the Hessian far from a good fit; weights are judged one by one",
          .example = "espalier train --method obd --density 0.05",
          .criterion = [](const auto&) { return std::make_unique<OptimalBrainDamage>(); }};
}
}  // namespace method_pages

}  // namespace espalier
