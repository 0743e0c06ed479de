#pragma once

#include <functional>

namespace espalier {

// Runs a program's body, which returns its exit code; turns errors into one line on stderr and the documented exit
// code. That standard output could not be written, to its last byte, is such an error.
int run_guarded(const std::function<int()>& body);

}  // namespace espalier
