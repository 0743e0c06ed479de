#pragma once

#include <functional>

namespace espalier {

// Where a pipe's reader has left there is nothing to be said: ends as shells say that a program does which SIGPIPE
// ended.
constexpr int exit_closed_pipe = 141;

// Runs a program's body, which returns its exit code; turns errors into one line on stderr and the documented exit
// code. That standard output could not be written, to its last byte, is such an error; if it is a pipe that is not read
// any more, nothing is said (exit_closed_pipe).
int run_guarded(const std::function<int()>& body);

}  // namespace espalier
