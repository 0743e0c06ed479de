// What the sample apps share: a command line, Ctrl-C, exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace espalier {

// Parses the command line and runs the app's body; returns the exit code. Ctrl-C ends a training, and the same command
// goes on from there.
int run_sample(CLI::App& app, int argc, char** argv, const std::function<void()>& body);

}  // namespace espalier
