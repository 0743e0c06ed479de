#include "espalier/core/parameter.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/core/kernels/sparse.h"
#include "espalier/core/layouts/slices.h"

namespace espalier {
namespace {

// Weights per row block of a full-length array: 256 KiB of gradient, a part of L2.
constexpr Index dense_block_weights = 65536;

Index checked_positions(const std::string& name, Index rows, Index cols) {
  require(rows > 0 && cols > 0, "[parameter] {}: expected positive extents, got {} x {}", name, rows, cols);
  return rows * cols;
}

std::vector<RowBlock> blocks_of(Index rows, Index cols, const Pattern* pattern, Storage storage) {
  if (storage == Storage::csr) return {pattern->blocks().begin(), pattern->blocks().end()};
  std::vector<RowBlock> blocks;
  const Index height = std::max<Index>(1, dense_block_weights / cols);
  for (Index r = 0; r < rows; r += height) {
    const Index end = std::min(rows, r + height);
    blocks.push_back({r, end, r * cols, end * cols, static_cast<Index>(blocks.size())});
  }
  return blocks;
}

}  // namespace

std::string_view name_of(Storage storage) {
  switch (storage) {
    case Storage::dense:
      return "dense";
    case Storage::masked:
      return "masked";
    case Storage::csr:
      return "csr";
  }
  return "?";
}

Parameter::Parameter(std::string name, Index rows, Index cols, Role role)
    : name_(std::move(name)),
      rows_(rows),
      cols_(cols),
      role_(role),
      value_(static_cast<std::size_t>(checked_positions(name_, rows, cols)), Real{0}),
      blocks_(blocks_of(rows, cols, nullptr, Storage::dense)) {}

Parameter::Parameter(std::string name, PatternPtr pattern)
    : name_(std::move(name)),
      rows_(pattern->rows()),
      cols_(pattern->cols()),
      role_(Role::weight),
      storage_(Storage::csr),
      pattern_(std::move(pattern)),
      value_(static_cast<std::size_t>(pattern_->nonzeros()), Real{0}),
      blocks_(blocks_of(rows_, cols_, pattern_.get(), Storage::csr)) {}

void Parameter::pack_for_latency() {
  unpack();
  if (storage_ != Storage::csr || !kernels::has_slices()) return;
  const Slices& slices = pattern_->derived<Slices>();
  if (slices.empty()) return;
  AlignedVector<Real> packed(slices.steps() * Slices::lanes, Real{0});
  std::size_t n = 0;
  for (std::size_t step = 0; step < slices.steps(); ++step)
    for (unsigned live = slices.live[step]; live != 0; live &= live - 1)
      packed[step * Slices::lanes + static_cast<std::size_t>(std::countr_zero(live))] = value_[slices.slot[n++]];
  packed_ = std::move(packed);
}

void Parameter::add_slot(std::string_view name) {
  if (!has_slot(name)) slots_.push_back({std::string(name), AlignedVector<Real>(value_.size(), Real{0})});
}

void Parameter::remove_slot(std::string_view name) {
  std::erase_if(slots_, [&](const Slot& slot) { return slot.name == name; });
}

bool Parameter::has_slot(std::string_view name) const {
  return std::ranges::any_of(slots_, [&](const Slot& slot) { return slot.name == name; });
}

std::span<Real> Parameter::slot(std::string_view name) {
  return slots_[slot_index(name)].array;
}

std::span<const Real> Parameter::slot(std::string_view name) const {
  return slots_[slot_index(name)].array;
}

std::size_t Parameter::slot_index(std::string_view name) const {
  const auto found = std::ranges::find(slots_, name, &Slot::name);
  require(found != slots_.end(), "[parameter] {}: expected a slot \"{}\", found none of that name", name_, name);
  return static_cast<std::size_t>(found - slots_.begin());
}

std::vector<std::string> Parameter::slot_names() const {
  std::vector<std::string> names;
  for (const Slot& slot : slots_) names.push_back(slot.name);
  return names;
}

template <typename Copy>
void Parameter::rebuild(std::size_t length, Copy&& copy) {
  // Everything that can throw happens before anything changes.
  std::vector<AlignedVector<Real>> arrays;
  for (std::size_t i = 0; i <= slots_.size(); ++i) {
    const AlignedVector<Real>& old = i == 0 ? value_ : slots_[i - 1].array;
    AlignedVector<Real>& fresh = arrays.emplace_back(length, Real{0});
    copy(old, fresh);
  }
  unpack();
  stream_copies_.drop();
  value_ = std::move(arrays[0]);
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i].array = std::move(arrays[i + 1]);
}

void Parameter::become(PatternPtr pattern, Storage storage) {
  require(!pattern || (pattern->rows() == rows_ && pattern->cols() == cols_),
          "[become] {}: expected a pattern of {} x {}, got {} x {}", name_, rows_, cols_, pattern ? pattern->rows() : 0,
          pattern ? pattern->cols() : 0);
  require(storage != Storage::dense || !pattern || pattern->full(),
          "[become] {}: dense storage expects every weight live, got {} of {}", name_,
          pattern ? pattern->nonzeros() : 0, positions());
  if (storage == Storage::dense)
    pattern = nullptr;
  else if (!pattern)
    pattern = Pattern::full(rows_, cols_);

  const bool from_csr = storage_ == Storage::csr, to_csr = storage == Storage::csr;
  const auto length = static_cast<std::size_t>(to_csr ? pattern->nonzeros() : positions());
  std::vector<RowBlock> blocks = blocks_of(rows_, cols_, pattern.get(), storage);
  rebuild(length, [&](const AlignedVector<Real>& old, AlignedVector<Real>& fresh) {
    if (!pattern) {  // every weight has a place
      for_each_weight([&](Index r, Index c, Index at) { fresh[r * cols_ + c] = old[at]; });
      return;
    }
    for (Index r = 0; r < rows_; ++r) {
      // Where weight (r, c) was; columns are asked for in ascending order. -1: it did not live.
      Index n = from_csr ? pattern_->row_begin()[r] : 0;
      const Index n_end = from_csr ? pattern_->row_begin()[r + 1] : 0;
      const auto was = [&](Index c) -> Index {
        if (!from_csr) return r * cols_ + c;  // masked: dead positions hold zero (invariant 3)
        while (n < n_end && pattern_->column()[n] < c) ++n;
        return n < n_end && pattern_->column()[n] == c ? n : -1;
      };
      const auto carry = [&](Index c, Index to) {
        if (const Index from = was(c); from >= 0) fresh[to] = old[from];
      };
      Index to = pattern->row_begin()[r];
      for (const std::uint32_t c : pattern->row(r)) carry(c, to_csr ? to++ : r * cols_ + c);
    }
  });
  pattern_ = std::move(pattern);
  storage_ = storage;
  blocks_ = std::move(blocks);
}

void Parameter::select(std::span<const Index> rows, std::span<const Index> columns) {
  const auto check = [&](std::span<const Index> kept, Index limit, const char* what) {
    require(!kept.empty(), "[select] {}: expected at least one {} to keep, got none", name_, what);
    for (std::size_t i = 0; i < kept.size(); ++i)
      require(kept[i] >= 0 && kept[i] < limit && (i == 0 || kept[i - 1] < kept[i]),
              "[select] {}: expected ascending {}s below {}, got {}", name_, what, limit, kept[i]);
  };
  check(rows, rows_, "row");
  check(columns, cols_, "column");

  // from[i]: where the i-th entry of the new arrays comes from.
  std::vector<Index> from;
  std::vector<Index> begin{0};
  std::vector<std::uint32_t> column;
  for (const Index r : rows) {
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const Index c = columns[j];
      const bool live = !pattern_ || pattern_->live(r, c);
      if (live) column.push_back(static_cast<std::uint32_t>(j));
      if (storage_ != Storage::csr) {
        from.push_back(r * cols_ + c);
      } else if (live) {
        const auto row = pattern_->row(r);
        from.push_back(pattern_->row_begin()[r] +
                       (std::ranges::lower_bound(row, static_cast<std::uint32_t>(c)) - row.begin()));
      }
    }
    begin.push_back(static_cast<Index>(column.size()));
  }
  const auto height = static_cast<Index>(rows.size()), width = static_cast<Index>(columns.size());
  PatternPtr pattern = pattern_ ? Pattern::make(height, width, std::move(begin), std::move(column)) : nullptr;
  std::vector<RowBlock> blocks = blocks_of(height, width, pattern.get(), storage_);
  rebuild(from.size(), [&](const AlignedVector<Real>& old, AlignedVector<Real>& fresh) {
    for (std::size_t i = 0; i < from.size(); ++i) fresh[i] = old[from[i]];
  });
  rows_ = height;
  cols_ = width;
  pattern_ = std::move(pattern);
  blocks_ = std::move(blocks);
}

}  // namespace espalier
