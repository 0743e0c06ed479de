// The machine that a figure was measured on.
#pragma once

#include <cstdint>
#include <string>

namespace espalier {

std::string processor_name();
// The largest resident set of this process so far.
std::uintmax_t peak_resident_bytes();

}  // namespace espalier
