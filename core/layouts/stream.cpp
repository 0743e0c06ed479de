#include "espalier/core/layouts/stream.h"

#include <algorithm>
#include <limits>

#include "espalier/core/layouts/transpose.h"

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
  width = std::clamp<Index>(key.width, 1, std::min(matrix.cols, widest));
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
constexpr double weights_per_visit = 9;  // measured: 128 columns at 0.1 and 192 at 0.05

// As many columns as fit into L1, or as many as make a visit worthwhile; whole rows where that would be nearly all.
Index width_of_stream(Index in_cache, double density, Index columns) {
  if (density < sparsest_in_panels) return std::min(columns, Stream::widest);
  const auto worthwhile = static_cast<Index>(weights_per_visit / density);
  return std::min(columns, std::max<Index>(in_cache, worthwhile / 16 * 16));
}

}  // namespace

Index stream_width(Index lanes, double density, Index columns) {
  constexpr Index reals_in_cache = 32 * 1024 / static_cast<Index>(sizeof(float));
  return width_of_stream(std::max<Index>(reals_in_cache / lanes, 16), density, columns);
}

Index gradient_stream_width(Index lanes, Index tiles, double density, Index columns) {
  constexpr Index widest_of_gradient = 1024;
  (void)density;
  constexpr Index reals_in_cache = 32 * 1024 / static_cast<Index>(sizeof(float));
  const Index in_cache = std::max<Index>(reals_in_cache / (lanes * tiles), 16);
  return std::min({columns, widest_of_gradient,
                   density < sparsest_in_panels ? columns
                   : density < 0.07             ? 2 * in_cache
                                                : in_cache});
}

}  // namespace espalier
