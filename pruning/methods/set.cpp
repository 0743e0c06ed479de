// SET: sparse evolutionary training.
//
// Evolution: the weakest connections die, random ones are tried, and what training makes strong stays. At density 0.01
// there are a hundred places to try for each connection that may live.
//
// Two details differ from the paper, which exchanges a constant fraction and gives newborn weights random values: f
// falls to 0 by a cosine, as in Evci et al. 2020, for a comparison under equal conditions, and the newborn start at 0,
// so that nothing the network computes changes when they come.
//
// When: every 100 steps, from the first step to three quarters of the training.
//
// Exercise: how many different positions have been live by the end of training? With --interval 10?
#include "espalier/pruning/regrow.h"

namespace espalier {
namespace {

class Set final : public SparseTraining {
 public:
  using SparseTraining::SparseTraining;

 private:
  std::vector<PruneEvent> exchange(Index step, Index steps) override {
    return exchange_in_each(step, steps, [&](const Parameter& W) {
      return grow_at_random(W.positions(), Random(options().seed, "set/" + W.name(), static_cast<std::uint64_t>(step)));
    });
  }
};

}  // namespace

namespace method_pages {
MethodInfo set() {
  return {
      .name = "set",
      .family = "sparse from the start",
      .line = "drop the smallest |w|, grow as many at random",
      .source =
          "Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity "
          "inspired by network science, 2018",
      .formula = "drop f(t) n_l of smallest |w|; grow a random set of as many; f(t) = drop/2 (1 + cos(pi t / t_end))",
      .cost =
          "at every exchange one pass over the live weights, and as many draws as weights are born; nothing "
          "dense, ever",
      .caveat = "at low densities most places it tries are no good",
      .example = "espalier train --method set --density 0.02",
      .defaults = SparseTraining::defaults(),
      .settings = {SparseTraining::drop_setting(), SparseTraining::rescale_setting(1)},
      .make = [](const MethodContext& context) { return std::make_unique<Set>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
