#include "espalier/pruning/allocation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <tuple>
#include <vector>

#include "espalier/core/error.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

// The rules, without densities given layer by layer.
const Allocation all_allocations[] = {Allocation::uniform, Allocation::er, Allocation::erk, Allocation::global,
                                      Allocation::lamp};

// --- top_k ----------------------------------------------------------------------------------------------------------

TEST(TopK, KeepsExactlyKEvenWhenAllScoresTieAndTheLowestIndicesThen) {
  const std::vector<Real> ties(37, Real{0.5});
  for (Index k = 0; k <= 37; ++k) {
    std::vector<std::uint32_t> first(k);
    std::iota(first.begin(), first.end(), 0u);
    EXPECT_EQ(top_k(ties, k), first);
  }
}

TEST(TopK, BreaksTiesAtTheThresholdOnlyByIndex) {
  EXPECT_EQ(top_k(std::vector<Real>{1, 2, 1, 3, 1, 1}, 4), (std::vector<std::uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(top_k(std::vector<Real>{0, 0, 5, 0, 5}, 3), (std::vector<std::uint32_t>{0, 2, 4}));
}

TEST(TopK, IsWhatSortingEverythingGives) {
  for (const std::uint64_t distinct : {2u, 10u, 1000000u}) {
    std::vector<Real> scores;
    for (std::uint64_t i = 0; i < 200; ++i)
      scores.push_back(static_cast<Real>(Random(1, "scores").below(i, distinct)) - 3);
    std::vector<std::uint32_t> order(200);
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, std::greater{}, [&](std::uint32_t i) { return scores[i]; });
    for (const Index k : {0, 1, 7, 100, 199, 200}) {
      std::vector<std::uint32_t> expected(order.begin(), order.begin() + k);
      std::ranges::sort(expected);
      EXPECT_EQ(top_k(scores, k), expected) << distinct << ' ' << k;
    }
  }
}

TEST(TopK, TellsApartWhatDiffersInTheLastBitAndTakesBothZerosForEqual) {
  const Real one = 1, above = std::nextafter(one, Real{2}), below = std::nextafter(one, Real{0});
  const std::vector<Real> scores{-0.0,  above, 0.0, -1e-30, one,  1e-30, below, 1e38, -0.0,
                                 -1e38, one,   0.0, -below, -one, above, 3,     -3,   -above};
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, std::greater{}, [&](std::uint32_t i) { return scores[i]; });
  for (std::size_t k = 0; k <= scores.size(); ++k) {
    std::vector<std::uint32_t> expected(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k));
    std::ranges::sort(expected);
    EXPECT_EQ(top_k(scores, static_cast<Index>(k)), expected) << k;
  }
}

TEST(TopK, TakesNoneOrAllWhereKIsOutOfRange) {
  EXPECT_TRUE(top_k(std::vector<Real>{1, 2}, -1).empty());
  EXPECT_EQ(top_k(std::vector<Real>{1, 2}, 3).size(), 2u);
  EXPECT_TRUE(top_k({}, 3).empty());
}

// --- allocations ----------------------------------------------------------------------------------------------------

// Layers of given extents, pruned to a given share, with drawn scores of different scale.
struct Layers {
  std::vector<Parameter> parameters;
  std::vector<std::vector<Real>> scores;

  explicit Layers(const std::vector<std::pair<Index, Index>>& extents, double live = 1) {
    for (const auto& [rows, cols] : extents) {
      Parameter& W = parameters.emplace_back(fmt::format("layer{}", parameters.size() + 1), rows, cols);
      if (live < 1)
        W.become(Pattern::random(rows, cols, static_cast<Index>(std::ceil(live * static_cast<double>(W.positions()))),
                                 Random(1, W.name())),
                 Storage::csr);
      std::vector<Real>& s = scores.emplace_back();
      const Random random(1, "score/" + W.name());
      for (Index i = 0; i < W.nonzeros(); ++i)
        s.push_back(static_cast<Real>(std::abs(random.normal(static_cast<std::uint64_t>(i))) /
                                      std::sqrt(static_cast<double>(cols))));
    }
  }
  std::vector<Scored> scored() const {
    std::vector<Scored> all;
    for (std::size_t l = 0; l < parameters.size(); ++l) all.push_back({&parameters[l], scores[l]});
    return all;
  }
  Index positions() const {
    Index sum = 0;
    for (const Parameter& W : parameters) sum += W.positions();
    return sum;
  }
  Index live() const {
    Index sum = 0;
    for (const Parameter& W : parameters) sum += W.nonzeros();
    return sum;
  }
};

const std::vector<std::pair<Index, Index>> odd_extents = {{30, 78}, {10, 30}, {7, 10}, {31, 17}};

TEST(Allocate, AllButUniformKeepExactlyTheRoundedTotal) {
  for (const double live : {1.0, 0.6})
    for (const Allocation& allocation : std::span(all_allocations).subspan(1)) {
      const Layers layers(odd_extents, live);
      for (double density = 0.05; density <= 1; density += 0.0137) {
        const std::vector<Index> keep = allocate(allocation, layers.scored(), density);
        const Index wanted = std::llround(density * static_cast<double>(layers.positions()));
        EXPECT_EQ(std::accumulate(keep.begin(), keep.end(), Index{0}), std::min(wanted, layers.live()))
            << name_of(allocation) << ' ' << density;
      }
    }
}

TEST(Allocate, UniformRoundsTheSameDensityInEachLayer) {
  const Layers layers(odd_extents);
  for (const double density : {0.02, 0.1, 0.333, 0.5, 1.0}) {
    const std::vector<Index> keep = allocate(Allocation::uniform, layers.scored(), density);
    for (std::size_t l = 0; l < keep.size(); ++l)
      EXPECT_EQ(keep[l], std::llround(density * static_cast<double>(layers.parameters[l].positions())));
  }
}

TEST(Allocate, ErFollowsItsFormula) {
  // Density of a layer = c (in + out) / (in out): counts in proportion to in + out, here 20 : 50.
  const Layers layers({{10, 10}, {20, 30}});
  EXPECT_EQ(allocate(Allocation::er, layers.scored(), 0.3), (std::vector<Index>{60, 150}));
  EXPECT_EQ(allocate(Allocation::er, layers.scored(), 0.1), (std::vector<Index>{20, 50}));
}

TEST(Allocate, ErFillsALayerThatWouldOverflowAndSharesTheExcess) {
  const Layers layers({{10, 10}, {20, 30}});
  EXPECT_EQ(allocate(Allocation::er, layers.scored(), 0.6), (std::vector<Index>{100, 320}));  // not 120 : 300
  EXPECT_EQ(allocate(Allocation::er, layers.scored(), 1.0), (std::vector<Index>{100, 600}));
  // Two layers full one after the other: shares 4, 40, 104 of 0.8 * (4 + 400 + 2480) = 2307 weights.
  const Layers chain({{2, 2}, {20, 20}, {40, 62}});
  EXPECT_EQ(allocate(Allocation::er, chain.scored(), 0.8), (std::vector<Index>{4, 400, 1903}));
}

TEST(Allocate, ErHandsOutWhatRoundingLeftToTheLargestRemainders) {
  // Shares 4 : 5 : 6 of 7 weights: 1.87, 2.33, 2.8 -> 1 + 2 + 2, and the two left go to the first and the third.
  const Layers layers({{2, 2}, {2, 3}, {3, 3}});
  EXPECT_EQ(allocate(Allocation::er, layers.scored(), 7.0 / 19), (std::vector<Index>{2, 2, 3}));
}

TEST(Allocate, GlobalIsWhatSortingAllLayersTogetherGives) {
  for (const double live : {1.0, 0.4}) {
    Layers layers(odd_extents, live);
    layers.scores[2][5] = layers.scores[0][3] = layers.scores[3][1];  // a tie across layers
    std::vector<std::tuple<Real, std::size_t, std::size_t>> all;      // -score, layer, index: ties to the lowest
    for (std::size_t l = 0; l < layers.scores.size(); ++l)
      for (std::size_t i = 0; i < layers.scores[l].size(); ++i) all.emplace_back(-layers.scores[l][i], l, i);
    std::ranges::sort(all);
    for (double density = 0.1; density < live; density += 0.07) {
      std::vector<Index> expected(layers.scores.size(), 0);
      const auto total = static_cast<std::size_t>(std::llround(density * static_cast<double>(layers.positions())));
      for (std::size_t n = 0; n < total; ++n) ++expected[std::get<1>(all[n])];
      EXPECT_EQ(allocate(Allocation::global, layers.scored(), density), expected) << density;
    }
  }
}

TEST(Allocate, NeverKeepsMoreThanIsLive) {
  Layers layers(odd_extents, 0.5);
  // A layer with far less than its share.
  layers.parameters[1].become(Pattern::random(10, 30, 20, Random(1, "few")), Storage::csr);
  layers.scores[1].resize(20);
  for (const Allocation& allocation : all_allocations)
    for (const double density : {0.05, 0.2, 0.4, 0.9}) {
      const std::vector<Index> keep = allocate(allocation, layers.scored(), density);
      for (std::size_t l = 0; l < keep.size(); ++l)
        EXPECT_LE(keep[l], layers.parameters[l].nonzeros()) << name_of(allocation) << ' ' << density;
    }
  // Even if everything is asked for.
  for (const Allocation& allocation : all_allocations) {
    const std::vector<Index> keep = allocate(allocation, layers.scored(), 1);
    for (std::size_t l = 0; l < keep.size(); ++l) EXPECT_EQ(keep[l], layers.parameters[l].nonzeros());
  }
}

TEST(Allocate, KeepsNoLessAtAHigherDensity) {
  const Layers layers(odd_extents);
  for (const Allocation& allocation : all_allocations) {
    // er: largest remainders may take one weight from a layer when the total grows (the Alabama paradox).
    const Index slack = allocation == Allocation::er || allocation == Allocation::erk ? 1 : 0;
    std::vector<Index> before(4, 0);
    for (double density = 0.05; density <= 1; density += 0.003) {
      const std::vector<Index> keep = allocate(allocation, layers.scored(), density);
      for (std::size_t l = 0; l < keep.size(); ++l)
        EXPECT_GE(keep[l] + slack, before[l]) << name_of(allocation) << ' ' << density;
      before = keep;
    }
  }
}

TEST(Allocate, ErkFollowsItsFormulaWhichKnowsTheKernel) {
  // conv: 20 channels of 6 x 3 x 5, grouped or not is all in the columns; linear: as er.
  // (6 + 20 + 3 + 5) / (6 * 20 * 3 * 5) * 1800 = 34, (10 + 24) / 240 * 240 = 34; pointwise: 8 + 7 + 1 + 1 = 17.
  const Layers layers({{20, 6 * 15}, {10, 24}, {7, 8}});
  const Window window{.kernel_height = 3, .kernel_width = 5, .groups = 2}, pointwise{};
  std::vector<Scored> scored = layers.scored();
  scored[0].window = &window;
  scored[2].window = &pointwise;
  EXPECT_EQ(allocate(Allocation::erk, scored, 85.0 / 2096), (std::vector<Index>{34, 34, 17}));
  EXPECT_EQ(allocate(Allocation::erk, scored, 255.0 / 2096), (std::vector<Index>{102, 102, 51}));
  EXPECT_EQ(allocate(Allocation::erk, scored, 396.0 / 2096), (std::vector<Index>{170, 170, 56}));  // the last is full
  // er takes the columns for inputs: 20 + 90 : 34 : 15.
  EXPECT_EQ(allocate(Allocation::er, scored, 159.0 / 2096), (std::vector<Index>{110, 34, 15}));
}

TEST(Allocate, ErkIsErWhereEverythingIsLinear) {
  const Layers layers(odd_extents, 0.6);
  for (const double density : {0.05, 0.3, 0.55})
    EXPECT_EQ(allocate(Allocation::erk, layers.scored(), density), allocate(Allocation::er, layers.scored(), density));
}

TEST(Allocate, LampIsWhatAHandComputes) {
  // score^2 over the sum of those at least as important:
  //   3 1 2 2   9/9  1/18  4/13  4/17       of the tied, the first comes first
  //   30 10 1   900/900  100/1000  1/1001
  Layers layers({{2, 2}, {1, 3}});
  layers.scores = {{3, 1, 2, 2}, {30, 10, 1}};
  const std::vector<Index> expected[] = {{1, 1}, {2, 1}, {3, 1}, {3, 2}, {4, 2}, {4, 3}};
  for (Index total = 2; total <= 7; ++total)
    EXPECT_EQ(allocate(Allocation::lamp, layers.scored(), static_cast<double>(total) / 7), expected[total - 2]);
  // global would have taken 30 and 10 first.
  EXPECT_EQ(allocate(Allocation::global, layers.scored(), 3.0 / 7), (std::vector<Index>{1, 2}));
}

TEST(Allocate, LampLooksAtNoLayersScale) {
  Layers layers(odd_extents);
  const auto at = [&](Allocation::Rule rule, double density) { return allocate(rule, layers.scored(), density); };
  for (const double density : {0.05, 0.2, 0.5}) {
    const std::vector<Index> lamp = at(Allocation::lamp, density), global = at(Allocation::global, density);
    for (Real& score : layers.scores[1]) score *= 2;  // exact
    EXPECT_EQ(at(Allocation::lamp, density), lamp);
    EXPECT_NE(at(Allocation::global, density), global);
    for (Real& score : layers.scores[1]) score /= 2;
  }
}

TEST(Allocate, LampIsGlobalWhereAllLayersHaveTheSameScoresInAnyOrder) {
  Layers layers({{20, 30}, {30, 20}, {60, 10}});
  for (std::size_t i = 0; i < 600; ++i) {
    layers.scores[1][i] = layers.scores[0][599 - i];
    layers.scores[2][i] = layers.scores[0][(i * 7) % 600];
  }
  for (double density = 0.01; density <= 1; density += 0.0137)
    EXPECT_EQ(allocate(Allocation::lamp, layers.scored(), density),
              allocate(Allocation::global, layers.scored(), density));
}

TEST(Allocate, LampLeavesEveryLayerAWeightWhateverTheScoresAre) {
  Layers layers(odd_extents);
  std::ranges::fill(layers.scores[1], Real{0.5});     // all tie
  std::ranges::fill(layers.scores[2], Real{0});       // nothing matters
  std::ranges::fill(layers.scores[3], Real{-1e-3f});  // a criterion with signs
  for (Index total = 4; total < 40; ++total) {
    const auto density = static_cast<double>(total) / static_cast<double>(layers.positions());
    const std::vector<Index> keep = allocate(Allocation::lamp, layers.scored(), density);
    EXPECT_EQ(std::accumulate(keep.begin(), keep.end(), Index{0}), total);
    EXPECT_GE(*std::ranges::min_element(keep), 1);
  }
}

const Allocation given = allocation_named("layer1=0.04,layer2.weight=0.1,layer3=1,layer4=0.25");

TEST(Allocate, GivenDensitiesAreMetInTheEndAndApproachedInStepBefore) {
  const Layers layers(odd_extents);  // 2340, 300, 70, 527 positions
  const double in_the_end = overall_density(given, layers.scored());
  EXPECT_NEAR(in_the_end, (93.6 + 30 + 70 + 131.75) / 3237, 1e-12);
  EXPECT_EQ(allocate(given, layers.scored(), in_the_end), (std::vector<Index>{94, 30, 70, 132}));
  // Half of the way: 0.52, 0.55, 1, 0.625.
  EXPECT_EQ(allocate(given, layers.scored(), (1 + in_the_end) / 2), (std::vector<Index>{1217, 165, 70, 329}));
  EXPECT_EQ(allocate(given, layers.scored(), 1), (std::vector<Index>{2340, 300, 70, 527}));
  EXPECT_EQ(allocate(given, layers.scored(), 0.001), allocate(given, layers.scored(), in_the_end));  // and no further
  const Allocation all = allocation_named("layer1=1,layer2=1,layer3=1,layer4=1");
  EXPECT_EQ(allocate(all, layers.scored(), 1), (std::vector<Index>{2340, 300, 70, 527}));
}

TEST(Allocate, GivenDensitiesMustNameEveryLayerAndNoOther) {
  const Layers layers(odd_extents);
  for (const auto& [text, says] : {std::pair{"layer1=0.1,layer2=0.1,layer3=0.1", "none for layer4"},
                                   std::pair{"layer1=0.1,layer2=0.1,layer3=0.1,layer4=1,fc9=1", "one for fc9"}})
    try {
      overall_density(allocation_named(text), layers.scored());
      ADD_FAILURE() << "expected an error of " << text;
    } catch (const UsageError& error) {
      EXPECT_PRED2(contains, error.what(), says);
      EXPECT_PRED2(contains, error.what(), "layer1, layer2, layer3, layer4");
    }
}

TEST(Allocate, RefusesToLeaveALayerEmptyAndNamesIt) {
  Layers layers(odd_extents);
  std::ranges::fill(layers.scores[2], Real{0});  // last in line for global
  const std::pair<Allocation, double> cases[] = {
      {Allocation::global, 0.2}, {Allocation::uniform, 0.006}, {Allocation::er, 0.0015}, {Allocation::lamp, 0.0006}};
  for (const auto& [allocation, density] : cases) try {
      allocate(allocation, layers.scored(), density);
      ADD_FAILURE() << "expected an error from " << name_of(allocation);
    } catch (const UsageError& error) {
      EXPECT_PRED2(contains, error.what(), name_of(allocation));
      EXPECT_PRED2(contains, error.what(), "layer3 (7 x 10)");
    }
}

TEST(Allocate, RejectsDensitiesOutsideZeroToOne) {
  const Layers layers(odd_extents);
  for (const double density : {0.0, -0.5, 1.5, std::nan("")})
    EXPECT_THROW(allocate(Allocation::global, layers.scored(), density), UsageError) << density;
}

TEST(AllocationNamed, IsTheInverseOfNameOfAndListsTheKnownNames) {
  for (const Allocation& allocation : all_allocations) EXPECT_EQ(allocation_named(name_of(allocation)), allocation);
  try {
    allocation_named("fair");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    for (const Allocation& allocation : all_allocations) EXPECT_PRED2(contains, error.what(), name_of(allocation));
    EXPECT_PRED2(contains, error.what(), "\"fair\"");
  }
}

TEST(AllocationNamed, ReadsDensitiesOfLayers) {
  EXPECT_EQ(given.density_of,
            (std::map<std::string, double>{{"layer1", 0.04}, {"layer2", 0.1}, {"layer3", 1}, {"layer4", 0.25}}));
  EXPECT_EQ(allocation_named(name_of(given)), given);
  for (const char* text : {"fc1=", "=0.1", "fc1=0", "fc1=1.5", "fc1=nan", "fc1=0.1x", "fc1=0.1,", "fc1=0.1,fc2",
                           "fc1=0.1,fc1=0.2", "fc1=0.1,fc1.weight=0.1"})
    EXPECT_THROW(allocation_named(text), UsageError) << text;
}

}  // namespace
}  // namespace espalier
