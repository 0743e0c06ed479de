// The values of a sparse matrix once more, in the orders in which its streams are read.
//
// A product reads a weight where the pattern keeps it, or, faster, in a copy that lies in the order of the stream. A
// copy is *fresh* while it holds what the parameter holds. Anything that may change the values makes it stale, and a
// product then reads the values themselves: the same bits, a little later. So nothing has to be refreshed; but whatever
// carries many tiles through a model does so first (refresh), because one copy serves all of them.
//
// A copy is made only of what has been missed: a product that would have read one says so.
#pragma once

#include <array>
#include <atomic>
#include <span>

#include "espalier/core/aligned.h"
#include "espalier/core/pattern.h"

namespace espalier {

// Belongs to a Parameter. Products on several threads may ask for a copy while another is refreshed; what makes copies
// stale must be alone, like everything that changes a parameter.
class StreamCopies {
 public:
  enum class Direction { forward, transposed };

  StreamCopies() = default;
  // The copies of a parameter that is copied are missed anew.
  StreamCopies(const StreamCopies&) noexcept {}
  StreamCopies& operator=(const StreamCopies& other) noexcept {
    if (this != &other) drop();
    return *this;
  }

  // In the order of the stream of this width; null, and missed, if there is none that is fresh.
  const Real* find(Direction direction, Index width);
  // Whether refresh would do something.
  bool wanting(Direction direction) const;
  // Makes the missed copy of a direction, if there is one: `value` in the order of the stream.
  void refresh(Direction direction, const Pattern& pattern, std::span<const Real> value);
  // The values may change now. Costs next to nothing.
  void make_stale() noexcept;
  // The same, and gives the memory back: the values have other places now.
  void drop() noexcept;

 private:
  enum class State { stale, refreshing, fresh };
  struct Copy {
    std::atomic<State> state = State::stale;
    std::atomic<Index> missed = 0;  // width; 0: not missed
    Index width = 0;
    AlignedVector<Real> values;
  };
  Copy& of(Direction direction) { return copies_[static_cast<std::size_t>(direction)]; }
  const Copy& of(Direction direction) const { return copies_[static_cast<std::size_t>(direction)]; }

  std::array<Copy, 2> copies_;
};

}  // namespace espalier
