// Plots as SVG: errors on a logarithmic axis, a few curves per panel, panels side by side.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace espalier {

struct Curve {
  std::string name, colour;  // "#2e7d4f"
  std::vector<double> x, y;  // as many of each, at least one
  bool dashed = false;
};

struct Panel {
  std::string title, subtitle, x_label, y_label;
  std::vector<Curve> curves;
};

// A whole file. The x axis begins at 0, the y axis ends at 1 or at the next power of 10 above all; y below
// 1e-9, and 0, is drawn there.
std::string svg_of(std::span<const Panel> panels);

}  // namespace espalier
