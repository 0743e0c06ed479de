// A reading order of a pattern, or of its transpose, in which nothing has to be looked for: the weights stand in the
// order in which a kernel meets them.
//
//   block by block of rows, and in a block panel by panel of columns, the rows that have weights there are *visited*,
//   those with few weights first:
//
//                 columns of the panel
//      row 0      a  b  .  .  c          groups    {count 1, visits 1}  {count 2, visits 2}  {count 3, visits 1}
//      row 1      .  d  .  .  .          row       1     2     3     0
//      row 2      e  .  .  f  .          column    1     0  3  2  4  0  1  4
//      row 3      .  .  g  .  h          weights   d     e  f  g  h  a  b  c
//
// Visits of equal count are a *group*: the inner loop runs equally often for all of them, and the processor sees that
// coming. A weight takes two bytes to find (its column, counted from the panel's first) instead of four, a visit six.
//
// Within a visit columns ascend, and so do panels. Hence every sum over a row's weights runs in the order of its
// columns, as it does with Panels of any width: both give the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/core/pattern.h"

namespace espalier {

struct Stream {
  enum class Rows {
    many,        // blocks of a thousand rows, so that panels are long: for products
    of_gradient  // the row blocks of the pattern, in which gradients are settled
  };
  struct Key {
    Index width = 0;  // columns per panel; more than there are means all, but never more than the widest
    bool transposed = false;
    Rows rows = Rows::many;
    bool operator==(const Key&) const = default;
  };
  static constexpr Index widest = 32768, widest_of_gradient = 1024;

  struct Group {
    std::uint16_t count;   // weights of each of its visits, at least 1
    std::uint16_t visits;  // at least 1
  };
  // What is read of one block and one panel.
  struct Part {
    std::span<const Group> groups;
    const std::uint16_t* row;     // of each visit, relative to the block's first row
    const std::uint32_t* begin;   // of each visit: its first weight, in Compressed order
    const std::uint16_t* column;  // of each weight, relative to the panel's first column
    Index first_column;
    std::size_t first_weight;  // in the order of the stream
    std::size_t weights;
  };

  Index width = 0;               // columns per panel
  Index count = 0;               // panels
  std::vector<RowBlock> blocks;  // those of key.rows
  std::size_t largest_part = 0;  // weights

  Stream(const Pattern& pattern, const Key& key);
  Part part(Index block, Index panel) const;
  // The values in the order of the stream; value: in that of the pattern.    copy: [weights()]
  void copy_values(const Pattern& pattern, std::span<const Real> value, std::span<Real> copy) const;
  std::size_t weights() const { return column_.size(); }
  std::size_t bytes() const;

 private:
  struct Beginning {
    std::size_t group = 0, visit = 0, weight = 0;
  };
  void add_part(const Compressed& matrix, Index panel, const RowBlock& block, std::vector<Index>& next);

  bool transposed_ = false;
  std::vector<Beginning> first_;  // blocks * count + 1
  std::vector<Group> groups_;
  std::vector<std::uint16_t> row_;
  std::vector<std::uint32_t> begin_;
  std::vector<std::uint16_t> column_;
};

// The panel width of a stream for products of `lanes` lanes over rows of this density: as many columns as keep the
// panel of X in L1, more where too few weights would meet in a visit, and whole rows below a density of 0.03.
Index stream_width(Index lanes, double density, Index columns);
// Of the stream of a gradient: the X of tiles that are summed at once share L1.
Index gradient_stream_width(Index lanes, double density, Index columns);

}  // namespace espalier
