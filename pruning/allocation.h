// Allocation: how many weights may each layer keep?
//
//   uniform   every layer the same density
//   er        density of a layer proportional to (in + out) / (in * out), so that thin layers keep more
//             (Erdos-Renyi; Mocanu et al. 2018), capped at 1 with the excess shared among the others
//   erk       the same with the kernel: (in + out + kh + kw) / (in * out * kh * kw), where `in` are the channels that
//             one output channel reads (Evci et al., "Rigging the lottery", 2020). Linear layers: as er.
//   global    the highest scores of all layers together, wherever they are
//   lamp      the same with scores that are comparable between layers: score^2 over the sum of score^2 of all weights
//             of the layer that are at least as important (Lee et al., "Layer-adaptive sparsity for the magnitude-based
//             pruning", 2021). The best weight of every layer has 1, so that no layer is emptied.
//   sensitivity:1   density of a layer proportional to the lowest one at which the network loses no more than 1 point
//             when that layer alone is pruned (pruning/sensitivity.h), capped at 1 likewise
//   fc1=0.05,fc2=0.1,output=1     given: the density of each layer; the overall one follows
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/core/window.h"

namespace espalier {

// What an allocation may look at: the prunable parameters and the scores of their live weights.
struct Scored {
  const Parameter* W;
  std::span<const Real> scores;    // [W->nonzeros()], row-major
  const Window* window = nullptr;  // of a convolution
};

struct Allocation {
  enum Rule { uniform, er, erk, global, lamp, sensitivity, given };
  Rule rule = global;
  // By layer, without ".weight". given: what it keeps; sensitivity: what it alone may fall to, once that is measured
  std::map<std::string, double> density_of{};
  double drop = 0;  // sensitivity: points that a layer alone may lose

  Allocation(Rule which, std::map<std::string, double> densities = {})  // a rule is an allocation
      : rule(which), density_of(std::move(densities)) {}
  // What cannot be shared out by shapes alone.
  bool looks_at_scores() const { return rule == global || rule == lamp || rule == sensitivity; }
  bool operator==(const Allocation&) const = default;
};
// "fc1" of "fc1.weight": what layers are called in allocations.
std::string layer_of(const std::string& parameter);
// Throws UsageError listing what is known; given densities must be in (0, 1].
Allocation allocation_named(const std::string& name);
std::string name_of(const Allocation& allocation);

// The overall density that follows from given ones. Throws UsageError, listing the layers, unless each of them is named
// (with or without ".weight") and nothing else is.
double overall_density(const Allocation& given, std::span<const Scored> layers);

// How many weights each layer keeps at this overall density, never more than it has live. With `er`, `erk`, `global`,
// `lamp` and `sensitivity` the sum is exactly round(density * all positions), or all live weights if those are fewer;
// with `uniform` each layer keeps round(density * its positions). With `given`, layer l of density d_l in the end keeps
// round(n_l (1 - (1 - d_l) (1 - density) / (1 - overall_density))): all layers have gone the same part of their ways.
// Throws UsageError if a layer would keep none.
std::vector<Index> allocate(const Allocation& allocation, std::span<const Scored> layers, double density);

// `count` weights shared out among layers in proportion to `share`, none getting more than it has `room` for; what
// rounding leaves goes to the largest remainders. Exactly `count` in all. Throws UsageError if there is no room.
std::vector<Index> share_out(Index count, std::span<const double> share, std::span<const Index> room);

// The k-th highest score, k from 1 to scores.size(), and how many of those that are equal to it are among the k
// highest.
struct KthHighest {
  Real score;
  std::ptrdiff_t ties;
};
KthHighest kth_highest(std::span<const Real> scores, Index k);

// The k live weights of highest score, ties to the lowest index, as ascending indices.
// Exactly k, even when all scores are equal.
std::vector<std::uint32_t> top_k(std::span<const Real> scores, Index k);

}  // namespace espalier
