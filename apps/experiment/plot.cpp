#include "espalier/experiment/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace espalier {
namespace {

constexpr double least_drawn = 1e-9;
constexpr double panel_width = 430, margin_left = 72, plot_width = 330, top = 62, plot_height = 250, line_height = 19;
constexpr std::string_view plain_text = "font-size=\"12\" fill=\"#222\"", pale = "font-size=\"12\" fill=\"#666\"",
                           bold = "font-size=\"15\" font-weight=\"bold\" fill=\"#222\"";

// The ground is what is behind the picture. Style sheets count for more than attributes.
constexpr std::string_view for_dark_readers =
    "<style>@media (prefers-color-scheme: dark) { text { fill: #ddd } text[fill=\"#666\"] { fill: #aaa } "
    "line[stroke=\"#e4e7eb\"] { stroke: #444 } polyline, circle, line[stroke-width] { filter: brightness(1.5) } "
    "}</style>\n";

std::string text(double x, double y, std::string_view anchor, std::string_view style, std::string_view words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, style, words);
}

std::string line(double x1, double y1, double x2, double y2, std::string_view style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

std::string power_of_ten(int exponent) {
  if (exponent == 0) return "1";
  return fmt::format("10<tspan dy=\"-5\" font-size=\"9\">{}</tspan>", exponent);
}

// 12000 -> 12,000
std::string with_comma(double x) {
  return x < 1000 ? fmt::format("{:g}", x) : fmt::format("{:.0f},{:03.0f}", std::floor(x / 1000), std::fmod(x, 1000));
}

// 1, 2 or 5 times a power of 10, so that there are four to ten of them up to `last`.
double tick_step(double last) {
  const double unit = std::pow(10, std::floor(std::log10(last)));
  return last < 2 * unit ? unit / 5 : last < 5 * unit ? unit / 2 : unit;
}

std::string svg_of(const Panel& panel, double left) {
  double last = 0, least = 1, most = 1;
  for (const Curve& curve : panel.curves) {
    last = std::max(last, *std::ranges::max_element(curve.x));
    least = std::min(least, *std::ranges::min_element(curve.y));
    most = std::max(most, *std::ranges::max_element(curve.y));
  }
  least = std::max(least, least_drawn);
  const int from = static_cast<int>(std::floor(std::log10(least))), to = static_cast<int>(std::ceil(std::log10(most)));
  const double x0 = left + margin_left, bottom = top + plot_height;
  const auto x_of = [&](double x) { return x0 + plot_width * x / (1.04 * last); };
  const auto y_of = [&](double y) {
    return bottom - plot_height * (std::log10(std::max(y, least_drawn)) - from) / std::max(to - from, 1);
  };

  std::string svg = text(x0, 26, "start", bold, panel.title) + text(x0, 45, "start", pale, panel.subtitle);
  for (int exponent = from; exponent <= to; ++exponent) {
    const double y = y_of(std::pow(10, exponent));
    svg += line(x0, y, x0 + plot_width, y, "stroke=\"#e4e7eb\"") +
           text(x0 - 8, y + 4, "end", pale, power_of_ten(exponent));
  }
  for (double x = 0; x <= 1.04 * last; x += tick_step(last))
    svg += line(x_of(x), bottom, x_of(x), bottom + 4, "stroke=\"#999\"") +
           text(x_of(x), bottom + 20, "middle", pale, with_comma(x));
  svg += text(x0 + plot_width / 2, bottom + 38, "middle", plain_text, panel.x_label);
  svg += fmt::format("<g transform=\"translate({:.1f} {:.1f}) rotate(-90)\">{}</g>\n", left + 24, top + plot_height / 2,
                     text(0, 0, "middle", plain_text, panel.y_label));
  double y = bottom + 64;
  for (const Curve& curve : panel.curves) {
    const std::string stroke = fmt::format("stroke=\"{}\" stroke-width=\"2\"{}", curve.colour,
                                           curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
    std::string points, dots;
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      points += fmt::format("{:.1f},{:.1f} ", x_of(curve.x[i]), y_of(curve.y[i]));
      dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", x_of(curve.x[i]),
                          y_of(curve.y[i]), curve.colour);
    }
    svg += fmt::format("<polyline fill=\"none\" {} points=\"{}\"/>\n", stroke, points) + dots;
    svg += line(x0, y - 4, x0 + 28, y - 4, stroke) + text(x0 + 36, y, "start", plain_text, curve.name);
    y += line_height;
  }
  return svg;
}

}  // namespace

std::string svg_of(std::span<const Panel> panels) {
  std::size_t names = 0;
  for (const Panel& panel : panels) names = std::max(names, panel.curves.size());
  const double width = panel_width * static_cast<double>(panels.size()) + 10;
  const double height = top + plot_height + 66 + line_height * static_cast<double>(names);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"Helvetica,Arial,sans-serif\">\n{2}",
      width, height, for_dark_readers);
  for (std::size_t p = 0; p < panels.size(); ++p) svg += svg_of(panels[p], panel_width * static_cast<double>(p));
  return svg + "</svg>\n";
}

}  // namespace espalier
