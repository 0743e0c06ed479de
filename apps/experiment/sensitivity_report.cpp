#include "espalier/experiment/sensitivity_report.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "espalier/experiment/result_json.h"
#include "espalier/experiment/text.h"
#include "espalier/pruning/allocation.h"

namespace espalier {
namespace {

bool predicts_classes(const Sensitivity& s) {
  return s.before.classes > 0;
}
double quality_in(const Evaluation& e) {
  return e.classes > 0 ? e.accuracy : e.rmse;
}
const char* key_of_quality(const Sensitivity& s) {
  return predicts_classes(s) ? "accuracy" : "rmse";
}
// Points of accuracy, or per cent of the RMSE: what there is more than before.
double difference_in(const Sensitivity& s, const Evaluation& after) {
  const double lost = points_lost(s.before, after);
  return predicts_classes(s) ? -lost : lost;
}

std::string shown_density(double density) {
  return fmt::format("{:g} %", 100 * density);
}

std::string cell_of(const Sensitivity& s, const LayerSensitivity& layer, std::size_t d) {
  if (layer.kept[d] == layer.live) return "as it is";
  const Evaluation& e = layer.at[d];
  if (predicts_classes(s)) return fmt::format("{:.2f} {:+.2f}", 100 * e.accuracy, difference_in(s, e));
  return fmt::format("{:.4g} {:+.1f} %", e.rmse, difference_in(s, e));
}

// --- the picture -----------------------------------------------------------------------------------------------------

// Where things are, in pixels.
constexpr double picture_width = 760, axis_left = 76, axis_width = 420, axis_top = 66, axis_height = 280,
                 names_left = axis_left + axis_width + 28, name_height = 19;

// Tones between light and dark, which are readable on either ground, as far from each other as there are layers.
std::string colour_of_layer(std::size_t layer, std::size_t layers) {
  static constexpr const char* few[] = {"#3182bd", "#2f9e5f", "#c1871b", "#cf4f4a", "#8f63c4", "#1f9a9a"};
  if (layers <= std::size(few)) return few[layer];
  return fmt::format("hsl({:.0f},60%,47%)",
                     215.0 - 215.0 * static_cast<double>(layer) / static_cast<double>(layers - 1));
}

std::string without_markup(const std::string& words) {
  std::string text;
  for (const char c : words) text += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return text;
}

std::string words_at(double x, double y, const char* anchor, const char* style, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y, anchor, style,
                     without_markup(words));
}

// The axes of a picture. x: density, logarithmic, 1 on the left; y: from `low` to `high` in steps.
struct SensitivityAxes {
  double least = 0.01, low = 0, high = 100, step = 20;

  double x_of(double density) const { return axis_left + axis_width * std::log(density) / std::log(least); }
  double y_of(double quality) const {
    const double shown_quality = std::clamp(std::isfinite(quality) ? quality : high, low, high);
    return axis_top + axis_height * (high - shown_quality) / (high - low);
  }
};

// Per cent, or the RMSE, as it stands on the axis.
double on_the_axis(const Evaluation& e) {
  return e.classes > 0 ? 100 * e.accuracy : e.rmse;
}

SensitivityAxes axes_of(const Sensitivity& s) {
  double worst = on_the_axis(s.before), highest = worst;
  for (const LayerSensitivity& layer : s.layers)
    for (const Evaluation& e : layer.at)
      if (const double y = on_the_axis(e); std::isfinite(y)) worst = std::min(worst, y), highest = std::max(highest, y);
  SensitivityAxes axes{.least = std::min(0.5, *std::ranges::min_element(s.densities))};
  if (predicts_classes(s)) {
    const double span = 100 - worst;
    axes.step = span > 50 ? 20 : span > 20 ? 10 : span > 10 ? 5 : span > 4 ? 2 : 1;
    axes.low = axes.step * std::floor(worst / axes.step);
    return axes;
  }
  const double unit = std::pow(10, std::floor(std::log10(std::max(highest, 1e-300))));
  axes.step = highest < 2 * unit ? unit / 5 : highest < 5 * unit ? unit / 2 : unit;
  axes.high = axes.step * std::ceil(highest / axes.step);
  return axes;
}

std::string axes_svg(const Sensitivity& s, const SensitivityAxes& axes) {
  const double bottom = axis_top + axis_height, right = axis_left + axis_width;
  std::string svg;
  for (double y = axes.low; y <= axes.high + axes.step / 2; y += axes.step)
    svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"grid\"/>\n", axis_left,
                       right, axes.y_of(y), axes.y_of(y)) +
           words_at(axis_left - 8, axes.y_of(y) + 4, "end", "pale", fmt::format("{:.6g}", y));
  std::vector<double> ticks{1};
  ticks.insert(ticks.end(), s.densities.begin(), s.densities.end());
  double last = -100;
  std::ranges::sort(ticks, std::greater{});
  for (const double density : ticks) {
    const double x = axes.x_of(density);
    svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" class=\"axis\"/>\n", x,
                       bottom, bottom + 4);
    if (x - last < 34 || x > right + 1) continue;
    svg += words_at(x, bottom + 18, "middle", "pale", shown_density(density));
    last = x;
  }
  svg += words_at(axis_left + axis_width / 2, bottom + 40, "middle", "plain",
                  "weights of that layer that are kept (logarithmic)");
  const std::string from = axes.low > 0 ? fmt::format(" (the axis begins at {:g})", axes.low) : "";
  return svg +
         fmt::format(
             "<g transform=\"translate({:.1f} {:.1f}) rotate(-90)\">{}</g>\n", axis_left - 48,
             axis_top + axis_height / 2,
             words_at(0, 0, "middle", "plain",
                      (predicts_classes(s) ? "right on validation samples, %" : "RMSE on validation samples") + from));
}

std::string curve_svg(const Sensitivity& s, const SensitivityAxes& axes, std::size_t l) {
  const LayerSensitivity& layer = s.layers[l];
  const std::string colour = colour_of_layer(l, s.layers.size());
  std::vector<std::size_t> order(s.densities.size());
  for (std::size_t d = 0; d < order.size(); ++d) order[d] = d;
  std::ranges::sort(order, std::greater{}, [&](std::size_t d) { return s.densities[d]; });
  std::string points = fmt::format("{:.1f},{:.1f}", axes.x_of(1), axes.y_of(on_the_axis(s.before))), dots;
  for (const std::size_t d : order) {
    const double x = axes.x_of(s.densities[d]), y = axes.y_of(on_the_axis(layer.at[d]));
    points += fmt::format(" {:.1f},{:.1f}", x, y);
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", x, y, colour);
  }
  const double y = axis_top + 6 + name_height * static_cast<double>(l);
  return fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"{}\"/>\n", colour, points) +
         dots +
         fmt::format(
             "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"3\"/>\n",
             names_left, names_left + 20, y, y, colour) +
         words_at(names_left + 28, y + 4, "start", "plain",
                  fmt::format("{}, {} weights", espalier::layer_of(layer.layer),
                              with_commas(static_cast<double>(layer.positions))));
}

}  // namespace

std::string text_of(const Sensitivity& s, const std::string& data) {
  std::size_t longest = 5;
  for (const LayerSensitivity& layer : s.layers) longest = std::max(longest, layer.layer.size());
  const bool classes = predicts_classes(s);
  std::string text = fmt::format("{}, {} samples: {} as it is. One layer pruned, all others as they are:\n\n", data,
                                 with_commas(static_cast<double>(s.before.samples)), text_of(s.before));
  text += fmt::format("{:<{}}{:>12}", "layer", longest, "weights");
  for (const double density : s.densities) text += fmt::format("{:>16}", shown_density(density));
  text += "\n";
  for (const LayerSensitivity& layer : s.layers) {
    text += fmt::format("{:<{}}{:>12}", layer.layer, longest, with_commas(static_cast<double>(layer.positions)));
    for (std::size_t d = 0; d < s.densities.size(); ++d) text += fmt::format("{:>16}", cell_of(s, layer, d));
    text += "\n";
  }
  return text + fmt::format("\nin each column {}, and the difference in {}, with so many of the layer's weights kept\n",
                            classes ? "% right" : "the RMSE", classes ? "points" : "% of the RMSE");
}

std::string csv_of(const Sensitivity& s) {
  std::string text = fmt::format("layer,weights,live,density,kept,{},difference\n", key_of_quality(s));
  for (const LayerSensitivity& layer : s.layers)
    for (std::size_t d = 0; d < s.densities.size(); ++d)
      text += fmt::format("{},{},{},{},{},{},{}\n", layer.layer, layer.positions, layer.live, s.densities[d],
                          layer.kept[d], quality_in(layer.at[d]), difference_in(s, layer.at[d]));
  return text;
}

std::string json_of(const Sensitivity& s, const std::string& data) {
  const char* const key = key_of_quality(s);
  Json layers = Json::array();
  for (const LayerSensitivity& layer : s.layers) {
    Json curve = Json::array();
    for (std::size_t d = 0; d < s.densities.size(); ++d)
      curve.push_back({{"density", s.densities[d]},
                       {"kept", layer.kept[d]},
                       {key, quality_in(layer.at[d])},
                       {"difference", difference_in(s, layer.at[d])}});
    layers.push_back(
        {{"name", layer.layer}, {"weights", layer.positions}, {"live", layer.live}, {"curve", std::move(curve)}});
  }
  const Json json = {
      {"data", data}, {"samples", s.before.samples}, {key, quality_in(s.before)}, {"layers", std::move(layers)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string svg_of(const Sensitivity& s, const std::string& data) {
  const SensitivityAxes axes = axes_of(s);
  const double height =
      std::max(axis_top + axis_height + 56, axis_top + 16 + name_height * static_cast<double>(s.layers.size()));
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "font-family=\"Helvetica,Arial,sans-serif\" font-size=\"12\">\n"
      "<style>.title{{font-size:15px;font-weight:bold}} .title,.plain{{fill:#24292f}} .pale{{fill:#59636e}} "
      ".grid{{stroke:#d8dee4}} .axis{{stroke:#59636e}} @media (prefers-color-scheme: dark) {{ "
      ".title,.plain{{fill:#e6edf3}} .pale{{fill:#9198a1}} .grid{{stroke:#3d444d}} .axis{{stroke:#9198a1}} "
      "}}</style>\n",
      picture_width, height);
  svg += words_at(axis_left, 26, "start", "title", "One layer pruned by magnitude, nothing trained afterwards");
  svg += words_at(axis_left, 46, "start", "pale",
                  fmt::format("{}, {} validation samples: {} with all weights", data,
                              with_commas(static_cast<double>(s.before.samples)), text_of(s.before)));
  svg += axes_svg(s, axes);
  for (std::size_t l = 0; l < s.layers.size(); ++l) svg += curve_svg(s, axes, l);
  return svg + "</svg>\n";
}

}  // namespace espalier
