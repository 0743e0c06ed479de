#include "espalier/experiment/plot.h"

#include <gtest/gtest.h>

#include <regex>

namespace espalier {
namespace {

struct Dot {
  double x, y;
};

std::vector<Dot> dots_of(const std::string& svg) {
  std::vector<Dot> dots;
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  for (std::sregex_iterator at(svg.begin(), svg.end(), circle), end; at != end; ++at)
    dots.push_back({std::stod((*at)[1]), std::stod((*at)[2])});
  return dots;
}

TEST(Plot, PutsEveryDecadeAsFarBelowTheLastAndPanelsSideBySide) {
  const Panel panel{.title = "t", .curves = {{"c", "#000", {10, 20, 30}, {1, 0.1, 0.01}}}};
  const std::vector<Panel> panels{panel, panel};
  const auto dots = dots_of(svg_of(panels));
  ASSERT_EQ(dots.size(), 6u);
  EXPECT_GT(dots[1].y, dots[0].y + 50);  // an SVG's y points down
  EXPECT_NEAR(dots[2].y - dots[1].y, dots[1].y - dots[0].y, 0.15);
  EXPECT_NEAR(dots[2].x - dots[1].x, dots[1].x - dots[0].x, 0.15);
  EXPECT_GT(dots[3].x, dots[2].x);
  EXPECT_EQ(dots[3].y, dots[0].y);
}

TEST(Plot, HasRoomForWhatIsAboveOneOrZeroOrAllTheSame) {
  for (const double y : {0.0, 1.0, 3.0}) {
    const std::vector<Panel> panels{{.title = "t", .curves = {{"c", "#000", {1, 2}, {y, y}}}}};
    const std::string svg = svg_of(panels);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
    for (const Dot& dot : dots_of(svg)) EXPECT_GE(dot.y, 60);
  }
}

}  // namespace
}  // namespace espalier
