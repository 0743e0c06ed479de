// A traversal of a pattern, or of its transpose, for products over many lanes.
//
// The columns are cut into panels so that the rows of X that a panel reads stay in L1; the rows are cut into blocks so
// that weights and output rows stay in L2. Within (block, panel) rows are visited from top to bottom. (Visiting them in
// order of how many weights they have there, so that the inner loop's trip count is predictable, was tried and
// measured: 3 % slower.)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/core/pattern.h"

namespace espalier {

struct Panels {
  struct Key {
    Index width = 0;  // columns per panel; more than there are means all
    bool transposed = false;
    bool operator==(const Key&) const = default;
  };
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

  Panels(const Pattern& pattern, const Key& key);
  std::span<const Visit> of(Index block, Index panel) const {
    const Index at = block * count + panel;
    return std::span(visits).subspan(first[at], first[at + 1] - first[at]);
  }
};

// The panel width for products of `lanes` lanes over rows of this density: as many columns as keep the panel of X in
// L1, and more where so few weights would meet in a panel that visiting it does not pay; at most all columns.
Index panel_width(Index lanes, double density, Index columns);

}  // namespace espalier
