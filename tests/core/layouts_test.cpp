// The layouts of a pattern: transpose, panels, sweeps. (slices_test.cpp has the slices.)
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "espalier/core/layouts/panels.h"
#include "espalier/core/layouts/sweeps.h"
#include "espalier/core/layouts/transpose.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::all_densities;
using testing::pattern_of;

struct Extents {
  Index rows, cols;
};
constexpr Extents extents[] = {{1, 1}, {1, 40}, {40, 1}, {5, 7}, {37, 83}, {130, 257}};

TEST(Transpose, FindsEveryWeightAgainByItsSlot) {
  for (const auto& [rows, cols] : extents)
    for (const auto density : all_densities) {
      const PatternPtr pattern = pattern_of(rows, cols, density);
      const auto& t = pattern->derived<Transpose>();
      ASSERT_EQ(t.rows, cols);
      ASSERT_EQ(t.cols, rows);
      ASSERT_EQ(t.nonzeros(), pattern->nonzeros());
      std::set<std::uint32_t> slots;
      for (Index c = 0; c < cols; ++c)
        for (Index n = t.begin[c]; n < t.begin[static_cast<std::size_t>(c) + 1]; ++n) {
          const std::uint32_t slot = t.slot[n], r = t.index[n];
          slots.insert(slot);
          EXPECT_EQ(pattern->column()[slot], c);
          EXPECT_GE(slot, pattern->row_begin()[r]);
          EXPECT_LT(slot, pattern->row_begin()[r + 1]);
        }
      EXPECT_EQ(static_cast<Index>(slots.size()), pattern->nonzeros());
    }
}

void expect_panels_visit_each_weight_once(const Compressed& matrix, const Panels& panels) {
  ASSERT_EQ(panels.blocks.front().first_row, 0);
  ASSERT_EQ(panels.blocks.back().last_row, matrix.rows);
  std::vector<int> visited(matrix.index.size(), 0);
  for (std::size_t b = 0; b < panels.blocks.size(); ++b)
    for (Index p = 0; p < panels.count; ++p) {
      int previous = -1;
      for (const Panels::Visit& visit : panels.of(static_cast<Index>(b), p)) {
        const Index row = panels.blocks[b].first_row + visit.row;
        ASSERT_LT(row, panels.blocks[b].last_row);
        ASSERT_GE(visit.count, 1);
        ASSERT_GT(int{visit.row}, previous) << "rows are visited from top to bottom, each once";
        previous = visit.row;
        for (std::size_t n = visit.begin; n < std::size_t{visit.begin} + visit.count; ++n) {
          ++visited[n];
          ASSERT_EQ(matrix.index[n] / panels.width, p);
          ASSERT_GE(static_cast<Index>(n), matrix.begin[row]);
          ASSERT_LT(static_cast<Index>(n), matrix.begin[static_cast<std::size_t>(row) + 1]);
        }
      }
    }
  EXPECT_EQ(visited, std::vector<int>(matrix.index.size(), 1));
}

TEST(Panels, OfAnyWidthVisitEachWeightExactlyOnce) {
  for (const auto& [rows, cols] : extents)
    for (const auto density : all_densities)
      for (const Index width : {Index{1}, Index{3}, Index{16}, cols, Index{100'000}}) {
        const PatternPtr pattern = pattern_of(rows, cols, density);
        expect_panels_visit_each_weight_once(pattern->compressed(), pattern->derived<Panels>({.width = width}));
        expect_panels_visit_each_weight_once(pattern->derived<Transpose>(),
                                             pattern->derived<Panels>({.width = width, .transposed = true}));
      }
}

TEST(Panels, ManyEmptyRowsStillFitAVisitsSixteenBits) {
  // All weights in the last row: the block that reaches its share would span 20,000 rows.
  std::vector<Index> positions(10);
  for (Index i = 0; i < 10; ++i) positions[i] = 19'999 * Index{50} + i;
  const PatternPtr pattern = Pattern::from_positions(20'000, 50, positions);
  for (const RowBlock& block : pattern->blocks()) EXPECT_LE(block.rows(), 65536);
  expect_panels_visit_each_weight_once(pattern->compressed(), pattern->derived<Panels>({.width = 16}));
}

TEST(Panels, ARowWiderThanAVisitCountsIsCutIntoPanels) {
  const PatternPtr pattern = Pattern::full(2, 70'000);
  expect_panels_visit_each_weight_once(pattern->compressed(), pattern->derived<Panels>({.width = 1'000'000}));
}

TEST(PanelWidth, NarrowsWithLanesAndWidensWithSparsity) {
  constexpr Index columns = 1'000'000;
  EXPECT_GE(panel_width(16, 0.5, columns), panel_width(128, 0.5, columns));
  EXPECT_GE(panel_width(128, 0.001, columns), panel_width(128, 0.5, columns));
  EXPECT_GE(panel_width(100'000, 1, columns), 1);
  EXPECT_LE(panel_width(128, 0, columns), 32768);
}

TEST(PanelWidth, IsAtMostAllColumnsSoThatNarrowMatricesHaveOneLayoutForAllLanes) {
  for (const Index lanes : {16, 64, 128}) EXPECT_EQ(panel_width(lanes, 0.1, 40), 40);
}

TEST(SparseSweeps, OfEitherDirectionHoldEachWeightOnceAndEachConvolutionHasItsOwn) {
  const Window w{.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1};
  const Tensor X({4, 9, 9}, {16, 16}, w.padding()), wider({4, 9, 9}, {16, 16}, {2, 2});
  const Tensor Y({6, 5, 5}, {16, 16}, gradient_halo(w, X.shape(), {6, 5, 5}));
  const Convolution forward{w, Frame(X), Frame(Y), false}, backward{w, Frame(Y), Frame(X), true};
  for (const auto density : all_densities) {
    const PatternPtr pattern = pattern_of(6, 4 * w.taps(), density);
    for (const Convolution& convolution : {forward, backward}) {
      const auto& sweeps = pattern->derived<SparseSweeps>(convolution);
      EXPECT_EQ(&pattern->derived<SparseSweeps>(convolution), &sweeps);
      EXPECT_EQ(sweeps.all.size(), convolution.transposed ? 4u : 1u);
      std::vector<std::uint32_t> slots;
      for (const SparseSweep& sweep : sweeps.all) slots.insert(slots.end(), sweep.slot.begin(), sweep.slot.end());
      std::ranges::sort(slots);
      ASSERT_EQ(static_cast<Index>(slots.size()), pattern->nonzeros());
      for (std::size_t n = 0; n < slots.size(); ++n) ASSERT_EQ(slots[n], n);
    }
    const auto* first = &pattern->derived<SparseSweeps>(forward);
    EXPECT_NE(&pattern->derived<SparseSweeps>(backward), first);
    EXPECT_NE(&pattern->derived<SparseSweeps>({w, Frame(wider), Frame(Y), false}), first);
  }
}

// Layouts include the pattern, and never the other way round: a further layout must not touch it.
TEST(Layouts, ThePatternAndTheStoresOfWeightsIncludeNoneInTheirHeaders) {
  const std::filesystem::path core = std::filesystem::path(ESPALIER_SOURCE_DIR) / "core";
  for (const char* name : {"pattern.h", "pattern.cpp", "parameter.h", "products.h", "tape.h"}) {
    std::ifstream file(core / name);
    ASSERT_TRUE(file) << name;
    for (std::string line; std::getline(file, line);)
      EXPECT_FALSE(line.starts_with("#include") && line.find("layouts/") != std::string::npos) << name << ": " << line;
  }
  int layouts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(core / "layouts")) {
    if (entry.path().extension() != ".h") continue;
    ++layouts;
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_NE(text.find("#include \"espalier/core/pattern.h\""), std::string::npos) << entry.path();
  }
  EXPECT_GE(layouts, 4);
}

}  // namespace
}  // namespace espalier
