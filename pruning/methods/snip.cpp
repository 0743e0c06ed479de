// SNIP: single-shot network pruning.
//
// Take a factor c = 1 in front of each weight: dL/dc = w g says how much the loss changes if the weight is switched
// off. Nearly all weights are then removed at once; below about one percent whole layers may go, which is an error
// here. The division by the sum over the network changes no order, but makes scores shares.
//
// When: once, before training, which then is sparse from the first step.
//
// Exercise: shuffle the survivors within each layer (same counts, random places). How much of snip is in the counts?
#include <cmath>

#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class Snip final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    Evidence& evidence = context.require_evidence("snip");
    double total = 0;
    for (const Parameter* V : evidence.trainer().parameters())
      if (V->prunable())
        for (std::size_t i = 0; i < V->value().size(); ++i)
          total += std::abs(static_cast<double>(V->value()[i]) * static_cast<double>(evidence.gradient(*V)[i]));
    const auto w = W.value(), g = evidence.gradient(W);
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index, Index at) {
      const auto i = static_cast<std::size_t>(at);
      const double sensitivity = std::abs(static_cast<double>(w[i]) * static_cast<double>(g[i]));
      scores[n++] = total > 0 ? static_cast<Real>(sensitivity / total) : 0;
    });
  }
  std::string name() const override { return "snip"; }
};

}  // namespace

namespace method_pages {
MethodInfo snip() {
  return {.name = "snip",
          .family = "before training",
          .line = "keep the weights whose switching off the loss would mind most, before training",
          .source = "Lee et al., SNIP: Single-shot network pruning based on connection sensitivity, 2019",
          .formula = "score = |w g| / sum |w g|,  g = dL/dw at initialisation",
          .cost = "the gradient of 10 batches, once",
          .caveat = "a first-order estimate at a single point; at extreme densities whole layers go",
          .example = "espalier train --method snip --density 0.05",
          .defaults = {.schedule = {.kind = Schedule::Kind::one_shot, .begin = 0}},
          .settings = {batches_setting()},
          .criterion = [](const auto&) { return std::make_unique<Snip>(); }};
}
}  // namespace method_pages

}  // namespace espalier
