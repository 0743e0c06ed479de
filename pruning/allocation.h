// Allocation: how many weights may each layer keep?
//
//   uniform   every layer the same density
//   er        density of a layer proportional to (in + out) / (in * out), so that thin layers keep more
//             (Erdos-Renyi; Mocanu et al. 2018), capped at 1 with the excess shared among the others
//   global    the highest scores of all layers together, wherever they are
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/parameter.h"

namespace espalier {

// What an allocation may look at: the prunable parameters and the scores of their live weights.
struct Scored {
  const Parameter* W;
  std::span<const Real> scores;  // [W->nonzeros()], row-major
};

enum class Allocation { uniform, er, global };
Allocation allocation_named(const std::string& name);  // throws UsageError listing the known names
std::string name_of(Allocation allocation);

// How many weights each layer keeps at this overall density, never more than it has live. With `er` and `global` the
// sum is exactly round(density * all positions), or all live weights if those are fewer; with `uniform` each layer
// keeps round(density * its positions). Throws UsageError if a layer would keep none.
std::vector<Index> allocate(Allocation allocation, std::span<const Scored> layers, double density);

// `count` weights shared out among layers in proportion to `share`, none getting more than it has `room` for; what
// rounding leaves goes to the largest remainders. Exactly `count` in all. Throws UsageError if there is no room.
std::vector<Index> share_out(Index count, std::span<const double> share, std::span<const Index> room);

// The k live weights of highest score, ties to the lowest index, as ascending indices.
// Exactly k, even when all scores are equal.
std::vector<std::uint32_t> top_k(std::span<const Real> scores, Index k);

}  // namespace espalier
