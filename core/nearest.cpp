#include "espalier/core/nearest.h"

#include <algorithm>
#include <numeric>

namespace espalier {
namespace {

constexpr std::size_t longest_guessed = 64, most_guesses = 3, letters_per_edit = 3, shortest_beginning = 3;

char in_small_letter(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_letter(char a, char b) {
  return in_small_letter(a) == in_small_letter(b);
}

// What a name is compared with, and what follows when it is suggested.
struct Compared {
  std::string_view head, rest;
};
Compared parts_of(std::string_view given, std::string_view name) {
  const std::size_t colon = name.ends_with(':') ? given.find(':') : std::string_view::npos;
  return colon == std::string_view::npos ? Compared{given, {}}
                                         : Compared{given.substr(0, colon + 1), given.substr(colon + 1)};
}

std::string suggested(const std::string& name, std::string_view given) {
  return name + std::string(parts_of(given, name).rest);
}

}  // namespace

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

std::size_t edits_between(std::string_view a, std::string_view b) {
  // Three rows of the table edits[i][j] = edits between the first i letters of a and the first j of b.
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = same_letter(a[i - 1], b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::vector<std::string> nearest_names(std::string_view given, const std::vector<std::string>& names) {
  std::vector<std::string> nearest;
  std::size_t fewest = longest_guessed;
  for (const std::string& name : names) {
    const std::string_view head = parts_of(given, name).head;
    if (head.empty() || head.size() > longest_guessed || name.size() > longest_guessed) continue;
    const std::size_t edits = edits_between(head, name);
    if (edits > std::max<std::size_t>(1, head.size() / letters_per_edit) || edits > fewest) continue;
    if (edits >= std::min(head.size(), name.size())) continue;  // nothing is left of what was given
    if (edits < fewest) nearest.clear();
    fewest = edits;
    nearest.push_back(suggested(name, given));
  }
  if (nearest.empty() && given.size() >= shortest_beginning)
    for (const std::string& name : names)
      if (name.size() <= longest_guessed && name.starts_with(given)) nearest.push_back(name);
  if (nearest.size() > most_guesses) nearest.resize(most_guesses);
  return nearest;
}

std::string did_you_mean(std::string_view given, const std::vector<std::string>& names) {
  const std::vector<std::string> nearest = nearest_names(given, names);
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", listed(nearest));
}

UsageError not_among(const std::vector<std::string>& names, std::string_view what, std::string_view given) {
  return UsageError(
      fmt::format("[{}] expected {}, got \"{}\"{}", what, listed(names), given, did_you_mean(given, names)));
}

}  // namespace espalier
