// How often the program has asked for memory: the tests' own operator new counts.
#pragma once

#include <cstdint>

namespace espalier::testing {

// Calls of any operator new so far, by all threads.
std::uint64_t allocations_so_far();

}  // namespace espalier::testing
