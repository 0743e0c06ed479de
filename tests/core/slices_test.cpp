#include "espalier/core/layouts/slices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "espalier/core/pattern.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::Density;
using testing::pattern_of;

struct Extents {
  Index rows, cols;
};
constexpr Extents extents[] = {{16, 64}, {21, 65}, {37, 83}, {48, 128}, {130, 257}, {100, 783}};
constexpr Density densities[] = {Density::full, Density::half, Density::tenth, Density::empty_row};

// body(pattern, its slices) wherever there are any; half of the weights always suffice.
template <typename Body>
void for_each_layout(Body&& body) {
  for (const auto& [rows, cols] : extents)
    for (const Density density : densities) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << cols << ", " << density);
      const PatternPtr pattern = pattern_of(rows, cols, density);
      const Slices& slices = pattern->derived<Slices>();
      if (density != Density::tenth) {
        ASSERT_FALSE(slices.empty());
      }
      if (!slices.empty()) body(*pattern, slices);
    }
}

TEST(Slices, EveryWeightIsInOneStepOnTheLaneOfItsRowAndSeesItsColumn) {
  for_each_layout([](const Pattern& pattern, const Slices& slices) {
    std::vector<Index> positions;
    std::size_t n = 0;
    for (Index s = 0; s < slices.slices(); ++s)
      for (std::size_t w = slices.first[s]; w < slices.first[static_cast<std::size_t>(s) + 1]; ++w)
        for (std::size_t step = w * Slices::steps_per_window; step < (w + 1) * Slices::steps_per_window; ++step)
          for (unsigned live = slices.live[step]; live != 0; live &= live - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(live));
            const std::uint32_t row = slices.row.at(static_cast<std::size_t>(s * Slices::lanes) + lane);
            const std::uint8_t in_window = slices.column[step * Slices::lanes + lane];
            ASSERT_LT(in_window, Slices::window);
            const std::uint32_t column = slices.base[w] + in_window, slot = slices.slot.at(n++);
            ASSERT_EQ(pattern.column()[slot], column);
            ASSERT_LE(pattern.row_begin()[row], static_cast<Index>(slot));
            ASSERT_GT(pattern.row_begin()[row + 1], static_cast<Index>(slot));
            positions.push_back(row * pattern.cols() + column);
          }
    EXPECT_EQ(n, slices.slot.size());
    std::ranges::sort(positions);
    EXPECT_EQ(*Pattern::from_positions(pattern.rows(), pattern.cols(), positions), pattern);
  });
}

TEST(Slices, WindowsLieWithinX) {
  for_each_layout([](const Pattern& pattern, const Slices& slices) {
    for (const std::uint32_t base : slices.base) EXPECT_LE(base + Slices::window, pattern.cols());
    EXPECT_EQ(slices.column.size(), slices.steps() * Slices::lanes);
    EXPECT_EQ(slices.steps(), slices.base.size() * Slices::steps_per_window);
  });
}

TEST(Slices, RowsComeWithTheLongestFirst) {
  for_each_layout([](const Pattern& pattern, const Slices& slices) {
    EXPECT_TRUE(std::ranges::is_sorted(slices.row, std::ranges::greater{},
                                       [&](std::uint32_t r) { return pattern.row(r).size(); }));
  });
}

TEST(Slices, MostLanesWorkAtDensityATenth) {
  const PatternPtr pattern = Pattern::random(1024, 1024, 104'858, Random(1, "slices"));
  const Slices& slices = pattern->derived<Slices>();
  EXPECT_GT(slices.slot.size(), slices.steps() * Slices::lanes * 3 / 4);
}

TEST(Slices, ThereAreNoneWhereTheyWouldNotPay) {
  EXPECT_TRUE(Pattern::full(100, 63)->derived<Slices>().empty()) << "less than a window";
  EXPECT_TRUE(Pattern::full(3, 200)->derived<Slices>().empty()) << "three lanes of sixteen";
  EXPECT_TRUE(pattern_of(100, 200, Density::nothing)->derived<Slices>().empty());
  EXPECT_TRUE(Pattern::random(4096, 4096, 50'000, Random(1, "slices"))->derived<Slices>().empty()) << "density 0.003";
}

}  // namespace
}  // namespace espalier
