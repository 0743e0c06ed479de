// The picture of a comparison: how good against how many weights, a curve for each method.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/datasets/quoted.h"
#include "espalier/experiment/comparison.h"

namespace espalier {
namespace {

constexpr double picture_width = 720, plot_left = 78, plot_right = 700, plot_top = 56, plot_bottom = 376;
constexpr double legend_line = 19, legend_column = 210;

// Colours by classes, so that light and dark readers each have theirs; the ground stays what is behind the picture.
constexpr std::string_view colours = R"(<style>
  text { font: 12px Helvetica, Arial, sans-serif; fill: #333 } .title { font-size: 15px; font-weight: bold }
  .pale { fill: #666 } .grid { stroke: #8886; stroke-width: .6 } .axis { stroke: #777 }
  .curve { fill: none; stroke-width: 2 } .c0 { --c: #1b7f4d } .c1 { --c: #2f6db5 } .c2 { --c: #b4541a } .c3 { --c: #8a3fa0 }
  .c4 { --c: #a58a00 } .c5 { --c: #b0305c } .c6 { --c: #3b8f95 } .c7 { --c: #6b6b6b } .dense { --c: #777 }
  .dashed { stroke-dasharray: 6 4 } .line { stroke: var(--c) } .dot { fill: var(--c) }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .pale { fill: #aaa } .axis { stroke: #999 }
    .c0 { --c: #5fc792 } .c1 { --c: #7db2f0 } .c2 { --c: #eb9a63 } .c3 { --c: #cf91e2 } .c4 { --c: #d9c24a }
    .c5 { --c: #ee7fa6 } .c6 { --c: #79cdd3 } .c7 { --c: #b5b5b5 } .dense { --c: #aaa }
  }
</style>
)";

struct CurvePoint {
  double x, y, sd;
};
struct MethodCurve {
  std::string name, style;
  std::vector<CurvePoint> points;  // by x
  bool dashed = false;             // pruned in another structure than single weights
  std::string line_style() const { return dashed ? "curve line dashed" : "curve line"; }
};

std::string escaped(const std::string& text) {
  std::string all;
  for (const char c : on_one_line(text))
    all += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return all;
}

std::string words(double x, double y, const char* anchor, const char* style, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y, anchor, style,
                     text);
}

std::string stroke(double x1, double y1, double x2, double y2, const std::string& style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2, y2,
                     style);
}

// Rows that differ in density alone are one curve. Errors in %, or RMSE: less is better.
std::vector<MethodCurve> curves_of(const Comparison& comparison) {
  const char* key = comparison.classes ? "test_accuracy" : "test_rmse";
  std::vector<MethodCurve> curves;
  for (const ComparisonRow& row : comparison.rows) {
    const auto quality = row.of(key), nonzeros = row.of("nonzeros");
    if (!quality || !nonzeros || nonzeros->mean <= 0) continue;
    std::string name = row.method;
    for (const std::string& more : {row.structure == "elements" ? std::string() : row.structure, row.control})
      if (!more.empty()) name += ", " + more;
    auto found = std::ranges::find(curves, name, &MethodCurve::name);
    if (found == curves.end()) {
      const auto n = std::ranges::count_if(curves, [](const MethodCurve& curve) { return curve.style != "dense"; });
      const std::string style = row.method == "dense"    ? "dense"
                                : row.method == "random" ? "c7"
                                                         : fmt::format("c{}", n % 7);
      found = curves.insert(curves.end(), {name, style, {}, !row.structure.empty() && row.structure != "elements"});
    }
    const double scale = comparison.classes ? 100 : 1;
    const double y = comparison.classes ? 100 * (1 - quality->mean) : quality->mean;
    found->points.push_back({nonzeros->mean, y, scale * quality->sd});
  }
  for (MethodCurve& curve : curves) std::ranges::sort(curve.points, {}, &CurvePoint::x);
  return curves;
}

// 1, 2 or 5 times a power of 10: four to ten of them in this range.
double tick_of(double range) {
  const double unit = std::pow(10, std::floor(std::log10(range)));
  return range < 2 * unit ? unit / 5 : range < 5 * unit ? unit / 2 : unit;
}

// Where the points lie in the picture: x logarithmic, y from 0 if that costs little room.
struct PlotFrame {
  double x_first = std::numeric_limits<double>::infinity(), x_last = 0, y_first = x_first, y_last = 0;

  explicit PlotFrame(const std::vector<MethodCurve>& curves) {
    for (const MethodCurve& curve : curves)
      for (const CurvePoint& p : curve.points) {
        x_first = std::min(x_first, p.x);
        x_last = std::max(x_last, p.x);
        y_first = std::min(y_first, p.y - p.sd);
        y_last = std::max(y_last, p.y + p.sd);
      }
    x_first /= 1.15;
    x_last *= 1.15;
    if (y_first < y_last / 3) y_first = 0;
    const double room = 0.06 * std::max(y_last - y_first, 1e-9 * std::max(y_last, 1.0));
    if (y_first > 0) y_first = std::max(0.0, y_first - room);
    y_last += room;
  }
  double x(double at) const {
    return plot_left + (plot_right - plot_left) * std::log(at / x_first) / std::log(x_last / x_first);
  }
  double y(double at) const { return plot_bottom - (plot_bottom - plot_top) * (at - y_first) / (y_last - y_first); }
};

std::string axes_of(const PlotFrame& frame, bool classes) {
  std::string svg = stroke(plot_left, plot_bottom, plot_right, plot_bottom, "axis") +
                    stroke(plot_left, plot_top, plot_left, plot_bottom, "axis");
  const double step = tick_of(frame.y_last - frame.y_first);
  for (double y = std::ceil(frame.y_first / step) * step; y <= frame.y_last; y += step)
    svg += stroke(plot_left, frame.y(y), plot_right, frame.y(y), "grid") +
           words(plot_left - 8, frame.y(y) + 4, "end", "pale", fmt::format("{:g}", std::abs(y) < step / 2 ? 0 : y));
  const bool few = std::log10(frame.x_last / frame.x_first) < 2.5;
  for (double unit = std::pow(10, std::floor(std::log10(frame.x_first))); unit <= frame.x_last; unit *= 10)
    for (const double times : {1.0, 2.0, 5.0})
      if (const double x = unit * times; x >= frame.x_first && x <= frame.x_last && (times == 1 || few))
        svg += stroke(frame.x(x), plot_bottom, frame.x(x), plot_bottom + 4, "axis") +
               words(frame.x(x), plot_bottom + 18, "middle", "pale",
                     x >= 1e6   ? fmt::format("{:g} M", x * 1e-6)
                     : x >= 1e3 ? fmt::format("{:g} k", x * 1e-3)
                                : fmt::format("{:g}", x));
  if (frame.y_first > 0) {  // two strokes across an axis that does not begin at 0
    for (const double at : {plot_bottom - 10, plot_bottom - 5})
      svg += stroke(plot_left - 5, at + 2.5, plot_left + 5, at - 2.5, "axis");
    svg += words(plot_left + 10, plot_bottom - 6, "start", "pale", "does not begin at 0");
  }
  svg += words((plot_left + plot_right) / 2, plot_bottom + 38, "middle", "", "weights that are left (logarithmic)");
  return svg + fmt::format("<g transform=\"translate(20 {:.1f}) rotate(-90)\">{}</g>\n", (plot_top + plot_bottom) / 2,
                           words(0, 0, "middle", "", classes ? "test error, %" : "test RMSE"));
}

std::string curve_of(const MethodCurve& curve, const PlotFrame& frame) {
  std::string line, marks;
  for (const CurvePoint& p : curve.points) {
    line += fmt::format("{:.1f},{:.1f} ", frame.x(p.x), frame.y(p.y));
    marks += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" class=\"dot\"/>\n", frame.x(p.x), frame.y(p.y));
    if (p.sd == 0) continue;
    const double x = frame.x(p.x), low = frame.y(p.y - p.sd), high = frame.y(p.y + p.sd);
    marks += stroke(x, low, x, high, "line") + stroke(x - 4, low, x + 4, low, "line") +
             stroke(x - 4, high, x + 4, high, "line");
  }
  std::string svg = fmt::format("<g class=\"{}\">\n<polyline class=\"{}\" points=\"{}\"/>\n{}", curve.style,
                                curve.line_style(), line, marks);
  if (curve.style == "dense" && !curve.points.empty()) {
    const double y = frame.y(curve.points.front().y);
    svg += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"line\" stroke-dasharray=\"5 4\"/>\n",
        plot_left, y, plot_right, y);
  }
  return svg + "</g>\n";
}

}  // namespace

std::string comparison_svg(const Comparison& comparison) {
  const std::vector<MethodCurve> curves = curves_of(comparison);
  constexpr std::size_t columns = 3;
  const double rows = std::ceil(static_cast<double>(curves.size()) / columns);
  const double height = plot_bottom + 62 + legend_line * rows;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "role=\"img\" aria-label=\"{2} of each method against the weights that are left\">\n{3}",
      picture_width, height, comparison.classes ? "Test error" : "Test RMSE", colours);
  svg += words(plot_left, 24, "start", "title", escaped(comparison.dataset) + ": what is paid for fewer weights");
  svg += words(plot_left, 42, "start", "pale", "lower left is better; bars are one standard deviation over seeds");
  if (curves.empty()) return svg + "</svg>\n";
  const PlotFrame frame(curves);
  svg += axes_of(frame, comparison.classes);
  for (const MethodCurve& curve : curves) svg += curve_of(curve, frame);
  for (std::size_t c = 0; c < curves.size(); ++c) {
    const double x = plot_left + legend_column * static_cast<double>(c % columns);
    const double y = plot_bottom + 64 + legend_line * std::floor(static_cast<double>(c) / columns);
    svg += fmt::format("<g class=\"{}\">{}</g>\n", curves[c].style,
                       stroke(x, y - 4, x + 26, y - 4, curves[c].line_style())) +
           words(x + 32, y, "start", "", escaped(curves[c].name));
  }
  return svg + "</svg>\n";
}

}  // namespace espalier
