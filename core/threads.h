// Threads appear in two places only: over tiles and over row blocks of parameters. Both go through here.
#pragma once

#include <memory>

#include "espalier/core/real.h"

namespace espalier {

// The number of threads that a run uses unless told otherwise: one per processor it may run on.
int default_threads();

// Subnormal numbers cost Zen and Intel cores about 8x; every worker rounds them to zero.
void flush_subnormals_to_zero();

namespace detail {
void parallel_run(Index count, int threads, void (*body)(void*, Index), void* context);
}

// body(i) for i in [0, count), each once, in any order, on up to `threads` threads that flush subnormals to zero while
// at it; the caller's own floating point mode is restored. What a body computes may depend on i only. The first
// exception is thrown again here, after all have ended.
template <typename Body>
void parallel_for(Index count, int threads, Body&& body) {
  auto* callable = std::addressof(body);  // of a const type, perhaps; the pointer itself is not
  detail::parallel_run(
      count, threads, [](void* context, Index i) { (**static_cast<decltype(callable)*>(context))(i); }, &callable);
}

}  // namespace espalier
