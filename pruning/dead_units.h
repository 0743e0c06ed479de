// Dead units: what a pattern of weights leaves without a path from the input to the output.
//
//   a hidden unit none of whose outgoing weights lead on changes nothing, and goes;
//   one that no input reaches is a constant: it is added to the biases that follow, and goes
//   (Evci et al., "Rigging the lottery", 2020, appendix B).
//
//        x1   x2   x3               x1   x2
//         |  /  x                     |  /             a reads x1 and x2
//         a    b    c               a                  b reads nothing: f(its bias), folded into y's bias
//         |   /      x              |                  c is read by nothing
//         y                         y                  x3 is read by c only: an input that is not needed
//
// Weights from or to such units are stored and multiplied, but are not *effective*. What goes with a unit is found on
// the recorded graph (layers/widths.h): the channel of a residual sum goes when none of its summands is needed.
//
// A constant stays where it cannot be folded: where a convolution pads, for at the edges it reads zeros instead; where
// there is no bias to fold it into; where a recurrent layer reads it.
//
// Intuition: at one weight in fifty most pixels of the edge and many hidden units have lost all of theirs.
// Cost: a forward pass of one sample, and one over the live weights.
// Caveat: only patterns count. A weight that lives and happens to be zero leads on.
// Try: espalier train --data mnist --model lenet-300-100 --method rigl --density 0.02 --out run
//      espalier shrink run --out small.safetensors
// Exercise: which unstructured method leaves most dead units at one density, and why is it not the best one?
#pragma once

#include <string>
#include <vector>

#include "espalier/layers/widths.h"

namespace espalier {

// Live weights on a path from input to output, plus biases and scales of units on such paths. A unit is a feature or a
// channel of an image; of a residual sum it is enough that one side reaches it. A model with operations that are not
// understood has all its nonzeros counted.
//
// input: the shape of one sample.
Index effective_nonzeros(const Module& model, const Shape& input);

// What must stay, whatever has become of it.
struct WidthGuards {
  Index minimum = 1;                      // groups of each width, if it has so many; at least 1
  std::vector<std::string> protect = {};  // names of widths of which nothing goes
};

struct DeadUnits {
  std::vector<Width> widths = {};
  Kept kept = {};             // of each width, the groups that stay
  Index without_effect = 0;   // groups that go because nothing reads them
  Index folded = 0;           // groups that go because they are constants
  Index constants_stay = 0;   // constants that cannot be folded
  std::vector<Index> inputs;  // units of the input, features or channels, that are read on a path to the output
  Index removed() const { return without_effect + folded; }
};

// Throws UsageError for a guard that names no width, or a minimum below 1.
DeadUnits find_dead_units(const Module& model, const Shape& input, const WidthGuards& guards = {});
// Takes them out of the model (layers/widths.h: narrow). Outputs change by rounding only.
DeadUnits remove_dead_units(Module& model, const Shape& input, const WidthGuards& guards = {});

}  // namespace espalier
