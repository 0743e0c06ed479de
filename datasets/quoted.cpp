#include "espalier/datasets/quoted.h"

#include <fmt/format.h>

#include <limits>

#include "espalier/datasets/utf8.h"

namespace espalier {
namespace {

// Characters that a terminal obeys instead of showing: C0 and C1 controls, DEL, marks that turn the direction of
// writing, line and paragraph separators, zero-width characters, the byte-order mark.
bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (character.size() == 2) return byte(0) == 0xc2 && (byte(1) < 0xa0 || byte(1) == 0xad);
  if (character.size() != 3) return false;
  if (byte(0) == 0xef) return byte(1) == 0xbb && byte(2) == 0xbf;  // U+FEFF
  if (byte(0) != 0xe2) return false;
  if (byte(1) == 0x80) return (byte(2) >= 0x8b && byte(2) <= 0x8f) || (byte(2) >= 0xa8 && byte(2) <= 0xae);
  return byte(1) == 0x81 && byte(2) >= 0xa0 && byte(2) <= 0xaf;  // U+2060 to U+206F
}

std::string escaped(std::string_view bytes) {
  if (bytes == "\n") return "\\n";
  if (bytes == "\r") return "\\r";
  if (bytes == "\t") return "\\t";
  std::string text;
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::string shown(std::string_view text, std::size_t most_characters) {
  std::string result;
  for (std::size_t count = 0; !text.empty(); ++count) {
    if (count == most_characters) return result + "...";
    const std::size_t length = utf8_character(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    result += length == 0 || is_control(character) ? escaped(character) : std::string(character);
    text.remove_prefix(character.size());
  }
  return result;
}

}  // namespace

std::string shown(std::string_view text) {
  constexpr std::size_t most_characters = 40;
  return shown(text, most_characters);
}

std::string on_one_line(std::string_view text) {
  return shown(text, std::numeric_limits<std::size_t>::max());
}

std::string quoted(std::string_view text) {
  return '"' + shown(text) + '"';
}

}  // namespace espalier
