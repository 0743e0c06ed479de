// Colours, on terminals only: never in a file or a pipe, nor where NO_COLOR is set (no-color.org) or the terminal is
// dumb.
#pragma once

#include <cstdio>
#include <string>

namespace espalier {

bool shows_colours(std::FILE* stream);

// The page of a run: comparisons at the ends of lines in green where the sparse network is better, in yellow where it
// is worse. Unchanged without `wanted`.
std::string in_colours(const std::string& page, bool wanted);
// "error:" in red.
std::string error_in_colours(const std::string& message, bool wanted);

}  // namespace espalier
