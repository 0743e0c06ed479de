#include "espalier/core/layouts/stream.h"

#include <algorithm>
#include <limits>

#include "espalier/core/layouts/transpose.h"
#include "espalier/core/tensor.h"

namespace espalier {
namespace {

constexpr Index rows_of_block = 1024;  // 256 KiB of Y at 64 lanes: a part of L2
static_assert(Stream::widest <= std::numeric_limits<std::uint16_t>::max());
static_assert(rows_of_block <= block_rows_limit && block_rows_limit <= std::numeric_limits<std::uint16_t>::max());

std::vector<RowBlock> stream_blocks(const Compressed& matrix, Stream::Rows rows) {
  if (rows == Stream::Rows::of_gradient) return balanced_blocks(matrix.begin);
  std::vector<RowBlock> blocks;
  for (Index r = 0; r < matrix.rows; r += rows_of_block) {
    const Index end = std::min(matrix.rows, r + rows_of_block);
    blocks.push_back({r, end, matrix.begin[r], matrix.begin[end], static_cast<Index>(blocks.size())});
  }
  return blocks;
}

}  // namespace

Stream::Stream(const Pattern& pattern, const Key& key) : transposed_(key.transposed) {
  const Compressed& matrix = transposed_ ? pattern.derived<Transpose>() : pattern.compressed();
  const Index limit = key.rows == Rows::of_gradient ? widest_of_gradient : widest;
  width = std::clamp<Index>(key.width, 1, std::min(matrix.cols, limit));
  count = (matrix.cols + width - 1) / width;
  blocks = stream_blocks(matrix, key.rows);
  column_.reserve(matrix.index.size());
  std::vector<Index> next;  // of each row of the block: its first weight that is not in the stream yet
  for (const RowBlock& block : blocks) {
    next.assign(matrix.begin.begin() + block.first_row, matrix.begin.begin() + block.last_row);
    for (Index panel = 0; panel < count; ++panel) {
      first_.push_back({groups_.size(), row_.size(), column_.size()});
      add_part(matrix, panel, block, next);
      largest_part = std::max(largest_part, column_.size() - first_.back().weight);
    }
  }
  first_.push_back({groups_.size(), row_.size(), column_.size()});
  groups_.shrink_to_fit();
  row_.shrink_to_fit();
  begin_.shrink_to_fit();
}

void Stream::add_part(const Compressed& matrix, Index panel, const RowBlock& block, std::vector<Index>& next) {
  struct Visit {
    std::uint32_t begin;
    std::uint16_t row, count;
  };
  std::vector<Visit> visits;
  const auto end_column = static_cast<std::uint64_t>((panel + 1) * width);
  for (Index r = 0; r < block.rows(); ++r) {
    const Index begin = next[r], end = matrix.begin[block.first_row + r + 1];
    Index n = begin;
    while (n < end && matrix.index[n] < end_column) ++n;
    if (n > begin)
      visits.push_back(
          {static_cast<std::uint32_t>(begin), static_cast<std::uint16_t>(r), static_cast<std::uint16_t>(n - begin)});
    next[r] = n;
  }
  std::ranges::stable_sort(visits, {}, &Visit::count);
  const std::size_t first_group = groups_.size();
  for (const Visit& visit : visits) {
    if (groups_.size() > first_group && groups_.back().count == visit.count)
      ++groups_.back().visits;
    else
      groups_.push_back({visit.count, 1});
    row_.push_back(visit.row);
    begin_.push_back(visit.begin);
    for (std::size_t n = visit.begin; n < std::size_t{visit.begin} + visit.count; ++n)
      column_.push_back(static_cast<std::uint16_t>(matrix.index[n] - panel * width));
  }
}

Stream::Part Stream::part(Index block, Index panel) const {
  const auto at = static_cast<std::size_t>(block * count + panel);
  const Beginning &from = first_[at], &to = first_[at + 1];
  return {.groups = std::span(groups_).subspan(from.group, to.group - from.group),
          .row = row_.data() + from.visit,
          .begin = begin_.data() + from.visit,
          .column = column_.data() + from.weight,
          .first_column = panel * width,
          .first_weight = from.weight,
          .weights = to.weight - from.weight};
}

void Stream::copy_values(const Pattern& pattern, std::span<const Real> value, std::span<Real> copy) const {
  const std::uint32_t* slot = transposed_ ? pattern.derived<Transpose>().slot.data() : nullptr;
  Real* to = copy.data();
  const std::uint32_t* begin = begin_.data();
  for (const Group& group : groups_)
    for (int visit = 0; visit < group.visits; ++visit) {
      const std::size_t first = *begin++;
      if (slot)
        for (std::size_t n = first; n < first + group.count; ++n) *to++ = value[slot[n]];
      else
        to = std::copy_n(value.data() + first, group.count, to);
    }
}

std::size_t Stream::bytes() const {
  return first_.size() * sizeof(Beginning) + groups_.size() * sizeof(Group) + row_.size() * sizeof(row_[0]) +
         begin_.size() * sizeof(begin_[0]) + column_.size() * sizeof(column_[0]);
}

namespace {

constexpr double sparsest_in_panels = 0.03;

// As many columns as fit into the cache, or as give a visit so many weights; whole rows of sparse matrices.
Index width_of(Index in_cache, double weights_per_visit, double density, Index columns) {
  if (density < sparsest_in_panels) return columns;
  const auto worthwhile = static_cast<Index>(weights_per_visit / density) / lane_quantum * lane_quantum;
  return std::min(columns, std::max({in_cache, worthwhile, lane_quantum}));
}

constexpr Index reals_in(Index kib) {
  return kib * 1024 / static_cast<Index>(sizeof(float));
}

}  // namespace

Index stream_width(Index lanes, double density, Index columns) {
  return width_of(reals_in(32) / lanes, 10, density, columns);
}

Index gradient_stream_width(Index lanes, double density, Index columns) {
  constexpr Index lanes_at_once = 128;  // of as many tiles as have them: what fills the registers of the kernel
  return width_of(reals_in(48) / std::max(lanes, lanes_at_once), 10, density, columns);
}

}  // namespace espalier
