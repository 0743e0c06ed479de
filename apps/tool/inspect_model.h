// What `espalier inspect` says of a trained network: of its file, and of its training where it is a run's.
#pragma once

#include <filesystem>
#include <string>

namespace espalier {

// path: the folder of a run, or a model's file. Throws FileError.
std::string inspection_of(const std::filesystem::path& path);

// The curves of metrics.jsonl as pictures in letters; empty if there are none. Throws FileError, naming the line, for
// one that is no JSON object.
std::string curves_of_run(const std::filesystem::path& metrics);

}  // namespace espalier
