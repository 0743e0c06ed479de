#include "espalier/core/layouts/transpose.h"

#include <numeric>

namespace espalier {

Transpose::Transpose(const Pattern& pattern) {
  const Compressed& original = pattern.compressed();
  rows = original.cols;
  cols = original.rows;
  begin.assign(rows + 1, 0);
  for (const std::uint32_t c : original.index) ++begin[c + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  index.resize(original.index.size());
  slot.resize(original.index.size());
  std::vector<Index> next(begin.begin(), begin.end() - 1);
  for (Index r = 0; r < original.rows; ++r)
    for (Index n = original.begin[r]; n < original.begin[r + 1]; ++n) {
      const Index at = next[original.index[n]]++;
      index[at] = static_cast<std::uint32_t>(r);
      slot[at] = static_cast<std::uint32_t>(n);
    }
}

}  // namespace espalier
