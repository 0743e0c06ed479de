// Random pruning: the control that every criterion must beat.
//
// A position's score does not depend on the step, so what survives is nested: gradual random pruning ends at the very
// set that one-shot random pruning picks, and only the time at which weights leave differs.
//
// When: as magnitude, at the schedule's steps.
//
// Exercise: at which density does it fall a whole point behind magnitude? With --allocation er?
#include "espalier/core/random.h"

#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class RandomScore final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    const Random random(context.seed, "random-score/" + W.name());
    std::size_t n = 0;
    W.for_each_weight([&](Index row, Index column, Index) {
      scores[n++] = static_cast<Real>(random.uniform(static_cast<std::uint64_t>(row * W.cols() + column)));
    });
  }
  std::string name() const override { return "random"; }
};

}  // namespace

namespace method_pages {
MethodInfo random() {
  return {.name = "random",
          .family = "control",
          .line = "keep weights drawn at random: what every method must beat",
          .source = "Blalock et al., What is the state of neural network pruning?, 2020",
          .formula = "score = u(seed, layer, position), uniform",
          .cost = "one pass over the live weights at every pruning",
          .caveat =
              "with a global allocation thin layers lose their share; in a small network at low density units "
              "lose all inputs",
          .example = "espalier train --method random --density 0.1",
          .criterion = [](const auto&) { return std::make_unique<RandomScore>(); },
          .group_criterion = "random"};
}
}  // namespace method_pages

}  // namespace espalier
