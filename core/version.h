// The version of this library, as CMakeLists.txt has it: "0.1.0".
#pragma once

#include <string_view>

namespace espalier {

std::string_view version();

}  // namespace espalier
