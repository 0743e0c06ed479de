#include "espalier/datasets/scaling.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

std::vector<Real> written(const Scaling& scaling, double x) {
  std::vector<Real> features(static_cast<std::size_t>(scaling.features()));
  scaling.write(x, features);
  return features;
}
Scaling piecewise(const std::vector<float>& sorted, Index bins) {
  return {.centre = quantile(sorted, 0.5), .scale = 2, .bounded = true, .edges = bin_edges(sorted, bins)};
}
double probability_below(double z) {  // of the normal distribution
  return std::erfc(-z / std::sqrt(2.0)) / 2;
}

// A long tail, and a quarter of the numbers are zero.
std::vector<float> skewed(std::size_t count) {
  const Random random(7, "scaling-test");
  std::vector<float> numbers;
  for (std::size_t i = 0; i < count; ++i)
    numbers.push_back(i % 4 ? static_cast<float>(std::exp(2 * random.normal(i)) - 0.1) : 0);
  std::ranges::sort(numbers);
  return numbers;
}

// Numbers on both sides of the range and all through it.
std::vector<double> probes(const std::vector<float>& sorted) {
  std::vector<double> xs{-std::numeric_limits<float>::max(), sorted.front() - 1.0, sorted.back() + 1.0,
                         std::numeric_limits<float>::max()};
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const auto x = static_cast<double>(sorted[i]);
    xs.push_back(x);
    xs.push_back(std::nextafter(x, -1e300));
    xs.push_back(std::nextafter(x, 1e300));
    if (i > 0) xs.push_back((x + static_cast<double>(sorted[i - 1])) / 2);
  }
  std::ranges::sort(xs);
  return xs;
}

TEST(QuantileScaling, GivesNormalScoresOfRanksAndLinesBetween) {
  const Scaling s = normal_scores(std::vector<float>{1, 2, 2, 5});
  // Below 1, 2 and 5 are 0, 1/4 and 3/4 of the numbers; with half of those that are equal: 1/8, 1/2, 7/8.
  constexpr double seven_eighths = 1.1503493804;
  EXPECT_EQ(s.knots, (std::vector<float>{1, 2, 5}));
  EXPECT_NEAR(written(s, 1)[0], -seven_eighths, 1e-6);
  EXPECT_NEAR(written(s, 2)[0], 0, 1e-6);
  EXPECT_NEAR(written(s, 5)[0], seven_eighths, 1e-6);
  EXPECT_NEAR(written(s, 1.5)[0], -seven_eighths / 2, 1e-6);
  EXPECT_NEAR(written(s, 4)[0], seven_eighths * 2 / 3, 1e-6);
}

TEST(QuantileScaling, PutsEveryTrainingNumberNearThePlaceOfItsRank) {
  for (const std::size_t count : {3, 100, 256, 257, 1000, 20000}) {
    const std::vector<float> sorted = skewed(count);
    const Scaling s = normal_scores(sorted);
    EXPECT_LE(s.knots.size(), static_cast<std::size_t>(most_knots));
    EXPECT_EQ(s.knots.front(), sorted.front());
    EXPECT_EQ(s.knots.back(), sorted.back());
    for (const float x : sorted) {
      const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), x);
      const double middle = static_cast<double>((first - sorted.begin()) + (last - sorted.begin())) / 2;
      // Between two knots is one step of rank at most; those knots have ties of three at most, or no numbers between
      // them. Beyond ±3 is one number in a thousand, on either side.
      const double between = count <= most_knots ? 0 : 4.0 / (most_knots - 1);
      EXPECT_NEAR(probability_below(static_cast<double>(written(s, x)[0])), middle / static_cast<double>(count),
                  between + 0.0014)
          << x << " of " << count;
    }
  }
}

TEST(QuantileScaling, ScoresAreWithinThreeAndDoNotFall) {
  std::vector<std::vector<float>> samples;
  for (const std::size_t count : {3, 255, 256, 257, 511, 100000}) samples.push_back(skewed(count));
  for (const int values : {2, 3, 5, 40, 100, 130, 250}) {  // ties beside ties
    std::vector<float>& sorted = samples.emplace_back();
    for (int i = 0; i < 1000; ++i) sorted.push_back(static_cast<float>(i * values / 1000));
  }
  for (const std::vector<float>& sorted : samples) {
    const Scaling s = normal_scores(sorted);
    ASSERT_EQ(s.scores.size(), s.knots.size());
    EXPECT_LE(s.knots.size(), static_cast<std::size_t>(most_knots));
    EXPECT_GE(s.scores.front(), -most_score);
    EXPECT_LE(s.scores.back(), most_score);
    for (std::size_t k = 1; k < s.knots.size(); ++k) {
      EXPECT_LT(s.knots[k - 1], s.knots[k]);
      EXPECT_LE(s.scores[k - 1], s.scores[k]) << "knot " << k << " of " << sorted.size();
    }
  }
}

TEST(PiecewiseScaling, FillsTheBinsBelowAndAPartOfItsOwn) {
  const Scaling s = piecewise({0, 1, 2, 3, 4, 10, 16, 17, 18}, 4);
  EXPECT_EQ(s.edges, (std::vector<float>{0, 2, 4, 16, 18}));
  const double u = (13 - 4) / 2.0;  // robust: median 4, and a scale of 2
  EXPECT_EQ(written(s, 13), (std::vector<Real>{static_cast<Real>(u / std::sqrt(1 + u * u / 9)), 1, 1, 0.75, 0}));
  EXPECT_EQ(written(s, 4), (std::vector<Real>{0, 1, 1, 0, 0}));
  EXPECT_EQ(written(s, 0.5)[1], Real{0.25});
}

TEST(PiecewiseScaling, FeaturesAddUpToThePlaceAmongTheEdges) {
  const std::vector<float> sorted = skewed(3000);
  for (const Index bins : {least_bins, default_bins, most_bins}) {
    const Scaling s = piecewise(sorted, bins);
    for (const double x : probes(sorted)) {
      const std::vector<Real> features = written(s, x);
      const double place = std::accumulate(features.begin() + 1, features.end(), 0.0);
      const double inside = std::clamp(x, static_cast<double>(s.edges.front()), static_cast<double>(s.edges.back()));
      std::size_t bin = 0;
      while (bin + 2 < s.edges.size() && inside >= static_cast<double>(s.edges[bin + 1])) ++bin;
      const auto low = static_cast<double>(s.edges[bin]), high = static_cast<double>(s.edges[bin + 1]);
      EXPECT_NEAR(place, static_cast<double>(bin) + (inside - low) / (high - low), 1e-6) << x;
      EXPECT_LE(std::ranges::count_if(features.begin() + 1, features.end(), [](Real v) { return v != 0 && v != 1; }),
                1);
    }
  }
}

// All kinds, fitted to the same numbers.
std::vector<Scaling> scalings_of(const std::vector<float>& sorted) {
  return {{},
          {.centre = 3, .scale = 2},
          {.centre = 3, .scale = 2, .bounded = true},
          normal_scores(sorted),
          piecewise(sorted, 16)};
}

TEST(Scaling, NoFeatureFallsWhereTheNumberRises) {
  const std::vector<float> sorted = skewed(2000);
  for (const Scaling& s : scalings_of(sorted)) {
    std::vector<Real> before;
    for (const double x : probes(sorted)) {
      const std::vector<Real> features = written(s, x);
      for (std::size_t f = 0; f < before.size(); ++f) ASSERT_LE(before[f], features[f]) << s.beyond() << ", " << x;
      before = features;
    }
  }
}

TEST(Scaling, WhatIsTreatedAsTheNearestValueIsAnsweredAsThat) {
  const std::vector<float> sorted = skewed(500);
  const auto low = static_cast<double>(sorted.front()), high = static_cast<double>(sorted.back());
  int constant = 0;
  for (const Scaling& s : scalings_of(sorted)) {
    const bool nearest = s.beyond() == "treated as the nearest value of the training part";
    constant += nearest;
    for (const double far : {1.0, 1e3, 1e30, std::numeric_limits<double>::infinity()}) {
      EXPECT_EQ(written(s, low - far) == written(s, low), nearest) << s.beyond();
      EXPECT_EQ(written(s, high + far) == written(s, high), nearest) << s.beyond();
      EXPECT_TRUE(!s.bounded || std::isinf(far) || written(s, high + far)[0] <= 3);
    }
  }
  EXPECT_EQ(constant, 2);
}

TEST(Scaling, HasNoMorePointsThanThereAreNumbers) {
  std::vector<float> three(1000, 2);
  std::fill_n(three.begin(), 100, 1.f);
  three.back() = 9;
  EXPECT_EQ(normal_scores(three).knots, (std::vector<float>{1, 2, 9}));
  EXPECT_EQ(bin_edges(three, 16), (std::vector<float>{1, 2, 9}));
  EXPECT_EQ(bin_edges(std::vector<float>{1, 2}, 2), (std::vector<float>{1, 2}));
  EXPECT_EQ(normal_scores(std::vector<float>{1, 2}).knots, (std::vector<float>{1, 2}));
  // Nine tenths of the numbers are one: it stands in the middle of its ranks, though it is the lowest one.
  std::vector<float> mostly(900, 0);
  for (int i = 1; i <= 100; ++i) mostly.push_back(static_cast<float>(i));
  const Scaling scores = normal_scores(mostly);
  EXPECT_NEAR(probability_below(static_cast<double>(scores.scores.front())), 0.45, 1e-6);
  EXPECT_EQ(scores.knots[1], 1) << "and its neighbour beside them";
  EXPECT_NEAR(probability_below(static_cast<double>(scores.scores[1])), 0.9005, 1e-6);
  const std::vector<float> edges = bin_edges(mostly, 16);
  EXPECT_EQ(edges.size(), 16u) << "0 takes one bin, and the hundred other rows share fifteen";
  EXPECT_EQ(edges[0], 0);
  EXPECT_NEAR(static_cast<double>(edges[1]), 1 + 99 / 15.0, 1e-5);
}

TEST(Scaling, IsChosenByName) {
  EXPECT_EQ(scaling_named("standard").kind, ScalingKind::standard);
  EXPECT_EQ(scaling_named("none").kind, ScalingKind::none);
  EXPECT_EQ(scaling_named("quantile").kind, ScalingKind::quantile);
  EXPECT_EQ(scaling_named("piecewise").bins, default_bins);
  EXPECT_EQ(scaling_named("piecewise:2").bins, 2);
  EXPECT_EQ(scaling_named("piecewise:128").bins, 128);
  EXPECT_EQ(scaling_named("piecewise:128").kind, ScalingKind::piecewise);
  for (const char* name : {"", "Standard", "piecewise:", "piecewise:1", "piecewise:129", "piecewise:-4", "piecewise:8x",
                           "piecewise: 8", "piecewise:8:8", "piecewise:99999999999999999999", "quantile:8", "piecewis"})
    try {
      scaling_named(name);
      ADD_FAILURE() << "accepted \"" << name << "\"";
    } catch (const UsageError& error) {
      EXPECT_PRED2(contains, error.what(),
                   fmt::format("piecewise or piecewise:BINS (of 2 to 128 bins), got \"{}\"", name));
    }
}

}  // namespace
}  // namespace espalier
