// SNFS: sparse networks from scratch, by sparse momentum.
//
//   in every step, at every position:   M = momentum M + (1 - momentum) dL/dw
//   every 100 steps:                    drop f(t) n_l of smallest |w| in layer l;  D = all that were dropped
//                                       grow D m_l / sum m  in layer l, m_l = mean |M| of its live weights,
//                                       where |M| of the dead is largest
//
// The layer whose weights are pulled hardest, each for itself, has too few; and those of the dead that were pulled in
// the same direction for many batches are missed most. A layer that would get more than it has room for is filled, and
// the rest shared again.
//
// M is as large as the dense network, and so is the gradient it sums: every step but for the last quarter is followed
// by a dense pass. That is the paper's price for momentum; `--set every=10` takes it of each tenth step only (M then
// looks back ten times as far), and the FLOPs are counted either way (LeNet-300-100 at density 0.02, ten epochs,
// validation: 96.9 instead of 97.1 %).
//
// When: from the first step to three quarters of the training.
//
// Exercise: print n_l over time. Which layer gives, which takes? Does `--set every=10` change the answer?
#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/pruning/regrow.h"

namespace espalier {
namespace {

class SparseMomentum final : public SparseTraining {
 public:
  explicit SparseMomentum(const MethodContext& context)
      : SparseTraining(context), evidence_(context.trainer, context.train) {
    require(setting("momentum") >= 0 && setting("momentum") < 1, "[snfs] expected a momentum in [0, 1), got {}",
            setting("momentum"));
    require(setting("every") >= 1 && setting("every") == std::floor(setting("every")),
            "[snfs] expected every to be a number of steps, 1 or more, got {}", setting("every"));
    for (const Parameter* W : layers()) momentum_.emplace_back(static_cast<std::size_t>(W->positions()), Real{0});
  }

  std::vector<PruneEvent> after_step(Index step, Index steps) override {
    if (step > 0 && !over(step, steps) && step % static_cast<Index>(setting("every")) == 0) observe(step);
    return SparseTraining::after_step(step, steps);
  }

  std::vector<NamedNumbers> state() override {
    std::vector<NamedNumbers> state;
    for (std::size_t l = 0; l < momentum_.size(); ++l)
      state.push_back({layers()[l]->name() + "/momentum", momentum_[l]});
    return state;
  }

 private:
  void observe(Index step) {
    evidence_.begin(step);
    const auto mu = static_cast<Real>(setting("momentum"));
    for (std::size_t l = 0; l < momentum_.size(); ++l) {
      const auto G = evidence_.dense_gradient(*layers()[l]);
      for (std::size_t i = 0; i < G.size(); ++i) momentum_[l][i] = mu * momentum_[l][i] + (1 - mu) * G[i];
    }
  }

  double mean_live_momentum(std::size_t l) const {
    const Parameter& W = *layers()[l];
    double sum = 0;
    W.for_each_weight([&](Index row, Index column, Index) {
      sum += std::abs(static_cast<double>(momentum_[l][row * W.cols() + column]));
    });
    return sum / static_cast<double>(W.nonzeros());
  }

  std::vector<PruneEvent> exchange(Index step, Index steps) override {
    std::vector<Index> drop, room;
    std::vector<double> share;
    for (std::size_t l = 0; l < layers().size(); ++l) {
      const Parameter& W = *layers()[l];
      const auto wanted = std::llround(fraction(step, steps) * static_cast<double>(W.nonzeros()));
      drop.push_back(std::min<Index>(wanted, W.nonzeros() - 1));  // no layer is emptied, even if nothing grows there
      room.push_back(W.positions() - W.nonzeros() + drop.back());
      share.push_back(mean_live_momentum(l));
    }
    const std::vector<Index> grow = share_out(std::accumulate(drop.begin(), drop.end(), Index{0}), share, room);
    std::vector<PruneEvent> events;
    for (std::size_t l = 0; l < layers().size(); ++l)
      if (drop[l] + grow[l] > 0)
        events.push_back(
            take(*layers()[l], drop_and_grow(*layers()[l], drop[l], grow[l], grow_largest(momentum_[l])), step));
    return events;
  }

  Evidence evidence_;
  std::vector<AlignedVector<Real>> momentum_;  // [positions] per layer
};

}  // namespace

namespace method_pages {
MethodInfo snfs() {
  return {.name = "snfs",
          .family = "sparse from the start",
          .line = "sparse momentum: grow where momentum is largest, more in layers where it is large",
          .source = "Dettmers & Zettlemoyer, Sparse networks from scratch, 2019",
          .formula =
              "drop f(t) n_l of smallest |w|; of all dropped, layer l grows the part m_l / sum m, "
              "m_l = mean |M| of the live, where |M| of the dead is largest; "
              "M = momentum M + (1 - momentum) dL/dw",
          .cost = "a dense forward and backward pass for every step (or every Nth, with every=N), dense memory for M",
          .caveat = "sparse in what it computes with, dense in what it costs",
          .example = "espalier train --method snfs --density 0.02",
          .defaults = SparseTraining::defaults(),
          .settings = {SparseTraining::drop_setting(),
                       {"momentum", 0.9, "of M; 0: the gradient of the last sampled batch alone"},
                       {"every", 1, "steps between two dense gradients that M sees"},
                       SparseTraining::rescale_setting(0)},
          .make = [](const MethodContext& context) { return std::make_unique<SparseMomentum>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
