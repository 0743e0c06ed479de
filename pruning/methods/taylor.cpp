// Taylor pruning.
//
// Without the weight the loss would be L - w g, to first order, g = dL/dw: w g is what it is worth. The square is taken
// batch by batch, for the mean of g itself goes to zero as training converges, and with it the score of every weight.
//
// When: at the schedule's steps, gradually.
//
// Exercise: snip's |w g| with this schedule (--method snip --schedule cubic). Early or late in training, where does the
// square of the mean differ most from the mean of the squares?
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class Taylor final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    const auto w = W.value(), gg = context.require_evidence("taylor").squared_batch_gradient(W);
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index, Index at) {
      const auto i = static_cast<std::size_t>(at);
      scores[n++] = w[i] * w[i] * gg[i];
    });
  }
  std::string name() const override { return "taylor"; }
};

}  // namespace

namespace method_pages {
MethodInfo taylor() {
  return {.name = "taylor",
          .family = "during training",
          .line = "keep the weights whose removal would change the loss most, to first order",
          .source = "Molchanov, Mallya, Tyree, Frosio, Kautz, Importance estimation for neural network pruning, 2019",
          .formula = "score = mean over batches of (w g)^2",
          .cost = "the gradients of 10 batches at every pruning",
          .caveat = "first order: the larger the step to zero, the less it says",
          .example = "espalier train --method taylor --density 0.05",
          .settings = {batches_setting()},
          .criterion = [](const auto&) { return std::make_unique<Taylor>(); },
          .group_criterion = "taylor"};
}
}  // namespace method_pages

}  // namespace espalier
