#include "espalier/core/layouts/panels.h"

#include <algorithm>
#include <limits>

#include "espalier/core/layouts/transpose.h"

namespace espalier {
namespace {

constexpr Index panel_width_limit = 32768;
static_assert(panel_width_limit <= std::numeric_limits<decltype(Panels::Visit::count)>::max());
static_assert(block_rows_limit <= std::numeric_limits<decltype(Panels::Visit::row)>::max());

}  // namespace

Panels::Panels(const Pattern& pattern, const Key& key) {
  const Compressed& matrix = key.transposed ? pattern.derived<Transpose>() : pattern.compressed();
  width = std::clamp<Index>(key.width, 1, std::min(matrix.cols, panel_width_limit));
  count = (matrix.cols + width - 1) / width;
  blocks = balanced_blocks(matrix.begin);
  first.push_back(0);
  std::vector<std::vector<Visit>> by_panel(count);
  for (const RowBlock& block : blocks) {
    for (auto& of_panel : by_panel) of_panel.clear();
    for (Index r = block.first_row; r < block.last_row; ++r)
      for (Index n = matrix.begin[r]; n < matrix.begin[r + 1];) {
        const Index panel = matrix.index[n] / width, begin = n;
        while (n < matrix.begin[r + 1] && matrix.index[n] / width == panel) ++n;
        by_panel[panel].push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint16_t>(r - block.first_row),
                                   static_cast<std::uint16_t>(n - begin)});
      }
    for (const auto& of_panel : by_panel) {
      visits.insert(visits.end(), of_panel.begin(), of_panel.end());
      first.push_back(static_cast<Index>(visits.size()));
    }
  }
}

Index panel_width(Index lanes, double density, Index columns) {
  constexpr Index panel_reals = 32 * 1024 / static_cast<Index>(sizeof(float));  // a 32 KiB L1
  constexpr double weights_per_visit = 6;
  const Index in_cache = std::max<Index>(panel_reals / lanes, 16);
  const auto worthwhile = static_cast<Index>(weights_per_visit / std::max(density, 1e-9));
  return std::min(columns, std::max(in_cache, std::min(worthwhile, panel_width_limit)));
}

}  // namespace espalier
