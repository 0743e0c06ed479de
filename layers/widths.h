// Widths: how wide a network is at each place, what is coupled there, and how it becomes narrower.
//
// When a hidden unit goes, a row of one matrix goes and a column of the next one, and much more where the network is
// more than a chain:
//
//   fc1.weight   row 17                  makes it              conv1.weight        row 2           makes it
//   fc1.bias     row 17                  is added to it        conv1.norm.gamma    row 2           scales it
//   fc2.weight   column 17               reads it              block1.conv2.weight row 2           makes it: the sum of
//                                                              block1.conv1.weight columns 18-26   both is read
//
// All that goes together is a *group*, and a *width* is groups of one kind, of which the network may have more or
// fewer: the 300 units of fc1, the heads of an attention, the channels of all blocks that add to each other. Both are
// found on a recorded tape, from what its nodes say (core/ties.h), so that no layer is known here by name.
//
// Some widths are *fixed*: inputs and outputs, and what some operation takes together (a layer normalisation divides
// by what all features have in common, so that without one of them the others would change).
//
// Invariants (tests/layers/widths_test.cpp names them by number):
//   1. Every row and every column of a parameter belongs to at most one group.
//   2. A network without a group computes what it computes with the group's weights, biases, scales and shifts all
//      zero: outputs, gradients of what is left, running statistics.
//   3. Each group of a width has equally many rows, columns and numbers of each parameter and state.
//   4. No width is left without a group.
#pragma once

#include <string>
#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

// Where units of a width stand: in the rows or columns of a parameter, the numbers of a state, the value of a node.
struct Place {
  enum class Of { rows, columns, state, units };
  Of of = Of::units;
  std::string name = {};          // of the parameter or the state; of units, the operation
  std::string does = {};          // "makes it", "reads it": for people
  std::size_t node = 0;           // of units: on the tape
  std::vector<Index> group = {};  // that index i belongs to
  bool makes = false;             // a matrix whose rows or columns compute the units from what is before them

  std::vector<Index> indices_of(Index which) const;  // of a group, ascending
};

struct Width {
  std::string name;        // of what makes its units: "fc1"
  Index groups = 0;        // how many there are
  std::string fixed = {};  // why none of them can go; empty: they can
  std::vector<Place> places = {};
};

// Those that have parameters, in the order in which the network computes them. input: the shape of one sample
std::vector<Width> widths_of(const Module& model, const Shape& input);
// The same of a tape on which the model was recorded.
std::vector<Width> recorded_widths(const Module& model, const Tape& tape);

// The width of that name. Throws UsageError, listing the names, if there is none. what: for the message, "protect"
const Width& width_named(const std::vector<Width>& widths, const std::string& name, const char* what = "layer");

// The groups of each width that stay, ascending.
using Kept = std::vector<std::vector<Index>>;
Kept all_of(const std::vector<Width>& widths);

// Takes all other groups out of the model, with their optimizer slots. Throws UsageError, naming the width, if one of
// them is fixed, or if none would stay; the model is then as it was. Whatever held parts of the model (a trainer, spans
// of values) has to be made anew.
void narrow(Module& model, const std::vector<Width>& widths, const Kept& kept);

// What goes with a group, and why, a line for each parameter and state.
std::string text_of(const Width& width, Index group);

}  // namespace espalier
