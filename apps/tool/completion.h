// What may come next on a command line, for the Tab key. It is asked of the parser and of the catalogues when the key
// is pressed, so that there is no second list of names.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace espalier {

// The words that may stand in the place of the last one, which may be empty or begun; none where a file's name is due.
// words: of the command line, without the program's name.
std::vector<std::string> completions(const CLI::App& app, const std::vector<std::string>& words);
// The same for a command line as it was typed up to the cursor, "espalier train --meth".
std::vector<std::string> completions(const CLI::App& app, const std::string& line);

// The words that a flag, or an argument, of this name takes wherever it occurs; none: any other text.
std::vector<std::string> values_of(const std::string& flag);

}  // namespace espalier
