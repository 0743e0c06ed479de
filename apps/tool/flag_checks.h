// Checks of options that CLI11 does not make.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <string>

namespace espalier {

// Of a number that is counted from 0: CLI11 takes -1, and what is too large, for the largest there is.
inline CLI::Validator counted() {
  return {[](const std::string& text) {
            std::uint64_t number = 0;
            const char* const end = text.data() + text.size();
            const auto [stop, error] = std::from_chars(text.data(), end, number);
            return error == std::errc() && stop == end
                       ? std::string()
                       : fmt::format("expected a whole number from 0 to 2^64 - 1, got {}", text);
          },
          ""};
}

// Of the name of a file or folder: an empty one would mean that the option was not given.
inline CLI::Validator a_path() {
  return {[](const std::string& text) { return text.empty() ? "expected a path, got an empty text" : std::string(); },
          ""};
}

}  // namespace espalier
