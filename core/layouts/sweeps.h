// Sweeps with sparse weights: which weights, in the order in which the kernel of a convolution uses them.
//
// The operand's channels are cut into panels, so that what a block of result pixels reads of a panel stays in L1: eight
// pixels of a 3 x 3 window are 30 pixels of 64 bytes per channel, so a panel is 17 channels. Within a panel rows are
// visited from top to bottom. Every row is visited in the first and in the last panel, even if it has no weights there:
// the first visit begins its pixels (zero, bias, or what they were), the last finishes them (activation).
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/core/pattern.h"
#include "espalier/core/window.h"

namespace espalier {

struct SparseSweep {
  struct Visit {
    std::uint32_t row, begin, count;  // result channel; weights begin .. begin + count
  };
  Sweep sweep;
  Index operand_channels = 0;
  std::vector<Visit> visits;             // panel after panel
  std::vector<std::size_t> panel_begin;  // panels + 1: where the visits of a panel begin
  std::vector<std::int32_t> offset;      // of each weight's operand pixel: channel * plane + tap, in pixels
  std::vector<std::uint32_t> slot;       // of each weight: where the parameter keeps it
  Index panels() const { return static_cast<Index>(panel_begin.size()) - 1; }
};

// One for the forward convolution, up to stride * stride for the transposed one.
struct SparseSweeps {
  using Key = Convolution;
  std::vector<SparseSweep> all;
  SparseSweeps(const Pattern& pattern, const Convolution& convolution);  // pattern: [out, in / groups * taps]
};

}  // namespace espalier
