// Which units, channels and heads matter? A criterion at group level gives each group of a width (layers/widths.h) a
// score; higher means more important. Each is one function, and sees all that is coupled: a unit's incoming and
// outgoing weights, its bias, the scale of its normalisation.
//
//   l1           sum of |w| over all coupled weights              Li et al. 2017; over groups: Fang et al. 2023
//   l2           square root of the sum of w^2                    the same
//   norm-scale   sum of |gamma|; needs a normalisation            Liu et al., "Network slimming", 2017
//   taylor       |sum of w dL/dw|: the first-order change of      Molchanov et al. 2019
//                the loss if the group were zero
//   fpgm         sum of distances to all other groups: what is    He et al., "Filter pruning via geometric median",
//   2019
//                near the middle can be replaced by the others
//   random       a number that depends on (seed, width, group)    the control
//
// Scores are of the same kind within a width. To compare widths with each other, each score is divided by the mean of
// its width, as in DepGraph (Fang et al. 2023): layers have weights of different sizes, and different numbers of them.
//
// Cost: one pass over the live weights; fpgm one over all pairs of groups.
// Caveat: a score looks at one group at a time. Two groups that do the same are both important, until one is gone.
// Exercise: which criterion is right about a unit whose incoming weights are large and whose outgoing ones are all
// zero?
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/catalogue.h"
#include "espalier/layers/widths.h"
#include "espalier/pruning/dead_units.h"

namespace espalier {

struct GroupQuestion {
  const Module& model;
  const Width& width;
  std::uint64_t seed = 1;
  // dL/dw of a parameter, in the order of its arrays; null where none can be had.
  std::function<std::span<const Real>(const Parameter&)> gradient = nullptr;
};

struct GroupCriterion {
  std::string name, line;
  // [width.groups]   Throws UsageError, naming the width, if it does not have what the criterion looks at.
  std::function<std::vector<double>(const GroupQuestion&)> scores;
};
Catalogue<GroupCriterion>& group_criteria();

// How many groups stay, and where.
struct GroupShare {
  double fraction = 1;  // of the groups of all widths that are not fixed
  bool global = true;   // they compete with each other; else each width keeps this fraction of its own
  Index round_to = 1;   // each width keeps a multiple of so many, if that is possible
  WidthGuards guards = {};
  // Of each width, how many groups count as all, where some have gone before; empty: those that it has.
  std::vector<Index> whole = {};
  bool relative = true;  // in competition scores count relative to the mean of their width; false: as they are
};

// The best groups. scores: of each width; of fixed ones they are not looked at. Ties go to the lowest group.
Kept keep_best(const std::vector<Width>& widths, const std::vector<std::vector<double>>& scores,
               const GroupShare& share);

}  // namespace espalier
