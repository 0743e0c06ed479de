#include "espalier/experiment/class_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/datasets/preprocessing.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"
#include "espalier/experiment/text.h"

namespace espalier {
namespace {

constexpr std::size_t most_in_matrix = 12;

std::size_t characters_of(std::string_view text) {
  std::size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(std::max<std::size_t>(utf8_character(text), 1));
  return count;
}

// At most so many characters.
std::string cut(std::string_view text, std::size_t most) {
  if (characters_of(text) <= most) return std::string(text);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i + 1 < most; ++i) bytes += std::max<std::size_t>(utf8_character(text.substr(bytes)), 1);
  return std::string(text.substr(0, bytes)) + "…";
}

std::string percent(double fraction) {
  return std::isfinite(fraction) ? text_of_percent(fraction) : "–";
}

// Which classes get a line: all in their order or, of too many, those with the lowest F1, which comes first.
std::vector<std::size_t> lines_of(const std::vector<ClassScore>& scores, std::size_t most) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order.size() <= most) return order;
  std::erase_if(order, [&](std::size_t c) { return scores[c].rows == 0; });
  std::ranges::stable_sort(order, {}, [&](std::size_t c) { return scores[c].f1(); });
  order.resize(std::min(order.size(), most));
  return order;
}

std::string mistakes_of(const Confusion& confusion, const std::vector<std::string>& names, std::size_t most) {
  const auto mistakes = confusion.mistakes();
  const std::vector<ClassScore> scores = confusion.by_class();
  std::string text;
  for (std::size_t i = 0; i < std::min(most, mistakes.size()); ++i) {
    const auto& [pair, count] = mistakes[i];
    const auto klass = static_cast<std::size_t>(pair.first), answer = static_cast<std::size_t>(pair.second);
    text +=
        fmt::format("{}{} for {} ({} of {})", i ? ", " : "", names[klass], names[answer], count, scores[klass].rows);
  }
  return text.empty() ? "" : fmt::format("most often taken: {}\n", text);
}

}  // namespace

std::vector<std::string> class_names_of(const DataParts& data) {
  if (data.preprocessing) return data.preprocessing->target.classes;
  if (!data.class_names.empty()) return data.class_names;
  std::vector<std::string> numbers;
  for (Index c = 0; c < data.train->classes(); ++c) numbers.push_back(fmt::format("{}", c));
  return numbers;
}

std::string class_table_of(const Confusion& confusion, const std::vector<std::string>& as_in_files,
                           const ClassTableSize& size) {
  const std::vector<ClassScore> scores = confusion.by_class();
  if (confusion.counts().empty() || as_in_files.size() != scores.size()) return "";
  std::vector<std::string> names;
  for (const std::string& name : as_in_files) names.push_back(shown(name));
  std::size_t widest = 19;
  for (const std::string& name : names) widest = std::max(widest, characters_of(name));
  const bool matrix = names.size() <= most_in_matrix;
  constexpr std::size_t longest_heading = 9;

  std::string text =
      fmt::format("{:<{}}{:>8}{:>11}{:>10}{:>10}", "by class", widest, "rows", "precision", "recall", "F1");
  if (matrix) text += "   taken for:";
  std::vector<std::size_t> widths;
  for (std::size_t answer = 0; matrix && answer < names.size(); ++answer) {
    const std::string heading = cut(names[answer], longest_heading);
    widths.push_back(std::max<std::size_t>(characters_of(heading), 5) + 2);
    text += fmt::format("{:>{}}", heading, widths.back());
  }
  text += "\n";
  const std::vector<std::size_t> lines = lines_of(scores, matrix ? names.size() : size.classes);
  for (const std::size_t c : lines) {
    const ClassScore& score = scores[c];
    text += fmt::format("{:<{}}{:>8}{:>11}{:>10}{:>10}", names[c], widest, score.rows, percent(score.precision()),
                        percent(score.recall()), percent(score.f1()));
    if (matrix) text += fmt::format("{:>13}", "");
    for (std::size_t answer = 0; answer < widths.size(); ++answer)
      text += fmt::format("{:>{}}", confusion.count({static_cast<std::int32_t>(c), static_cast<std::int32_t>(answer)}),
                          widths[answer]);
    text += "\n";
  }
  if (lines.size() < names.size()) text += fmt::format("... those with the lowest F1 of {} classes\n", names.size());
  return text + (matrix ? "" : mistakes_of(confusion, names, size.mistakes));
}

}  // namespace espalier
