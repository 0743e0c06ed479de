// Structure: in what shape may weights go?
//
//   elements     any of them
//   2:4          2 of every 4 consecutive columns of a row stay (N:M; Zhou et al., "Learning N:M fine-grained
//                structured sparse neural networks from scratch", 2021)
//   block:4x4    blocks of 4 rows x 4 columns stay or go whole (Gray et al., "GPU kernels for block-sparse
//                weights", 2017)
//   fan-in       every row keeps equally many (Lasby et al., "Dynamic sparse training with structured
//                sparsity", 2023)
//
//   neurons      whole units of linear and recurrent layers         with all that is coupled to them (layers/widths.h);
//   channels     whole channels of convolutions                     they are *taken out*, so that the network becomes
//   heads        whole heads of attention                           narrower while it trains (group_method.h)
//   units        all three
//
// The first four choose weights, the last four units. Of units the density is the share of units that stay: of 300 and
// 100 neurons, 0.3 leaves 120, and all weights of those that stay. Fewer weights are left than that, since a matrix
// becomes narrower on both sides: both figures are printed.
//
// The rows of W are the units, or channels, of a layer's output; a convolution's columns are in / groups * taps, so
// that a row's group of four is a piece of its kernel window. An allocation says how many weights a layer may keep; a
// structure keeps that many, or the next smaller number that its shape allows:
//
//   elements     keep
//   N:M          max(N, ceil(keep / positions * M)) of each group: more than N before the end, N of M then
//   block:RxC    as many of the best blocks as fit into keep; a block's score is the sum of its live weights' scores
//   fan-in       floor(keep / rows) of each row
//
// Intuition: hardware and kernels are fast on regular shapes; every demand of theirs costs freedom of choice.
// When: at every pruning, after the allocation. Only live weights are candidates, so that gradual pruning is nested.
// Cost: one pass over the live weights, and a sort of the blocks.
// Caveat: only the *pattern* has the shape. The csr kernels run any pattern, and know nothing of shapes.
// Try: espalier train --structure 2:4            espalier train --structure fan-in --density 0.1
//      espalier train --structure neurons --density 0.3
// Exercise: which of the shapes keeps most of the magnitude that `elements` keeps, at density 0.5? Sum it and see.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/parameter.h"

namespace espalier {

struct Structure {
  enum class Kind { elements, n_of_m, blocks, fan_in, neurons, channels, heads, units };
  Kind kind = Kind::elements;
  Index n = 0, m = 0;           // n_of_m: n of every m columns
  Index height = 0, width = 0;  // blocks: rows and columns of each

  // The density that the shape itself asks for in the end: n / m. None: the schedule's.
  std::optional<double> density() const;
  // Whether whole units go, with all that is coupled to them; the functions below are for the others.
  bool of_units() const { return kind >= Kind::neurons; }
  bool operator==(const Structure&) const = default;
};
Structure structure_named(const std::string& text);  // throws UsageError listing what is known
std::string name_of(const Structure& structure);

// Throws UsageError, with the layer and its shape, unless groups or blocks divide W without a rest.
void check(const Structure& structure, const Parameter& W);

// The fewest weights of W, when all of them are live, that have this structure without leaving W empty.
Index fewest(const Structure& structure, const Parameter& W);

// What stays or goes together competes together, before layers are compared: every weight of a block gets the mean
// score of the block's live weights; of fan-in, the n-th best weight of every row the mean over rows of their n-th
// best. Otherwise a layer whose large weights are scattered would be given room for those alone, spend a part of it on
// their neighbours, be given less the next time, and so on. Other structures: nothing.
//   scores: [W.nonzeros()], row-major
void share_scores(const Structure& structure, const Parameter& W, std::span<Real> scores);

// Which live weights stay if W may keep `keep`, as ascending indices in row-major live order. Ties go to the lowest
// index (of blocks: row-major too). A group or row with fewer live weights than it may keep keeps them all.
//   scores: [W.nonzeros()], row-major         Throws UsageError as `check` does, or if none would stay.
std::vector<std::uint32_t> select(const Structure& structure, const Parameter& W, std::span<const Real> scores,
                                  Index keep);

}  // namespace espalier
