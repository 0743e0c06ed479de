// One pruning step on a net that is small enough to be done by hand: 4 inputs, 8 units, 3 outputs.
#pragma once

#include <string>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/pruning/allocation.h"

namespace espalier {

struct TraceOptions {
  double density = 0.25;
  Allocation allocation = Allocation::global;
};

// What happened to one matrix of weights.
struct LayerTrace {
  Parameter before;         // dense, with its optimizer slot "momentum"
  Parameter masked, csr;    // afterwards, in either storage
  std::vector<Real> score;  // [before.positions()], row-major
  Index kept = 0;
  KthHighest last{};  // the lowest score that is kept, and how many of those that have it are
};

struct PruningTrace {
  TraceOptions options;
  std::vector<LayerTrace> layers;            // fc1.weight [8 x 4], output.weight [3 x 8]
  std::vector<Index> without_input, unread;  // units of fc1 that got no weight, or whose weights nothing reads
};

// Throws UsageError for a density that leaves a layer without weights.
PruningTrace traced(const TraceOptions& options = {});
// All its numbers, step by step.
std::string text_of(const PruningTrace& trace);

}  // namespace espalier
