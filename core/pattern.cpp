#include "espalier/core/pattern.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "espalier/core/error.h"

namespace espalier {
namespace {

void require_extents(Index rows, Index cols) {
  constexpr Index limit = std::numeric_limits<std::uint32_t>::max();
  require(rows > 0 && cols > 0 && rows <= limit && cols <= limit,
          "[pattern] expected 1 to {} rows and columns, got {} x {}", limit, rows, cols);
}

}  // namespace

std::vector<RowBlock> balanced_blocks(std::span<const Index> begin) {
  // Values, indices and gradients of so many weights fit in L2 beside the panels of X.
  constexpr Index block_weights = 16384;
  const Index rows = static_cast<Index>(begin.size()) - 1, weights = begin.back();
  const Index count = std::max<Index>(
      {1, (weights + block_weights - 1) / block_weights, (rows + block_rows_limit - 1) / block_rows_limit});
  std::vector<RowBlock> blocks;
  Index row = 0;
  const auto push = [&](Index end) {
    blocks.push_back({row, end, begin[row], begin[end], static_cast<Index>(blocks.size())});
    row = end;
  };
  for (Index b = 0; b < count && row < rows; ++b) {
    // The first row at which the weights so far reach their share; at least one row, at most the limit.
    const Index share = weights * (b + 1) / count;
    Index end = std::lower_bound(begin.begin() + row + 1, begin.end(), share) - begin.begin();
    if (b + 1 == count) end = rows;
    while (end - row > block_rows_limit) push(row + block_rows_limit);
    push(std::clamp(end, row + 1, rows));
  }
  return blocks;
}

Pattern::Pattern(Index rows, Index cols, std::vector<Index> row_begin, std::vector<std::uint32_t> column) {
  constexpr Index limit = std::numeric_limits<std::uint32_t>::max();
  require_extents(rows, cols);
  require(static_cast<Index>(row_begin.size()) == rows + 1, "[pattern] expected {} row beginnings, got {}", rows + 1,
          row_begin.size());
  require(static_cast<Index>(column.size()) < limit, "[pattern] expected fewer than {} live weights, got {}", limit,
          column.size());
  require(row_begin.front() == 0 && row_begin.back() == static_cast<Index>(column.size()),
          "[pattern] expected row beginnings from 0 to {}, got {} to {}", column.size(), row_begin.front(),
          row_begin.back());
  for (Index r = 0; r < rows; ++r)
    require(row_begin[r] <= row_begin[r + 1], "[pattern] row {} begins at {}, after the next row's {}", r, row_begin[r],
            row_begin[r + 1]);
  for (Index r = 0; r < rows; ++r)
    for (Index n = row_begin[r]; n < row_begin[r + 1]; ++n)
      require(column[n] < cols && (n == row_begin[r] || column[n - 1] < column[n]),
              "[pattern] row {}: expected ascending columns below {}, got {}", r, cols, column[n]);
  forward_ = {rows, cols, std::move(row_begin), std::move(column), {}};
  blocks_ = balanced_blocks(forward_.begin);
}

PatternPtr Pattern::make(Index rows, Index cols, std::vector<Index> row_begin, std::vector<std::uint32_t> column) {
  return std::make_shared<const Pattern>(rows, cols, std::move(row_begin), std::move(column));
}

PatternPtr Pattern::full(Index rows, Index cols) {
  require_extents(rows, cols);
  std::vector<Index> begin(rows + 1);
  std::vector<std::uint32_t> column(rows * cols);
  for (Index r = 0; r <= rows; ++r) begin[r] = r * cols;
  for (Index r = 0; r < rows; ++r) std::iota(column.begin() + r * cols, column.begin() + (r + 1) * cols, 0u);
  return make(rows, cols, std::move(begin), std::move(column));
}

PatternPtr Pattern::from_mask(Index rows, Index cols, std::span<const std::uint8_t> live) {
  require_extents(rows, cols);
  require(static_cast<Index>(live.size()) == rows * cols, "[pattern] expected a mask of {} x {} positions, got {}",
          rows, cols, live.size());
  std::vector<Index> begin{0};
  std::vector<std::uint32_t> column;
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < cols; ++c)
      if (live[r * cols + c]) column.push_back(static_cast<std::uint32_t>(c));
    begin.push_back(static_cast<Index>(column.size()));
  }
  return make(rows, cols, std::move(begin), std::move(column));
}

PatternPtr Pattern::from_positions(Index rows, Index cols, std::span<const Index> ascending) {
  require_extents(rows, cols);
  require(std::ranges::is_sorted(ascending), "[pattern] expected positions in ascending order");
  std::vector<Index> begin(rows + 1, 0);
  std::vector<std::uint32_t> column;
  column.reserve(ascending.size());
  for (const Index position : ascending) {
    require(position >= 0 && position / cols < rows, "[pattern] expected positions below {} x {}, got {}", rows, cols,
            position);
    ++begin[position / cols + 1];
    column.push_back(static_cast<std::uint32_t>(position % cols));
  }
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  return make(rows, cols, std::move(begin), std::move(column));
}

PatternPtr Pattern::random(Index rows, Index cols, Index nonzeros, const Random& random) {
  require_extents(rows, cols);
  const Index positions = rows * cols;
  require(nonzeros >= 0 && nonzeros <= positions, "[pattern] expected 0 to {} live weights, got {}", positions,
          nonzeros);
  // Draw the smaller of the set and its complement, with repetition; drop repeats and draw again until there are
  // enough. What remains after sorting and removing repeats of the first draws is a uniform set of distinct positions.
  const bool complement = nonzeros > positions / 2;
  const auto wanted = static_cast<std::size_t>(complement ? positions - nonzeros : nonzeros);
  std::vector<Index> drawn;
  std::uint64_t n = 0;
  while (drawn.size() < wanted) {
    const std::size_t old = drawn.size();
    while (drawn.size() < wanted)
      drawn.push_back(static_cast<Index>(random.below(n++, static_cast<std::uint64_t>(positions))));
    std::sort(drawn.begin() + static_cast<std::ptrdiff_t>(old), drawn.end());
    std::inplace_merge(drawn.begin(), drawn.begin() + static_cast<std::ptrdiff_t>(old), drawn.end());
    drawn.erase(std::unique(drawn.begin(), drawn.end()), drawn.end());
  }
  if (!complement) return from_positions(rows, cols, drawn);
  std::vector<Index> kept;
  kept.reserve(nonzeros);
  auto dropped = drawn.begin();
  for (Index p = 0; p < positions; ++p) {
    if (dropped != drawn.end() && *dropped == p)
      ++dropped;
    else
      kept.push_back(p);
  }
  return from_positions(rows, cols, kept);
}

std::span<const std::uint32_t> Pattern::row(Index r) const {
  return column().subspan(forward_.begin[r], forward_.begin[r + 1] - forward_.begin[r]);
}

bool Pattern::live(Index r, Index c) const {
  return std::ranges::binary_search(row(r), static_cast<std::uint32_t>(c));
}

std::vector<std::uint8_t> Pattern::mask() const {
  std::vector<std::uint8_t> live(positions(), 0);
  for (Index r = 0; r < rows(); ++r)
    for (const std::uint32_t c : row(r)) live[r * cols() + c] = 1;
  return live;
}

bool Pattern::operator==(const Pattern& other) const {
  return cols() == other.cols() && forward_.begin == other.forward_.begin && forward_.index == other.forward_.index;
}

}  // namespace espalier
