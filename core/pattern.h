// Which weights of a matrix are live: an immutable set of (row, column) positions, shared by everything that needs it.
//
//        columns                     row_begin = 0 2 3 5
//        0 1 2 3                     column    = 1 3 | 0 | 1 2
//   row 0  . x . x
//   row 1  x . . .                   The n-th live weight in this row-major order is "slot n": a CSR parameter's
//   row 2  . x x .                   arrays are indexed by slot.
//
// Invariants:
//   1. Columns ascend strictly within a row; row_begin ascends; both agree with nonzeros().
//   2. A pattern never changes, and it knows positions only. The orders in which kernels walk over them are layouts
//      (core/layouts/), which know the pattern; derived() keeps them.
//   3. Positions (row * cols + column) are 64-bit; columns and slots are 32-bit, checked when the pattern is made.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/core/real.h"

namespace espalier {

// Consecutive rows of a parameter, and the stretch of its arrays that they occupy.
struct RowBlock {
  Index first_row = 0, last_row = 0;  // [first_row, last_row)
  Index first = 0, last = 0;          // [first, last) in value() and every slot array
  Index number = 0;                   // its place among the blocks
  Index rows() const { return last_row - first_row; }
  Index weights() const { return last - first; }
};

// Blocks of roughly equal numbers of weights, with at most block_rows_limit rows, of rows that begin at these weights.
inline constexpr Index block_rows_limit = 8192;  // 2 MiB of Y at 64 lanes
std::vector<RowBlock> balanced_blocks(std::span<const Index> begin);

// The rows of a 0/1 matrix, compressed. For a transpose, slot[n] says which weight of the original the n-th one is.
struct Compressed {
  Index rows = 0, cols = 0;
  std::vector<Index> begin;          // rows + 1
  std::vector<std::uint32_t> index;  // column of each live weight
  std::vector<std::uint32_t> slot;   // empty: weight n is slot n
  Index nonzeros() const { return static_cast<Index>(index.size()); }
};

class Pattern;
using PatternPtr = std::shared_ptr<const Pattern>;

class Pattern {
 public:
  // Takes CSR arrays over; throws UsageError unless they satisfy invariants 1 and 3.
  Pattern(Index rows, Index cols, std::vector<Index> row_begin, std::vector<std::uint32_t> column);

  static PatternPtr make(Index rows, Index cols, std::vector<Index> row_begin, std::vector<std::uint32_t> column);
  static PatternPtr full(Index rows, Index cols);
  // Every position where live[row * cols + column] is not 0.
  static PatternPtr from_mask(Index rows, Index cols, std::span<const std::uint8_t> live);
  // From ascending positions row * cols + column.
  static PatternPtr from_positions(Index rows, Index cols, std::span<const Index> ascending);
  // Exactly `nonzeros` positions, every such set equally likely; memory and time grow with nonzeros, not rows * cols.
  static PatternPtr random(Index rows, Index cols, Index nonzeros, const Random& random);

  Index rows() const { return forward_.rows; }
  Index cols() const { return forward_.cols; }
  Index positions() const { return rows() * cols(); }
  Index nonzeros() const { return forward_.nonzeros(); }
  double density() const { return static_cast<double>(nonzeros()) / static_cast<double>(positions()); }
  bool full() const { return nonzeros() == positions(); }

  std::span<const Index> row_begin() const { return forward_.begin; }
  std::span<const std::uint32_t> column() const { return forward_.index; }
  std::span<const std::uint32_t> row(Index r) const;  // live columns of one row
  bool live(Index row, Index column) const;           // O(log row length)
  std::vector<std::uint8_t> mask() const;             // rows * cols, 0 or 1: a view for small matrices and tests
  bool operator==(const Pattern& other) const;

  const Compressed& compressed() const { return forward_; }
  // Row blocks of roughly equal numbers of weights, fixed by the pattern alone.
  std::span<const RowBlock> blocks() const { return blocks_; }

  // The layout of this type for this pattern, and this key if it has a Layout::Key: made by Layout(pattern, key) the
  // first time it is asked for, by whichever thread, and kept as long as the pattern. To find it takes no lock.
  template <class Layout>
  const Layout& derived(const typename Layout::Key& key) const {
    return found_or_made<Layout>(key, [&] { return Layout(*this, key); });
  }
  template <class Layout>
  const Layout& derived() const {
    return found_or_made<Layout>(NoKey{}, [&] { return Layout(*this); });
  }

 private:
  struct NoKey {
    bool operator==(const NoKey&) const = default;
  };
  // A list of all layouts so far, the newest first. A node never changes once newest_ leads to it.
  struct Node {
    explicit Node(const void* tag) : type(tag) {}
    virtual ~Node() = default;
    const void* type;  // the address of Kept::tag
    const Node* older = nullptr;
  };
  template <class Layout, class Key>
  struct Kept final : Node {
    inline static char tag{};  // its address tells the types of layouts apart
    Key key;
    Layout layout;
    template <class Make>
    Kept(const Key& of, Make&& make) : Node(&tag), key(of), layout(make()) {}
  };
  template <class Layout, class Key>
  const Layout* found(const Key& key) const;
  template <class Layout, class Key, class Make>
  const Layout& found_or_made(const Key& key, Make&& make) const;

  Compressed forward_;
  std::vector<RowBlock> blocks_;
  mutable std::recursive_mutex making_;  // held while a layout is made, which may ask for the one it is made from
  mutable std::vector<std::unique_ptr<const Node>> layouts_;  // the same nodes, owned; guarded by making_
  mutable std::atomic<const Node*> newest_ = nullptr;
};

template <class Layout, class Key>
const Layout* Pattern::found(const Key& key) const {
  for (const Node* node = newest_.load(std::memory_order_acquire); node; node = node->older)
    if (node->type == &Kept<Layout, Key>::tag)
      if (const auto& kept = static_cast<const Kept<Layout, Key>&>(*node); kept.key == key) return &kept.layout;
  return nullptr;
}

template <class Layout, class Key, class Make>
const Layout& Pattern::found_or_made(const Key& key, Make&& make) const {
  if (const Layout* layout = found<Layout>(key)) return *layout;
  const std::lock_guard lock(making_);
  if (const Layout* layout = found<Layout>(key)) return *layout;  // another thread was faster
  auto kept = std::make_unique<Kept<Layout, Key>>(key, make);
  const Layout& layout = kept->layout;
  kept->older = newest_.load(std::memory_order_relaxed);
  layouts_.push_back(std::move(kept));
  newest_.store(layouts_.back().get(), std::memory_order_release);
  return layout;
}

}  // namespace espalier
