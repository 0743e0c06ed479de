#include "espalier/core/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/layouts/panels.h"
#include "espalier/core/layouts/transpose.h"
#include "espalier/core/threads.h"
#include "support/allocation_counter.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::all_densities;
using testing::pattern_of;

struct Extents {
  Index rows, cols;
};
constexpr Extents extents[] = {{1, 1}, {1, 40}, {40, 1}, {5, 7}, {37, 83}, {130, 257}};

// The numbers row * cols + column of all live weights.
std::vector<Index> positions_of(const Pattern& pattern) {
  std::vector<Index> positions;
  for (Index r = 0; r < pattern.rows(); ++r)
    for (const std::uint32_t c : pattern.row(r)) positions.push_back(r * pattern.cols() + c);
  return positions;
}

// --- invariant 1 ---------------------------------------------------------------------------------------------------

TEST(Pattern, Invariant1ColumnsAscendAndBeginningsAgreeWithNonzeros) {
  for (const auto& [rows, cols] : extents)
    for (const auto density : all_densities) {
      const PatternPtr pattern = pattern_of(rows, cols, density);
      const auto begin = pattern->row_begin();
      ASSERT_EQ(static_cast<Index>(begin.size()), rows + 1);
      EXPECT_EQ(begin.front(), 0);
      EXPECT_EQ(begin.back(), pattern->nonzeros());
      EXPECT_TRUE(std::ranges::is_sorted(begin));
      for (Index r = 0; r < rows; ++r) {
        EXPECT_TRUE(std::ranges::is_sorted(pattern->row(r), std::ranges::less_equal{}) || pattern->row(r).size() < 2);
        for (const std::uint32_t c : pattern->row(r)) EXPECT_LT(c, cols);
      }
      const std::vector<Index> positions = positions_of(*pattern);
      EXPECT_EQ(std::set<Index>(positions.begin(), positions.end()).size(), positions.size());
    }
}

TEST(Pattern, AllWaysToMakeOneAgree) {
  for (const auto& [rows, cols] : extents)
    for (const auto density : all_densities) {
      const PatternPtr pattern = pattern_of(rows, cols, density);
      const auto begin = pattern->row_begin();
      const auto column = pattern->column();
      EXPECT_EQ(*Pattern::from_mask(rows, cols, pattern->mask()), *pattern);
      EXPECT_EQ(*Pattern::from_positions(rows, cols, positions_of(*pattern)), *pattern);
      EXPECT_EQ(*Pattern::make(rows, cols, {begin.begin(), begin.end()}, {column.begin(), column.end()}), *pattern);
      EXPECT_EQ(pattern->full(), *Pattern::full(rows, cols) == *pattern);
    }
}

TEST(Pattern, EqualityLooksAtExtentsAndPositions) {
  EXPECT_NE(*Pattern::full(2, 3), *Pattern::full(3, 2));
  EXPECT_NE(*Pattern::from_positions(4, 4, std::vector<Index>{3}),
            *Pattern::from_positions(4, 4, std::vector<Index>{2}));
  EXPECT_NE(*Pattern::from_positions(4, 4, {}), *Pattern::from_positions(4, 5, {}));
  EXPECT_NE(*Pattern::from_positions(4, 4, {}), *Pattern::from_positions(5, 4, {}));
}

TEST(Pattern, LiveAgreesWithTheMask) {
  const PatternPtr pattern = pattern_of(37, 83, testing::Density::tenth);
  const auto mask = pattern->mask();
  for (Index r = 0; r < 37; ++r)
    for (Index c = 0; c < 83; ++c) EXPECT_EQ(pattern->live(r, c), mask[r * 83 + c] == 1);
}

TEST(Pattern, DensityIsTheFractionKept) {
  const PatternPtr pattern = Pattern::random(10, 20, 50, Random(1, "density"));
  EXPECT_DOUBLE_EQ(pattern->density(), 0.25);
  EXPECT_EQ(pattern->positions(), 200);
  EXPECT_FALSE(pattern->full());
}

// --- bad input -----------------------------------------------------------------------------------------------------

TEST(Pattern, RefusesArraysThatContradictEachOther) {
  const auto refused = [](Index rows, Index cols, std::vector<Index> begin, std::vector<std::uint32_t> column) {
    EXPECT_THROW(Pattern::make(rows, cols, begin, column), UsageError);
  };
  refused(0, 3, {0}, {});                // no rows
  refused(2, 0, {0, 0, 0}, {});          // no columns
  refused(-1, 3, {}, {});                // fewer than none
  refused(2, 3, {0, 1}, {0});            // one beginning too few
  refused(2, 3, {1, 1, 2}, {0, 1});      // begins after the first
  refused(2, 3, {0, 1, 1}, {0, 1});      // ends before the last
  refused(3, 3, {0, 2, 1, 2}, {0, 1});   // beginnings descend
  refused(2, 3, {0, 1, 2}, {0, 3});      // column out of range
  refused(2, 3, {0, 2, 2}, {1, 1});      // the same weight twice
  refused(2, 3, {0, 2, 2}, {2, 1});      // columns descend
  refused(3, 3, {0, 5, -1, 2}, {0, 1});  // beginnings beyond the columns
}

TEST(Pattern, RefusesMasksOfAnotherSize) {
  EXPECT_THROW(Pattern::from_mask(2, 3, std::vector<std::uint8_t>(5)), UsageError);
  EXPECT_THROW(Pattern::from_mask(2, 3, std::vector<std::uint8_t>(7)), UsageError);
}

TEST(Pattern, RefusesPositionsOutOfRangeRepeatedOrNotAscending) {
  for (const std::vector<Index>& positions : std::vector<std::vector<Index>>{{-1}, {6}, {2, 2}, {2, 1}, {4, 0}, {5, 0}})
    EXPECT_THROW(Pattern::from_positions(2, 3, positions), UsageError) << positions.front();
}

TEST(Pattern, RefusesExtentsThatAreNotPositive) {
  EXPECT_THROW(Pattern::full(-1, 5), UsageError);
  EXPECT_THROW(Pattern::full(5, -1), UsageError);
  EXPECT_THROW(Pattern::full(0, 5), UsageError);
  EXPECT_THROW(Pattern::from_positions(2, 0, std::vector<Index>{0}), UsageError);
  EXPECT_THROW(Pattern::from_positions(-2, 3, {}), UsageError);
  EXPECT_THROW(Pattern::random(-1, -5, 3, Random(1, "bad")), UsageError);
  EXPECT_THROW(Pattern::from_mask(-2, -2, std::vector<std::uint8_t>(4)), UsageError);
}

// --- random --------------------------------------------------------------------------------------------------------

TEST(RandomPattern, KeepsExactlyAsManyAsAsked) {
  for (const auto& [rows, cols] : extents) {
    const Index all = rows * cols;
    for (const Index k : {Index{0}, Index{1}, all / 3, all / 2, all / 2 + 1, all - 1, all})
      EXPECT_EQ(Pattern::random(rows, cols, std::min(k, all), Random(3, "k"))->nonzeros(), std::min(k, all));
  }
  EXPECT_THROW(Pattern::random(2, 3, 7, Random(1, "k")), UsageError);
  EXPECT_THROW(Pattern::random(2, 3, -1, Random(1, "k")), UsageError);
}

TEST(RandomPattern, IsAFunctionOfItsKey) {
  EXPECT_EQ(*Pattern::random(30, 40, 100, Random(3, "k")), *Pattern::random(30, 40, 100, Random(3, "k")));
  EXPECT_NE(*Pattern::random(30, 40, 100, Random(3, "k")), *Pattern::random(30, 40, 100, Random(4, "k")));
}

TEST(RandomPattern, EveryPositionIsEquallyLikely) {
  constexpr Index rows = 4, cols = 5;
  constexpr int rounds = 20'000;
  for (const Index k : {3, 17}) {  // drawn directly, and by its complement
    std::vector<int> count(rows * cols, 0);
    for (std::uint64_t seed = 0; seed < rounds; ++seed)
      for (const Index p : positions_of(*Pattern::random(rows, cols, k, Random(seed, "even")))) ++count[p];
    const double expected = rounds * static_cast<double>(k) / (rows * cols);
    for (const int c : count) EXPECT_NEAR(c, expected, 5 * std::sqrt(expected));
  }
}

TEST(RandomPattern, TwoToThe32PositionsDoNotOverflow) {
  constexpr Index n = 65536, live = 1000;
  const PatternPtr pattern = Pattern::random(n, n, live, Random(1, "huge"));
  EXPECT_EQ(pattern->positions(), Index{1} << 32);
  EXPECT_EQ(pattern->nonzeros(), live);
  const std::vector<Index> positions = positions_of(*pattern);
  EXPECT_TRUE(std::ranges::any_of(positions, [](Index p) { return p >= Index{1} << 31; }));
  EXPECT_EQ(*Pattern::from_positions(n, n, positions), *pattern);
  EXPECT_EQ(pattern->derived<Transpose>().nonzeros(), live);
  EXPECT_EQ(
      static_cast<Index>(pattern->derived<Panels>({.width = 4096}).visits.size()), live - [&] {
        Index merged = 0;  // two weights of one row in one panel are one visit
        for (std::size_t i = 1; i < positions.size(); ++i) merged += positions[i] / 4096 == positions[i - 1] / 4096;
        return merged;
      }());
}

// --- row blocks ------------------------------------------------------------------------------------------------------

void expect_blocks_cover_rows(std::span<const RowBlock> blocks, const std::vector<Index>& begin) {
  Index row = 0;
  for (const RowBlock& block : blocks) {
    EXPECT_EQ(block.first_row, row);
    EXPECT_EQ(block.number, &block - blocks.data());
    EXPECT_GT(block.last_row, block.first_row);
    EXPECT_EQ(block.first, begin[block.first_row]);
    EXPECT_EQ(block.last, begin[block.last_row]);
    row = block.last_row;
  }
  EXPECT_EQ(row, static_cast<Index>(begin.size()) - 1);
}

TEST(Pattern, ManyWeightsFallIntoBalancedBlocks) {
  const PatternPtr pattern = Pattern::random(1000, 1000, 200'000, Random(1, "balance"));
  expect_blocks_cover_rows(pattern->blocks(), pattern->compressed().begin);
  ASSERT_GT(pattern->blocks().size(), 4u);
  const Index share = pattern->nonzeros() / static_cast<Index>(pattern->blocks().size());
  for (const RowBlock& block : pattern->blocks()) EXPECT_NEAR(block.weights(), share, 400);  // two rows
}

TEST(Pattern, ABlockHasNoMoreRowsThanTheLimitHoweverFewWeightsTheyHave) {
  // All weights in the last row: the block that reaches its share would span 20,000 rows.
  std::vector<Index> positions(10);
  for (Index i = 0; i < 10; ++i) positions[i] = 19'999 * Index{50} + i;
  const PatternPtr pattern = Pattern::from_positions(20'000, 50, positions);
  for (const RowBlock& block : pattern->blocks()) EXPECT_LE(block.rows(), block_rows_limit);
  expect_blocks_cover_rows(pattern->blocks(), pattern->compressed().begin);
}

// --- what is derived -------------------------------------------------------------------------------------------------

// Layouts that count how often they are made, and how many there are.
struct Counted {
  using Key = Index;
  static std::atomic<int> made, alive;
  Index nonzeros, key;
  Counted(const Pattern& pattern, Index k) : nonzeros(pattern.nonzeros()), key(k) {
    require(key >= 0, "[counted] expected a key of at least 0, got {}", key);
    ++made, ++alive;
  }
  Counted(const Counted&) = delete;
  ~Counted() { --alive; }
};
std::atomic<int> Counted::made, Counted::alive;

struct SumOfTwo {  // is made from others
  Index sum;
  explicit SumOfTwo(const Pattern& pattern) : sum(pattern.derived<Counted>(1).key + pattern.derived<Counted>(2).key) {}
};

TEST(Pattern, Invariant2ALayoutIsMadeOnceAndIsAnotherForAnotherKeyTypeOrPattern) {
  const PatternPtr pattern = Pattern::full(3, 4), other = Pattern::full(3, 4);
  Counted::made = 0;
  const Counted& one = pattern->derived<Counted>(1);
  EXPECT_EQ(one.nonzeros, 12);
  for (int again = 0; again < 3; ++again) EXPECT_EQ(&pattern->derived<Counted>(1), &one);
  EXPECT_EQ(Counted::made, 1);
  EXPECT_EQ(pattern->derived<Counted>(2).key, 2);
  EXPECT_NE(&pattern->derived<Counted>(2), &one);
  EXPECT_NE(&other->derived<Counted>(1), &one);
  EXPECT_EQ(&pattern->derived<Counted>(1), &one) << "later layouts leave it where it is";
  EXPECT_EQ(Counted::made, 3);
  EXPECT_EQ(pattern->derived<SumOfTwo>().sum, 3);
  EXPECT_EQ(&pattern->derived<SumOfTwo>(), &pattern->derived<SumOfTwo>());
  EXPECT_EQ(Counted::made, 3) << "both were there";
  EXPECT_NE(&pattern->derived<Panels>({.width = 2}), &pattern->derived<Panels>({.width = 3}));
  EXPECT_NE(&pattern->derived<Panels>({.width = 2}), &pattern->derived<Panels>({.width = 2, .transposed = true}));
}

TEST(Pattern, Invariant2ALayoutIsMadeOnceForAllThreads) {
  for (int round = 0; round < 20; ++round) {
    const PatternPtr pattern = pattern_of(130, 257, testing::Density::tenth, static_cast<std::uint64_t>(round));
    constexpr Index askers = 64, keys = 3;
    Counted::made = 0;
    std::vector<const Counted*> counted(askers);
    std::vector<const void*> sums(askers), transposes(askers), panels(askers);
    parallel_for(askers, 8, [&](Index i) {
      if (i % 2) sums[i] = &pattern->derived<SumOfTwo>();
      panels[i] = &pattern->derived<Panels>({.width = 16, .transposed = true});
      counted[i] = &pattern->derived<Counted>(i % keys);
      transposes[i] = &pattern->derived<Transpose>();
      sums[i] = &pattern->derived<SumOfTwo>();
      EXPECT_EQ(counted[i]->nonzeros, pattern->nonzeros());
      EXPECT_EQ(counted[i]->key, i % keys);
    });
    EXPECT_EQ(Counted::made, keys);
    for (Index i = 0; i < askers; ++i) {
      EXPECT_EQ(counted[i], counted[i % keys]);
      EXPECT_EQ(sums[i], sums[0]);
      EXPECT_EQ(transposes[i], transposes[0]);
      EXPECT_EQ(panels[i], panels[0]);
    }
  }
}

TEST(Pattern, ALayoutThatIsThereIsFoundWithoutAllocating) {
  const PatternPtr pattern = Pattern::full(30, 40);
  pattern->derived<Panels>({.width = 16, .transposed = true});
  pattern->derived<Counted>(7);
  const std::uint64_t before = testing::allocations_so_far();
  for (int again = 0; again < 10; ++again) {
    pattern->derived<Panels>({.width = 16, .transposed = true});
    pattern->derived<Transpose>();
    pattern->derived<Counted>(7);
  }
  EXPECT_EQ(testing::allocations_so_far(), before);
}

TEST(Pattern, Invariant2LayoutsAreKeptAsLongAsThePattern) {
  Counted::alive = 0;
  PatternPtr pattern = Pattern::full(3, 4), holder = pattern;
  for (Index key = 0; key < 5; ++key) pattern->derived<Counted>(key);
  pattern = nullptr;
  EXPECT_EQ(Counted::alive, 5);
  holder = nullptr;
  EXPECT_EQ(Counted::alive, 0);
}

TEST(Pattern, ALayoutThatCannotBeMadeLeavesNothingBehind) {
  const PatternPtr pattern = Pattern::full(3, 4);
  Counted::alive = 0;
  for (int again = 0; again < 2; ++again) EXPECT_THROW(pattern->derived<Counted>(-1), UsageError);
  EXPECT_EQ(Counted::alive, 0);
  EXPECT_EQ(pattern->derived<Counted>(0).key, 0);
}

}  // namespace
}  // namespace espalier
