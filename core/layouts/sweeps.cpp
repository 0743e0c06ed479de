#include "espalier/core/layouts/sweeps.h"

#include <algorithm>
#include <limits>

namespace espalier {
namespace {

constexpr Index l1_bytes = 32 * 1024, pixel_bytes = 64;
constexpr Index block_pixels = 8;  // that the kernel computes at once, along a line

// How many operand channels fit into L1, for one block of the result.
Index panel_channels(const Window& w, bool transposed) {
  const Index stride = transposed ? 1 : w.stride;
  const Index pixels = w.kernel_height * ((block_pixels - 1) * stride + w.kernel_width);
  return std::max<Index>(1, l1_bytes / (pixels * pixel_bytes));
}

struct Weight {
  Index row, channel, offset, slot;
};

// All weights that take part in a sweep, row after row, channels ascending.
std::vector<Weight> weights_of(const Pattern& pattern, const Convolution& c, const Sweep& sweep) {
  const Window& w = c.window;
  const Index taps = w.taps();
  const Index out_channels = pattern.rows(), in_per_group = pattern.cols() / taps,
              out_per_group = out_channels / w.groups;
  std::vector<Index> offset_of_tap(taps, std::numeric_limits<Index>::max());
  for (std::size_t i = 0; i < sweep.tap.size(); ++i) offset_of_tap[sweep.tap[i]] = sweep.offset[i];

  std::vector<Weight> weights;
  for (Index o = 0; o < out_channels; ++o) {
    Index slot = pattern.row_begin()[o];
    for (const std::uint32_t column : pattern.row(o)) {
      const Index in_channel = o / out_per_group * in_per_group + static_cast<Index>(column) / taps;
      const Index offset = offset_of_tap[static_cast<Index>(column) % taps];
      if (offset != std::numeric_limits<Index>::max()) {
        const Index row = c.transposed ? in_channel : o, channel = c.transposed ? o : in_channel;
        weights.push_back({row, channel, channel * sweep.in_plane + offset, slot});
      }
      ++slot;
    }
  }
  std::ranges::stable_sort(
      weights, [](const Weight& a, const Weight& b) { return a.row != b.row ? a.row < b.row : a.channel < b.channel; });
  return weights;
}

SparseSweep sparse_sweep(const Pattern& pattern, const Convolution& c, const Sweep& sweep) {
  const std::vector<Weight> weights = weights_of(pattern, c, sweep);
  const Index rows = c.result.channels, channels = c.operand.channels;
  const Index panels = (channels + panel_channels(c.window, c.transposed) - 1) / panel_channels(c.window, c.transposed);
  const Index width = (channels + panels - 1) / panels;  // of equal size

  SparseSweep plan{.sweep = sweep, .operand_channels = channels};
  std::vector<std::size_t> next(rows + 1, weights.size());  // first unused weight of a row
  for (std::size_t n = weights.size(); n-- > 0;) next[weights[n].row] = n;
  for (Index p = 0; p < panels; ++p) {
    plan.panel_begin.push_back(plan.visits.size());
    for (Index r = 0; r < rows; ++r) {
      const std::size_t begin = plan.offset.size();
      std::size_t& n = next[r];
      for (; n < weights.size() && weights[n].row == r && weights[n].channel < (p + 1) * width; ++n) {
        plan.offset.push_back(static_cast<std::int32_t>(weights[n].offset));
        plan.slot.push_back(static_cast<std::uint32_t>(weights[n].slot));
      }
      const std::size_t count = plan.offset.size() - begin;
      if (count > 0 || p == 0 || p + 1 == panels)
        plan.visits.push_back(
            {static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(count)});
    }
  }
  plan.panel_begin.push_back(plan.visits.size());
  return plan;
}

}  // namespace

SparseSweeps::SparseSweeps(const Pattern& pattern, const Convolution& convolution) {
  for (const Sweep& sweep : sweeps_of(convolution)) all.push_back(sparse_sweep(pattern, convolution, sweep));
}

}  // namespace espalier
