// A file's contents, as messages show them: nothing of a file reaches a terminal raw.
#pragma once

#include <string>
#include <string_view>

namespace espalier {

// In quotes, at most 40 characters, on one line: control characters and bytes that are no UTF-8 as \n, \t, \x1b, ...;
// "..." where it was cut, never within a character.
std::string quoted(std::string_view text);
// These are needed lest std::quoted is found, which strings bring along.
inline std::string quoted(const std::string& text) {
  return quoted(std::string_view(text));
}
inline std::string quoted(std::string& text) {
  return quoted(std::string_view(text));
}
inline std::string quoted(const char* text) {
  return quoted(std::string_view(text));
}
// The same without quotes, for names of columns and classes.
std::string shown(std::string_view text);
// The same, but never cut: for whole messages.
std::string on_one_line(std::string_view text);

}  // namespace espalier
