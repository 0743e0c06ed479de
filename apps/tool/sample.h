// What the sample apps share: a command line, Ctrl-C, exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "espalier/experiment/run_folder.h"

namespace espalier {

// --out and --overwrite. name: of the run folder where the first is not given.
void add_out_flags(CLI::App& app, RunPlace& place, const std::string& name);

// Parses the command line and runs the app's body; returns the exit code. Ctrl-C ends a training, and the same command
// goes on from there.
int run_sample(CLI::App& app, int argc, char** argv, const std::function<void()>& body);

}  // namespace espalier
