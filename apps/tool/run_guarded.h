#pragma once

#include <functional>

namespace espalier {

// Runs a program's body, which returns its exit code; turns errors into one line on stderr and the documented exit
// code.
int run_guarded(const std::function<int()>& body);

}  // namespace espalier
