// What was wrong with a command line, and what was probably meant.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {

// The command that was named: the innermost one.
const CLI::App& named_command(const CLI::App& app);
// "espalier bench kernels"
std::string full_name_of(const CLI::App& command);

// The names of the commands in this one, without those that are not for people.
std::vector<std::string> command_names(const CLI::App& app);
// --model, --help ...: the long names of its flags, or the short one of a flag that has no other.
std::vector<std::string> flag_names(const CLI::App& app);

// CLI11's error in our words: which word was not understood, by which command, and the nearest one that would have
// been; or what is missing. arguments: all words of the command line, without the program's name.
UsageError usage_error_of(const CLI::ParseError& error, const CLI::App& app, const std::vector<std::string>& arguments);

// Parses the command line. Returns the exit code if all that was wanted is printed, as by --help; else nothing, and the
// program goes on. Throws UsageError, as usage_error_of has it.
std::optional<int> parse(CLI::App& app, int argc, char** argv);

// A check that the value is one of these words; the error names the nearest one.
CLI::Validator one_of(std::vector<std::string> words);

}  // namespace espalier
