// Where a data set's files are looked for.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace espalier {

// Where data are looked for:
//   folder                   if it is not empty, and then nowhere else: a wrong folder is an error
//   $ESPALIER_DATA, ./data   otherwise, in this order
std::vector<std::filesystem::path> data_roots(const std::string& folder);
// DIR/name and DIR itself, for each of them.
std::vector<std::filesystem::path> data_folders(const std::string& folder, const std::string& name);

// The first of data_folders for which holds(folder) is true.
//
// holds: says whether a folder holds the files in question, e.g. holds_mnist. files: what they are called, for
// messages. Returns an empty path if nothing was found and no folder was given; throws FileError, listing files and
// folders, if one was.
std::filesystem::path find_data(const std::string& folder, const std::string& name,
                                const std::function<bool(const std::filesystem::path&)>& holds,
                                const std::string& files = {});

}  // namespace espalier
