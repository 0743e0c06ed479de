// Magnitude pruning.
//
// A weight that stayed small contributes little to what the layer computes.
//
// When: at the schedule's steps, gradually. The cubic schedule is the second paper's. It begins at a fifth of the
// training, when the weights have learnt enough to be told apart: from a twentieth on, which takes a fifth fewer FLOPs,
// digits that are turned lose a third of a percentage point more (tests/README.md).
//
// Exercise: with `--schedule one-shot --begin 0.6`, how much is lost, and how much comes back in the epochs after?
#include <cmath>

#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class Magnitude final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext&, std::span<Real> scores) const override {
    const auto w = W.value();
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index, Index at) { scores[n++] = std::abs(w[at]); });
  }
  std::string name() const override { return "magnitude"; }
};

}  // namespace

namespace method_pages {
MethodInfo magnitude() {
  return {.name = "magnitude",
          .family = "during training",
          .line = "keep the weights of largest |w|, gradually",
          .source =
              "Han, Pool, Tran, Dally, Learning both weights and connections for efficient neural networks, "
              "2015; Zhu & Gupta, To prune, or not to prune, 2017",
          .formula = "score = |w|;  s(t) = s_f (1 - (1 - t)^3)",
          .cost = "one pass over the live weights at every pruning",
          .caveat = "blind to how strongly an input varies and to differences of scale between layers",
          .example = "espalier train --method magnitude --density 0.05",
          .defaults = {.schedule = {.begin = 0.2}},
          .criterion = [](const auto&) { return std::make_unique<Magnitude>(); },
          .group_criterion = "l1"};
}
}  // namespace method_pages

}  // namespace espalier
