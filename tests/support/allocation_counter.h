// How often the program has asked for memory: the tests' own operator new counts.
#pragma once

#include <cstdint>

namespace espalier::testing {

// Calls of any operator new so far, by all threads.
std::uint64_t allocations_so_far();

// ThreadSanitizer brings an operator new of its own, which does not count.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ESPALIER_ALLOCATIONS_ARE_NOT_COUNTED
#endif
#endif

}  // namespace espalier::testing
