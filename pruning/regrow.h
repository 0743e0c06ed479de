// Regrowth: some weights leave, as many others come, and the network is as sparse in every step as in the last.
//
//    live before    x x . x . x x . .
//    drop           - x . x . - x . .        those of smallest |w|
//    grow           . x . x + . x + .        at random (SET), by gradient (RigL), by momentum (SNFS)
//
// Every weight that is dead after the drop may grow, those just dropped among them (Evci et al. 2020, algorithm 1: i
// not in theta without the dropped), so that there is always room for as many as went. A weight that is dropped and
// grown at once never left.
//
// Invariants:
//   1. Exactly as many leave and come as asked for, however many scores tie: of equal ones the lowest position stays,
//      and the lowest position is grown.
//   2. The pattern says which weights are live. A live weight may be 0.0, and a dead one does not exist.
//   3. Survivors keep value and slots to the bit; the newborn start at 0 with zero slots (Parameter::become).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "espalier/pruning/method.h"

namespace espalier {

// Chooses which weights are born: `count` positions (row * cols + column) that are not among `live`. Both ascending.
using Grow = std::function<std::vector<Index>(std::span<const Index> live, Index count)>;
// Where |score| is largest.   scores: [positions], must outlive the result
Grow grow_largest(std::span<const Real> scores);
// Every set of that many dead positions is equally likely; costs as many draws as weights are born.
Grow grow_at_random(Index positions, const Random& random);

// The pattern of W after the `drop` live weights of smallest |w| have gone and `grow` others have come. Throws
// UsageError if W does not have that many to drop, or has no room for so many to grow.
PatternPtr drop_and_grow(const Parameter& W, Index drop, Index grow, const Grow& choose);

// What methods have in common that are sparse from the first step to the last: a random pattern before training, and
// an exchange every `interval` steps from `begin` to `end` of the schedule, in which each layer drops and grows a
// fraction f(t) of its live weights, which falls to 0 at the step t_end where exchanges end (Evci et al. 2020; Dettmers
// & Zettlemoyer 2019):
//
//   round(f(t) * live),   f(t) = drop / 2 * (1 + cos(pi t / t_end))
class SparseTraining : public Method {
 public:
  explicit SparseTraining(const MethodContext& context);
  std::vector<PruneEvent> after_step(Index step, Index steps) override;
  void require_possible(double density) const override;
  // No exchange is due: what is left is static sparse training.
  bool idle(Index steps) const override;
  double density() const override { return density_of(layers_); }

  // Larger initial weights keep the variance of a row's sum, which a static pattern profits from. But they are also
  // hard to overtake for the newborn, which start at 0: methods that grow by gradient or momentum do better without
  // (LeNet-300-100 at density 0.02, ten epochs: validation 97.1 instead of 96.6 %).
  static Setting rescale_setting(double value);
  static Setting drop_setting();
  static MethodDefaults defaults();

 protected:
  // What happens every `interval` steps.
  virtual std::vector<PruneEvent> exchange(Index step, Index steps) = 0;
  // Every layer drops and grows a fraction f(step) of its weights; growth(W) chooses which ones grow. Layers are
  // changed in parallel; growth is called for one after the other.
  std::vector<PruneEvent> exchange_in_each(Index step, Index steps,
                                           const std::function<Grow(const Parameter& W)>& growth);
  // W takes this pattern, in the storage that suits its density.
  PruneEvent take(Parameter& W, PatternPtr pattern, Index step) const {
    return options_.storage.apply(W, std::move(pattern), step);
  }

  double fraction(Index step, Index steps) const;  // f(t)
  bool over(Index step, Index steps) const;        // no exchange any more, after this step or later

  const PrunerOptions& options() const { return options_; }
  double setting(const std::string& name) const { return settings_.at(name); }
  const std::vector<Parameter*>& layers() const { return layers_; }

 private:
  bool due(Index step, Index steps) const;
  std::vector<PruneEvent> begin();                  // random patterns for layers that are dense so far
  std::vector<Index> counts(double density) const;  // per layer
  std::string name_;                                // of the method, for messages
  PrunerOptions options_;
  Settings settings_;
  std::vector<Parameter*> layers_;
  int threads_;
};

}  // namespace espalier
