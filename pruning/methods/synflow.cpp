// SynFlow: iterative synaptic flow pruning, without data.
//
// R adds up all paths from inputs to outputs, each the product of its |w|; a weight's score is the sum over the paths
// through it. Every path crosses every layer once, so the scores of each layer have the same sum, R: few weights in a
// layer means high scores there, and no layer is emptied while another has weights to spare. That takes many rounds,
// for one round judges by the paths of the full network. A bounded activation (tanh, sigmoid) is not the line through 0
// that R assumes.
//
// What has no line through 0 gets one while R is computed (TapeOptions::flow): a normalisation divides by a constant,
// attention weighs by its scores without the softmax, every token of a table occurs, positions are left out.
//
// When: before training, in 100 rounds of equal factors.
//
// Exercise: --set rounds=1. At which density is the first layer emptied? And with 10 rounds?
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class SynFlow final : public Criterion {
 public:
  explicit SynFlow(double rounds) : rounds_(static_cast<Index>(rounds)) {
    require(rounds >= 1 && rounds <= 10000 && std::floor(rounds) == rounds,
            "[synflow] expected 1 to 10000 whole rounds, got {}", rounds);
  }
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    const auto flow = context.require_evidence("synflow").flow(W);
    std::size_t n = 0;
    W.for_each_weight([&](Index, Index, Index at) { scores[n++] = flow[at]; });
  }
  std::string name() const override { return "synflow"; }
  Index rounds() const override { return rounds_; }

 private:
  Index rounds_;
};

}  // namespace

namespace method_pages {
MethodInfo synflow() {
  return {.name = "synflow",
          .family = "before training",
          .line = "keep the weights on the strongest paths from inputs to outputs, without looking at data",
          .source =
              "Tanaka, Kunin, Yamins, Ganguli, Pruning neural networks without any data by iteratively "
              "conserving synaptic flow, 2020",
          .formula = "score = |w| dR/d|w|,  R = 1' |W_L| ... |W_1| 1",
          .cost = "a forward and a backward pass of one sample per round, once",
          .caveat = "knows nothing of the task; assumes activations like ReLU's",
          .example = "espalier train --method synflow --density 0.01",
          .defaults = {.schedule = {.kind = Schedule::Kind::one_shot, .begin = 0}},
          .settings = {{"rounds", 100, "rounds of equal factors, with scores anew in each"}},
          .criterion = [](const auto& settings) { return std::make_unique<SynFlow>(settings.at("rounds")); }};
}
}  // namespace method_pages

}  // namespace espalier
