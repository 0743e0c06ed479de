// EXPECT_PRED2(contains, message, "byte 39") prints both strings when it fails.
#pragma once

#include <string>

namespace espalier::testing {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace espalier::testing
