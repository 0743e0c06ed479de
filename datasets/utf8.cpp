#include "espalier/datasets/utf8.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace espalier {
namespace {

// Bytes of a character, as its first byte has it; 0 if none begins so.
std::size_t length_by_first_byte(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

}  // namespace

std::size_t utf8_character(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = length_by_first_byte(first);
  if (length < 2) return length;
  if (length > text.size()) return 0;
  const unsigned char lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < lowest || byte(1) > highest) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  return length;
}

// Sixty-four bytes at a time: the highest bit of each says whether it is ASCII.
std::size_t ascii_prefix(std::string_view text) {
  constexpr std::uint64_t high = 0x8080808080808080ull;
  std::array<std::uint64_t, 8> words;
  std::size_t at = 0;
  for (; at + sizeof words <= text.size(); at += sizeof words) {
    std::memcpy(words.data(), text.data() + at, sizeof words);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;
    if (any & high) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

std::size_t utf8_prefix(std::string_view text) {
  std::size_t at = 0;
  while (true) {
    at += ascii_prefix(text.substr(at));
    const std::size_t length = utf8_character(text.substr(at));
    if (length == 0) return at;  // also at the end
    at += length;
  }
}

bool utf8_unfinished(std::string_view text) {
  return !text.empty() && text.size() < length_by_first_byte(static_cast<unsigned char>(text[0]));
}

// U+00A0 is c2 a0; U+2000 to U+200A, U+202F and U+3000 are e2 80 80 to e2 80 8a, e2 80 af and e3 80 80.
std::size_t leading_space(std::string_view text) {
  if (text.empty()) return 0;
  if (text[0] == ' ' || text[0] == '\t') return 1;
  if (text.starts_with("\xc2\xa0")) return 2;
  if (text.starts_with("\xe3\x80\x80")) return 3;
  if (text.size() < 3 || !text.starts_with("\xe2\x80")) return 0;
  const auto last = static_cast<unsigned char>(text[2]);
  return (last >= 0x80 && last <= 0x8a) || last == 0xaf ? 3 : 0;
}

std::size_t trailing_space(std::string_view text) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(3, text.size()); ++bytes)
    if (leading_space(text.substr(text.size() - bytes)) == bytes) return bytes;
  return 0;
}

std::string_view trimmed(std::string_view text) {
  while (const std::size_t bytes = leading_space(text)) text.remove_prefix(bytes);
  while (const std::size_t bytes = trailing_space(text)) text.remove_suffix(bytes);
  return text;
}

}  // namespace espalier
