// Floating point operations, counted by the products that execute them. A multiplication and an addition are two.
//
//   executed  what the processor did: stored weights (dense: all of them) times lanes; padding lanes too, where the
//             kernel walks over them
//   useful    what the mathematics needed: live weights times valid lanes
//
// Element-wise passes (bias, activation, loss, update) are not counted, as in the papers' formulas.
#pragma once

#include <cstdint>

namespace espalier {

struct Flops {
  std::uint64_t executed = 0, useful = 0;
  Flops& operator+=(const Flops& other) {
    executed += other.executed;
    useful += other.useful;
    return *this;
  }
  friend Flops operator-(Flops a, const Flops& b) { return {a.executed - b.executed, a.useful - b.useful}; }
};

// What the calling thread has executed so far. Read it before and after, and subtract.
inline Flops& thread_flops() {
  thread_local Flops counter;
  return counter;
}

}  // namespace espalier
