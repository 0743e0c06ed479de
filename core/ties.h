// Which units go together. Beside what a node's matrices read (core/reads.h) it is known of every recorded node which
// units of its value are those of its inputs, and which rows and columns of its parameters belong to them. So it can be
// found out what else has to go when a unit goes, in any network, and no layer has to be known by name.
//
// A *tie* has two ends with indices of their own: units of the value or of an input, rows or columns of a parameter,
// numbers of a state. Index i of an end belongs to
//
//   (i / inner) % count        inner neighbours go together, and after count of them it begins anew
//
//   columns of a linear layer behind [C, H, W]    inner H W, count C       a channel is H W columns
//   columns of a linear layer behind [T, F]       inner 1,   count F       a feature is every F-th column
//   rows of a recurrent layer with 3 gates        inner 1,   count H       a unit is rows u, H + u, 2 H + u
//   columns of a convolution in g groups          inner taps, count C / g  the same channel of each group
//   queries of attention                          inner d,   count heads   a head is d features
//
// and what belongs to the same goes together. A layer says none of it that follows from what it records:
//
//   a matrix             its columns stand for what it reads, its rows for the value (transposed: the other way round)
//   an input             that no matrix reads passes its units on; one that is mixed, groups of them (Mixing)
//   a bias, a scale      has a row for each unit of the value, or a column for each; a state has a number for each
//   a matrix of States   has rows, as the inputs have units, for each gate of each unit
//
// It says the rest in Tape::Record::ties: what the rows of a matrix stand for whose product stays inside the node.
#pragma once

#include <string>
#include <vector>

#include "espalier/core/parameter.h"

namespace espalier {

class Tape;
struct Node;

struct TieEnd {
  enum class Of { value, input, rows, columns, state };
  Of of = Of::value;
  int which = 0;                 // of the node's inputs or states
  const Parameter* W = nullptr;  // whose rows or columns
  Index inner = 1;
};
inline TieEnd tied_rows(const Parameter& W, Index inner = 1) {
  return {.of = TieEnd::Of::rows, .W = &W, .inner = inner};
}
inline TieEnd tied_columns(const Parameter& W, Index inner = 1) {
  return {.of = TieEnd::Of::columns, .W = &W, .inner = inner};
}
inline TieEnd tied_input(int which, Index inner = 1) {
  return {.of = TieEnd::Of::input, .which = which, .inner = inner};
}
inline TieEnd tied_value(Index inner = 1) {
  return {.of = TieEnd::Of::value, .inner = inner};
}

struct Tie {
  TieEnd a, b;
  Index count = 0;  // 0: a's indices / inner
};

// Of which no index can go, and why: "its columns are tokens".
struct Fixed {
  TieEnd end;
  std::string why;
};

struct Ties {
  std::vector<Tie> ties;  // whose counts are known, and go into both ends without a rest
  std::vector<Fixed> fixed;
};
Ties ties_of(const Tape& tape, const Node& node);

// How many indices an end has.
Index indices_of(const Tape& tape, const Node& node, const TieEnd& end);

}  // namespace espalier
