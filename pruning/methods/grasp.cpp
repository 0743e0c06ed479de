// GraSP: gradient signal preservation.
//
// Gradient descent lowers the loss by about |g|^2 per step of rate 1. Adding d to the weights changes |g|^2 by
// 2 d' H g to first order; removing one weight (d = -w) changes it by -2 w (H g). The paper's S = -w (H g) is low where
// removal costs gradient flow, and it removes the highest S: hence the sign here, where the highest score stays. H g is
// the difference of gradients a little ahead of w along g and a little behind. Where ReLUs switch in between, it
// averages over the kink.
//
// The loss is taken with all outputs divided by a temperature of 200, as the authors' code does: a softmax that is
// nearly flat has no curvature of its own, and H is how layers depend on each other. Without it (`--set temperature=1`)
// 5 % of LeNet-300-100 reach 95.8 instead of 97.1 % after ten epochs.
//
// When: once, before training.
//
// Exercise: turn the sign round. Does it fall behind random? And |w (H g)|, which also keeps those that hurt the flow?
#include "espalier/core/error.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class Grasp final : public Criterion {
 public:
  explicit Grasp(double temperature) : temperature_(temperature) {
    require(temperature > 0, "[grasp] expected a temperature above 0, got {}", temperature);
  }
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    const auto w = W.value(), Hg = context.require_evidence("grasp").hessian_gradient(W, temperature_);
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index, Index at) { scores[n++] = w[at] * Hg[at]; });
  }
  std::string name() const override { return "grasp"; }

 private:
  double temperature_;
};

}  // namespace

namespace method_pages {
MethodInfo grasp() {
  return {.name = "grasp",
          .family = "before training",
          .line = "keep the weights without which the gradient would shrink most, before training",
          .source = "Wang, Zhang, Grosse, Picking winning tickets before training by preserving gradient flow, 2020",
          .formula =
              "score = w (H g),  g = dL/dw and H the Hessian of L at initialisation, outputs divided by the "
              "temperature",
          .cost =
              "five gradients of ten batches each, once: one for g, four for H g, of which two find the length "
              "of its step",
          .caveat =
              "what makes the gradient large may be hard to train: lenet-5 at density 0.1 diverges at its usual "
              "rate",
          .example = "espalier train --method grasp --density 0.05",
          .defaults = {.schedule = {.kind = Schedule::Kind::one_shot, .begin = 0}},
          .settings = {{"temperature", 200, "what the network's outputs are divided by before the loss"},
                       batches_setting()},
          .criterion = [](const auto& settings) { return std::make_unique<Grasp>(settings.at("temperature")); }};
}
}  // namespace method_pages

}  // namespace espalier
