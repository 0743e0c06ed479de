#include "espalier/core/stream_copies.h"

#include "espalier/core/layouts/stream.h"

namespace espalier {

const Real* StreamCopies::find(Direction direction, Index width) {
  Copy& copy = of(direction);
  if (copy.state.load(std::memory_order_acquire) == State::fresh && copy.width == width) return copy.values.data();
  if (copy.missed.load(std::memory_order_relaxed) != width) copy.missed.store(width, std::memory_order_relaxed);
  return nullptr;
}

bool StreamCopies::wanting(Direction direction) const {
  const Copy& copy = of(direction);
  return copy.missed.load(std::memory_order_relaxed) != 0 && copy.state.load(std::memory_order_relaxed) == State::stale;
}

void StreamCopies::refresh(Direction direction, const Pattern& pattern, std::span<const Real> value) {
  Copy& copy = of(direction);
  const Index width = copy.missed.load(std::memory_order_relaxed);
  State stale = State::stale;
  // A copy that is fresh may be read at this moment: it is left alone whatever its width.
  if (width == 0 || !copy.state.compare_exchange_strong(stale, State::refreshing, std::memory_order_acquire)) return;
  const Stream& stream = pattern.derived<Stream>({.width = width, .transposed = direction == Direction::transposed});
  copy.values.resize(stream.weights() + 1);  // never null, not even for a matrix without weights
  stream.copy_values(pattern, value, copy.values);
  copy.width = width;
  copy.state.store(State::fresh, std::memory_order_release);
}

void StreamCopies::make_stale() noexcept {
  for (Copy& copy : copies_)
    if (copy.state.load(std::memory_order_relaxed) != State::stale)
      copy.state.store(State::stale, std::memory_order_relaxed);
}

void StreamCopies::drop() noexcept {
  make_stale();
  for (Copy& copy : copies_) {
    copy.missed.store(0, std::memory_order_relaxed);
    copy.values = AlignedVector<Real>();
  }
}

}  // namespace espalier
