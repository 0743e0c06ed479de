// UTF-8, and spaces in it.
#pragma once

#include <cstddef>
#include <string_view>

namespace espalier {

// Bytes of the character that text begins with; 0 if it begins with none: bytes that are no UTF-8, or half a character
// (Unicode 15, table 3-7: no overlong forms, no surrogates).
std::size_t utf8_character(std::string_view text);
// Bytes at the beginning of text that are ASCII; that are whole characters.
std::size_t ascii_prefix(std::string_view text);
std::size_t utf8_prefix(std::string_view text);
// Whether text could be the beginning of a character that goes on behind its end.
bool utf8_unfinished(std::string_view text);

// Bytes of the space that text begins with, ends with; 0 if none does. Spaces are ' ', tab, no-break spaces (U+00A0,
// U+202F), those of typesetters (U+2000 to U+200A), and U+3000.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);
// Without the spaces around it.
std::string_view trimmed(std::string_view text);

}  // namespace espalier
