// Pruning whole units while a network trains: neurons, channels, heads, with all that is coupled to them. What goes is
// not masked but taken out: from the next step on the network *is* narrower, with dense matrices, and every step is as
// fast as that of a narrow network.
//
//   schedule ► how many groups by now      criterion ► a score for each group      keep_best ► which of them stay
//                                                                                        |
//        rows, columns, biases, norms, statistics and optimizer slots of the others ◄────┘   (narrowing.h)
//
// density   the share of the groups that stay, of the widths that the structure names, without those that are fixed
//           (inputs, outputs) or protected. Each width keeps at least `minimum` of them.
// global    groups of all widths compete; scores of a width count relative to its mean
// uniform   each width keeps the same share of its own
//
// Intuition: a unit that matters little takes a whole row and a whole column with it, and needs no index in exchange.
// When: at the schedule's steps, as single weights go. Gradual pruning is nested: what is gone does not come back.
// Cost: the criterion's; then every array is copied once.
// Caveat: at equally many parameters whole units lose more accuracy than single weights, for there is less to choose.
// Try: espalier train --structure neurons --density 0.3
// Exercise: prune to the same number of parameters with --structure neurons and with elements. Which network is more
// accurate, and which one is faster?
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "espalier/optim/latents.h"
#include "espalier/pruning/group_criterion.h"
#include "espalier/pruning/method.h"
#include "espalier/pruning/narrowing.h"

namespace espalier {

// What methods of whole units differ in.
struct GroupRules {
  // [width.groups]; null: by the criterion that the options or the method name.
  std::function<std::vector<double>(const GroupQuestion&)> scores = nullptr;
  bool relative = true;  // see GroupShare
  // Which widths can take part at all; null: all of them. what: what those have, for messages
  std::function<bool(const Module&, const Width&)> takes_part = nullptr;
  std::string what = {};
};

class GroupMethod : public Method {
 public:
  // Throws UsageError if the model has no units of the structure's kind that may go, for names that it does not have,
  // for an allocation that is not global or uniform, for a criterion that its layers do not suit, and for weights that
  // are sparse already.
  explicit GroupMethod(const MethodContext& context, GroupRules rules = {});

  std::vector<PruneEvent> after_step(Index step, Index steps) override;
  std::vector<PruneEvent> prune_to(double density, Index step) override;
  void require_possible(double density) const override;
  // The share of the groups that is left.
  double density() const override;
  Narrowing* narrowing() override { return &narrowing_; }
  std::optional<UnitsLeft> units() const override;

 protected:
  Trainer& trainer() { return trainer_; }
  const PrunerOptions& options() const { return options_; }
  // Those that groups may be taken from, as they are now.
  std::vector<const Width*> active() const;
  // The last step after which groups are taken out, in a training of so many.
  Index last_pruning(Index steps) const;

 private:
  void find_active();
  [[noreturn]] void refuse_model() const;
  std::vector<double> scores_of(const Width& width, Index step);

  std::string method_, criterion_;
  Trainer& trainer_;
  PrunerOptions options_;
  GroupRules rules_;
  Evidence evidence_;
  Narrowing narrowing_;
  std::vector<UnitKind> kinds_;
  std::vector<bool> active_;  // of each width
};

// A group method whose training has a penalty that makes groups small, until the last of them have gone. The penalty
// depends on the step alone, so that a training that goes on from a checkpoint has the same.
class PenalisedGroups : public GroupMethod, public Latents {
 public:
  ~PenalisedGroups() override;
  PenalisedGroups(const PenalisedGroups&) = delete;
  PenalisedGroups& operator=(const PenalisedGroups&) = delete;

  using Method::finish;
  void derive(Mode, Index) final {}
  bool update(Parameter&, const RowBlock&, std::span<const Real>, Real, Index) override { return false; }
  void finish(Real, Index) override {}

 protected:
  PenalisedGroups(const MethodContext& context, GroupRules rules);
  Real strength() const { return strength_; }                              // the setting of that name
  bool presses(Index step) const { return step <= last_pruning(steps_); }  // step: counted from 1

 private:
  Real strength_;
  Index steps_;
};
// Of such a method.
Setting strength_setting(double value);

// G += strength sign(gamma), the subgradient of strength |gamma| (slimming).
void add_scale_penalty(std::span<const Real> gamma, Real strength, std::span<Real> G);
// Where the proximal step of strength ||w|| takes a group of norm ||w||: w times this, in [0, 1] (group-lasso).
double proximal_factor(double norm, double strength);

}  // namespace espalier
