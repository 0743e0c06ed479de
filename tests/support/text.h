// EXPECT_PRED2(contains, message, "byte 39") prints both strings when it fails.
#pragma once

#include <cctype>
#include <cstdint>
#include <string>

namespace espalier::testing {

// The most that a test reads of a file, for read_file.
inline constexpr std::uintmax_t megabyte = 1 << 20;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The name as googletest accepts it, in which "ac-dc" is not a name.
inline std::string test_name(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

}  // namespace espalier::testing
