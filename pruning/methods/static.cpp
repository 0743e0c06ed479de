// Static sparse training: a random pattern, for good.
//
// If a sparse network could be trained from scratch just as well, there would be no need to look for the right pattern:
// this is the control that every method of its family must beat.
//
// When: before the first step, and never again.
//
// Exercise: with `--allocation uniform`, which layer starves? And what does `--set rescale=0` do to the first epochs?
#include "espalier/pruning/regrow.h"

namespace espalier {
namespace {

class Static final : public SparseTraining {
 public:
  using SparseTraining::SparseTraining;
  bool idle(Index) const override { return false; }  // it is what was asked for

 private:
  std::vector<PruneEvent> exchange(Index, Index) override { return {}; }
};

}  // namespace

namespace method_pages {
MethodInfo static_pattern() {  // static is a word of C++
  return {.name = "static",
          .family = "sparse from the start",
          .line = "a random pattern from the first step to the last: what dynamic patterns must beat",
          .source =
              "Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity "
              "inspired by network science, 2018; Evci et al., Rigging the lottery, 2020: both compare with it",
          .formula = "live positions: a random set of n_l, n_l ~ in + out (er)",
          .cost = "none: every step costs as little as the last",
          .caveat = "at low densities units are born without inputs and stay so",
          .example = "espalier train --method static --density 0.02",
          .defaults = SparseTraining::defaults(),
          .settings = {SparseTraining::rescale_setting(1)},
          .make = [](const MethodContext& context) { return std::make_unique<Static>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
