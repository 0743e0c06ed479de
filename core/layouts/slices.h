// A sparse matrix laid out for one sample: sixteen rows at a time, one per SIMD lane, through windows of x.
//
//   a slice   16 rows that have about equally many weights. Its 16 sums stay in registers from begin to end.
//   a window  64 consecutive numbers of x, in four registers. It advances along the row as the slice's weights do.
//   a step    one weight of each lane, picked from the window by its column there (a byte). Two steps share a window.
//
//      columns    0        64       128           A lane with many weights on the left holds the window back; the
//      lane 0     |a  b c    d|   e                others use the time to take what the window already shows them. A
//      lane 1     |a    b     |  c  d              lane that has nothing left in it rests: it is not live in this
//      lane 2     |   a       | b     c            step, and reads nothing.
//                  └ window ─►
//
// Nothing is gathered, and y is touched once per row. The price is a copy of the values in this order (Parameter's
// pack_for_latency), resting lanes included.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/core/pattern.h"

namespace espalier {

// Empty where slices do not pay: with fewer than `window` columns, and where three lanes in four would rest. Rows come
// with the longest first, so that lanes rest more and more: the constructor gives up at the first slice at which too
// many do.
struct Slices {
  static constexpr Index lanes = 16, window = 64, steps_per_window = 2;

  Index rows = 0;
  std::vector<std::uint32_t> row;     // [rows], most weights first: lane l of slice s is row[16 s + l]
  std::vector<std::size_t> first{0};  // slices + 1: where their windows begin
  std::vector<std::uint32_t> base;    // [windows] first column
  std::vector<std::uint8_t> column;   // [steps, 16] relative to base; 0 where the lane rests
  std::vector<std::uint16_t> live;    // [steps] bit l: lane l has a weight
  std::vector<std::uint32_t> slot;    // [weights] of the live lanes, step after step: where the parameter keeps it

  Slices() = default;
  explicit Slices(const Pattern& pattern);
  Index slices() const { return static_cast<Index>(first.size()) - 1; }
  std::size_t steps() const { return live.size(); }
  bool empty() const { return slot.empty(); }
};

}  // namespace espalier
