// Which weights of a matrix are live: an immutable set of (row, column) positions, shared by everything that needs it.
//
//        columns                     row_begin = 0 2 3 5
//        0 1 2 3                     column    = 1 3 | 0 | 1 2
//   row 0  . x . x
//   row 1  x . . .                   The n-th live weight in this row-major order is "slot n": a CSR parameter's
//   row 2  . x x .                   arrays are indexed by slot.
//
// Invariants:
//   1. Columns ascend strictly within a row; row_begin ascends; both agree with nonzeros().
//   2. A pattern never changes. What is derived from it (transpose, panels, slices) is computed once, on demand, from
//   any
//      thread, and hangs on it.
//   3. Positions (row * cols + column) are 64-bit; columns and slots are 32-bit, checked when the pattern is made.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/core/real.h"
#include "espalier/core/slices.h"
#include "espalier/core/sparse_sweep.h"

namespace espalier {

// Consecutive rows of a parameter, and the stretch of its arrays that they occupy.
struct RowBlock {
  Index first_row = 0, last_row = 0;  // [first_row, last_row)
  Index first = 0, last = 0;          // [first, last) in value() and every slot array
  Index number = 0;                   // its place among the blocks
  Index rows() const { return last_row - first_row; }
  Index weights() const { return last - first; }
};

// The rows of a 0/1 matrix, compressed. For a transpose, slot[n] says which weight of the original the n-th one is.
struct Compressed {
  Index rows = 0, cols = 0;
  std::vector<Index> begin;          // rows + 1
  std::vector<std::uint32_t> index;  // column of each live weight
  std::vector<std::uint32_t> slot;   // empty: weight n is slot n
  Index nonzeros() const { return static_cast<Index>(index.size()); }
};

// A traversal of a Compressed for the products. The columns are cut into panels so that the rows of X that a panel
// reads stay in L1; the rows are cut into blocks so that weights and output rows stay in L2. Within (block, panel) rows
// are visited from top to bottom. (Visiting them in order of how many weights they have there, so that the inner loop's
// trip count is predictable, was tried and measured: 3 % slower.)
struct Panels {
  struct Visit {
    std::uint32_t begin;  // first weight, in Compressed order
    std::uint16_t row;    // relative to the block's first row
    std::uint16_t count;  // weights of this row in this panel, at least 1
  };
  Index width = 0;               // columns per panel
  Index count = 0;               // panels
  std::vector<RowBlock> blocks;  // fixed, balanced by weights
  std::vector<Index> first;      // blocks * count + 1: where the visits of (block, panel) begin
  std::vector<Visit> visits;

  std::span<const Visit> of(Index block, Index panel) const {
    const auto at = static_cast<std::size_t>(block * count + panel);
    return std::span(visits).subspan(static_cast<std::size_t>(first[at]),
                                     static_cast<std::size_t>(first[at + 1] - first[at]));
  }
};

class Pattern;
using PatternPtr = std::shared_ptr<const Pattern>;

class Pattern {
 public:
  // Takes CSR arrays over; throws UsageError unless they satisfy invariants 1 and 3.
  Pattern(Index rows, Index cols, std::vector<Index> row_begin, std::vector<std::uint32_t> column);

  static PatternPtr make(Index rows, Index cols, std::vector<Index> row_begin, std::vector<std::uint32_t> column);
  static PatternPtr full(Index rows, Index cols);
  // Every position where live[row * cols + column] is not 0.
  static PatternPtr from_mask(Index rows, Index cols, std::span<const std::uint8_t> live);
  // From ascending positions row * cols + column.
  static PatternPtr from_positions(Index rows, Index cols, std::span<const Index> ascending);
  // Exactly `nonzeros` positions, every such set equally likely; memory and time grow with nonzeros, not rows * cols.
  static PatternPtr random(Index rows, Index cols, Index nonzeros, const Random& random);

  Index rows() const { return forward_.rows; }
  Index cols() const { return forward_.cols; }
  Index positions() const { return rows() * cols(); }
  Index nonzeros() const { return forward_.nonzeros(); }
  double density() const { return static_cast<double>(nonzeros()) / static_cast<double>(positions()); }
  bool full() const { return nonzeros() == positions(); }

  std::span<const Index> row_begin() const { return forward_.begin; }
  std::span<const std::uint32_t> column() const { return forward_.index; }
  std::span<const std::uint32_t> row(Index r) const;  // live columns of one row
  bool live(Index row, Index column) const;           // O(log row length)
  std::vector<std::uint8_t> mask() const;             // rows * cols, 0 or 1: a view for small matrices and tests
  bool operator==(const Pattern& other) const;

  const Compressed& compressed() const { return forward_; }
  const Compressed& transpose() const;
  // Row blocks of roughly equal numbers of weights, fixed by the pattern alone.
  std::span<const RowBlock> blocks() const { return blocks_; }
  // The traversal with panels of about `width` columns; of the transpose if so asked.
  const Panels& panels(Index width) const;
  const Panels& transposed_panels(Index width) const;
  // The layout for one sample; empty where it does not pay.
  const Slices& slices() const;
  // How a convolution with these weights walks over its images.
  const std::vector<SparseSweep>& sweeps(const Convolution& convolution) const;

 private:
  Compressed forward_;
  std::vector<RowBlock> blocks_;
  mutable std::mutex mutex_;  // guards the lazily made members below, each of which is written once
  mutable std::unique_ptr<const Compressed> transpose_;
  mutable std::unique_ptr<const Slices> slices_;
  mutable std::map<Index, std::unique_ptr<const Panels>> panels_, transposed_panels_;
  mutable std::map<Convolution, std::unique_ptr<const std::vector<SparseSweep>>> sweeps_;
};

// The panel width for products of `lanes` lanes over rows of this density: as many columns as keep the panel of X in
// L1, and more where so few weights would meet in a panel that visiting it does not pay.
Index panel_width(Index lanes, double density);

}  // namespace espalier
