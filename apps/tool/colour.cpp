#include "apps/tool/colour.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace espalier {
namespace {

constexpr std::string_view green = "\033[32m", yellow = "\033[33m", red = "\033[1;31m", plain = "\033[0m";
constexpr std::array<std::string_view, 4> better{" faster", " smaller", " fewer", " lower"};
constexpr std::array<std::string_view, 4> worse{" slower", " larger", " more", " higher"};

// Where the comparison at the end of a table's line begins: behind its last three blanks.
std::string_view colour_of(std::string_view comparison) {
  const auto ends = [&](std::string_view word) { return comparison.ends_with(word); };
  if (std::ranges::any_of(better, ends)) return green;
  if (std::ranges::any_of(worse, ends)) return yellow;
  if (comparison.ends_with(" points")) return comparison.starts_with('-') ? yellow : green;
  return "";
}

}  // namespace

bool shows_colours(std::FILE* stream) {
  const char* const none = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  return (!none || !*none) && (!terminal || std::string_view(terminal) != "dumb") && isatty(fileno(stream)) == 1;
}

std::string in_colours(const std::string& page, bool wanted) {
  if (!wanted) return page;
  std::string text;
  for (std::size_t begin = 0; begin < page.size();) {
    const std::size_t end = std::min(page.find('\n', begin), page.size());
    const std::string_view line = std::string_view(page).substr(begin, end - begin);
    const std::size_t gap = line.rfind("   ");
    const std::string_view comparison = gap == std::string_view::npos ? "" : line.substr(gap + 3);
    const std::string_view colour = colour_of(comparison);
    if (colour.empty())
      text += line;
    else
      text.append(line.substr(0, gap + 3)).append(colour).append(comparison).append(plain);
    text += '\n';
    begin = end + 1;
  }
  return text;
}

std::string error_in_colours(const std::string& message, bool wanted) {
  constexpr std::string_view error = "error:";
  if (!wanted || !message.starts_with(error)) return message;
  return fmt::format("{}{}{}{}", red, error, plain, message.substr(error.size()));
}

}  // namespace espalier
