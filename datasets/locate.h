// Where a data set's files are looked for.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace espalier {

// The first folder for which holds(folder) is true, trying DIR/name and then DIR itself, where DIR is
//   folder                   if it is not empty, and then nowhere else: a wrong folder is an error
//   $ESPALIER_DATA, ./data   otherwise, in this order
//
// holds: says whether a folder holds the files in question, e.g. holds_mnist. Returns an empty path if nothing was
// found and no folder was given; throws FileError, listing the folders tried, if one was.
std::filesystem::path find_data(const std::string& folder, const std::string& name,
                                const std::function<bool(const std::filesystem::path&)>& holds);

}  // namespace espalier
