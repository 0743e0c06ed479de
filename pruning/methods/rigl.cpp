// RigL: the rigged lottery.
//
// Of the weights that do not exist, those with the largest gradient would lower the loss fastest if they did. The
// gradient is that of the batch that the next step trains on, and speaks only of the first step that a newborn weight
// will make. Spread over the steps between two exchanges, its price is small.
//
// When: every 100 steps, from the first step to three quarters of the training.
//
// Exercise: the newborn start at 0. Would starting at -rate dL/dw be better, or is that what the next step does
// anyway?
#include "espalier/pruning/regrow.h"

namespace espalier {
namespace {

class RigL final : public SparseTraining {
 public:
  explicit RigL(const MethodContext& context) : SparseTraining(context), evidence_(context.trainer, context.train) {}

 private:
  std::vector<PruneEvent> exchange(Index step, Index steps) override {
    evidence_.begin(step);
    return exchange_in_each(step, steps, [&](const Parameter& W) { return grow_largest(evidence_.dense_gradient(W)); });
  }
  Evidence evidence_;
};

}  // namespace

namespace method_pages {
MethodInfo rigl() {
  return {.name = "rigl",
          .family = "sparse from the start",
          .line = "drop the smallest |w|, grow as many where the gradient is largest",
          .source = "Evci, Gale, Menick, Castro, Elsen, Rigging the lottery: making all tickets winners, 2020",
          .formula =
              "drop f(t) n_l of smallest |w|; grow as many of largest |dL/dw|; "
              "f(t) = drop/2 (1 + cos(pi t / t_end))",
          .cost = "one forward and backward pass with all weights as dense arrays at every exchange",
          .caveat = "the gradient of one batch decides; memory for that moment is dense",
          .example = "espalier train --method rigl --density 0.02",
          .defaults = SparseTraining::defaults(),
          .settings = {SparseTraining::drop_setting(), SparseTraining::rescale_setting(0)},
          .make = [](const MethodContext& context) { return std::make_unique<RigL>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
