#include "apps/tool/terminal_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace espalier {
namespace {

constexpr std::size_t plot_columns = 64, plot_rows = 12, bars = 16, longest_bar = 48;
constexpr std::string_view shades = " .:-=+*%@";

struct Range {
  double least = INFINITY, most = -INFINITY;
  void add(double x) {
    least = std::min(least, x);
    most = std::max(most, x);
  }
  bool empty() const { return !(least <= most); }
  // Where x is among `places` of them.
  std::size_t place_of(double x, std::size_t places) const {
    const double part = most > least ? (x - least) / (most - least) : 0;
    return std::min(places - 1, static_cast<std::size_t>(part * static_cast<double>(places - 1) + 0.5));
  }
};

template <typename Body>
void for_each_point(std::span<const Series> series, Body&& body) {
  for (const Series& s : series)
    for (std::size_t i = 0; i < std::min(s.x.size(), s.y.size()); ++i)
      if (std::isfinite(s.x[i]) && std::isfinite(s.y[i])) body(s, s.x[i], s.y[i]);
}

}  // namespace

std::string curves_text(const std::string& title, std::span<const Series> series, const std::string& x_label) {
  Range x_range, y_range;
  for_each_point(series, [&](const Series&, double x, double y) {
    x_range.add(x);
    y_range.add(y);
  });
  if (x_range.empty()) return "";
  std::vector<std::string> rows(plot_rows, std::string(plot_columns, ' '));
  for_each_point(series, [&](const Series& s, double x, double y) {
    char& at = rows[plot_rows - 1 - y_range.place_of(y, plot_rows)][x_range.place_of(x, plot_columns)];
    at = at == ' ' || at == s.mark ? s.mark : '#';
  });
  std::string text = title;
  for (const Series& s : series) text += fmt::format("   {} {}", s.mark, s.name);
  text += "\n";
  for (std::size_t r = 0; r < plot_rows; ++r) {
    const bool labelled = r == 0 || r + 1 == plot_rows;
    text += fmt::format("{:>10} |{}\n", labelled ? fmt::format("{:.4g}", r == 0 ? y_range.most : y_range.least) : "",
                        rows[r].substr(0, rows[r].find_last_not_of(' ') + 1));
  }
  const std::string first = fmt::format("{:g}", x_range.least), last = fmt::format("{:g}", x_range.most);
  const std::size_t room = plot_columns - std::min(plot_columns, first.size() + last.size());
  return text +
         fmt::format("{:>10} +{:-<{}}\n{:>12}{}{:^{}}{}\n", "", "", plot_columns, "", first, x_label, room, last);
}

std::string histogram_text(std::span<const double> values) {
  Range range;
  for (const double value : values) range.add(value);
  if (range.empty()) return "";
  if (range.least == range.most) return fmt::format("  all {} of them are {:.4g}\n", values.size(), range.least);
  std::vector<std::size_t> counts(bars, 0);
  const double width = (range.most - range.least) / static_cast<double>(bars);
  for (const double value : values)
    ++counts[std::min(bars - 1, static_cast<std::size_t>((value - range.least) / width))];
  const double most = static_cast<double>(*std::ranges::max_element(counts));
  std::string text;
  for (std::size_t b = 0; b < bars; ++b) {
    const double from = range.least + width * static_cast<double>(b);
    const auto length =
        static_cast<std::size_t>(std::ceil(static_cast<double>(counts[b]) / most * static_cast<double>(longest_bar)));
    text += fmt::format("{:>10.3f} .. {:<8.3f}{:>9}  {:#<{}}\n", from, from + width, counts[b], "", length);
  }
  return text;
}

std::string grid_text(std::span<const double> values, std::size_t rows, std::size_t cols, double most,
                      std::size_t most_rows, std::size_t most_cols) {
  const std::size_t shown_rows = std::min(rows, most_rows), shown_cols = std::min(cols, most_cols);
  if (shown_rows == 0 || shown_cols == 0) return "";
  std::vector<double> sum(shown_rows * shown_cols, 0), count(shown_rows * shown_cols, 0);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t cell = r * shown_rows / rows * shown_cols + c * shown_cols / cols;
      sum[cell] += values[r * cols + c];
      ++count[cell];
    }
  const double steps = static_cast<double>(shades.size() - 1);
  std::string text;
  for (std::size_t r = 0; r < shown_rows; ++r) {
    std::string line;
    for (std::size_t c = 0; c < shown_cols; ++c) {
      const double part = most > 0 ? sum[r * shown_cols + c] / count[r * shown_cols + c] / most : 0;
      // Only a cell without anything is blank.
      line += shades[static_cast<std::size_t>(std::clamp(std::ceil(part * steps), 0.0, steps))];
    }
    text += "  |" + line + "|\n";
  }
  return text;
}

}  // namespace espalier
