#include "espalier/layers/model_names.h"

#include <charconv>

#include "espalier/core/error.h"

namespace espalier {

std::string_view behind(std::string_view prefix, std::string_view name) {
  return name.substr(prefix.size());
}

std::vector<Index> extents_in(std::string_view text, const std::string& model, std::string_view example,
                              char separator) {
  std::vector<Index> extents;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    Index extent = 0;
    const auto [stop, error] = std::from_chars(at, end, extent);
    require(error == std::errc() && extent > 0 && extent <= Index{1} << 31,
            "[model] {}: expected extents from 1 to 2^31 such as {}, got \"{}\"", model, example, text);
    extents.push_back(extent);
    if (stop == end) break;
    require(*stop == separator, "[model] {}: expected extents joined by '{}', got '{}'", model, separator, *stop);
    at = stop + 1;
  }
  return extents;
}

Index number_in(std::string_view text, const std::string& model, Index most, std::string_view what) {
  Index number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  require(error == std::errc() && stop == end && number >= 1 && number <= most, "[model] {}: expected {}, got \"{}\"",
          model, what, text);
  return number;
}

SuffixedName suffixes_in(std::string_view text, const std::string& model) {
  constexpr std::string_view dropout = "dropout=";
  SuffixedName parsed;
  parsed.extents = text.substr(0, text.find('+'));
  parsed.suffixes = text.substr(parsed.extents.size());
  bool seen_dropout = false;
  for (std::string_view rest = parsed.suffixes; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view suffix = rest.substr(0, rest.find('+'));
    rest.remove_prefix(suffix.size());
    if (suffix == "norm" && !parsed.hidden.norm) {
      parsed.hidden.norm = true;
      continue;
    }
    double& p = parsed.hidden.dropout;
    const std::string_view number = suffix.starts_with(dropout) ? suffix.substr(dropout.size()) : std::string_view();
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), p);
    require(!seen_dropout && !number.empty() && error == std::errc() && stop == number.data() + number.size() &&
                p >= 0 && p < 1,
            "[model] {}: expected each of +norm and +dropout=P, P in [0, 1), at most once, got \"+{}\"", model, suffix);
    seen_dropout = true;
  }
  return parsed;
}

}  // namespace espalier
