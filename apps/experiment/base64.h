// Bytes as text, for files of JSON: three bytes make four digits, the last ones filled up with '='.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace espalier {

std::string base64_of(std::span<const std::uint8_t> bytes);
std::vector<std::uint8_t> bytes_of_base64(const std::string& text);  // throws FileError

}  // namespace espalier
