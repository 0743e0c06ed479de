// Weights that share values: what clusters must satisfy, and that nothing else is lost.
#include "espalier/layers/weight_sharing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "support/patterns.h"

namespace espalier {
namespace {

Parameter normal_weights(Index rows, Index cols, Storage storage) {
  Parameter W("W", rows, cols);
  const Random random(2, "weights");
  for (Index i = 0; i < W.positions(); ++i)
    W.value()[i] = static_cast<Real>(random.normal(static_cast<std::uint64_t>(i)));
  if (storage != Storage::dense) W.become(testing::pattern_of(rows, cols, testing::Density::half), storage);
  return W;
}

std::vector<Real> live(const Parameter& W) {
  std::vector<Real> values;
  W.for_each_weight([&](Index, Index, Index at) { values.push_back(W.value()[at]); });
  return values;
}

TEST(WeightSharing, EachWeightIsInTheNearestClusterAndEachClusterAtItsMean) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr})
    for (const int bits : {1, 2, 5, 8}) {
      const Parameter W = normal_weights(30, 41, storage);
      const std::vector<Real> values = live(W);
      const Sharing sharing = kmeans_sharing(W, bits);
      ASSERT_LE(sharing.codebook.size(), std::size_t{1} << bits);
      EXPECT_GT(sharing.codebook.size(), (std::size_t{1} << bits) / 2);
      EXPECT_TRUE(std::ranges::is_sorted(sharing.codebook));
      ASSERT_EQ(sharing.codes.size(), values.size());
      std::vector<double> sums(sharing.codebook.size()), counts(sharing.codebook.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const Real own = std::abs(values[i] - sharing.codebook[sharing.codes[i]]);
        for (const Real entry : sharing.codebook) ASSERT_LE(own, std::abs(values[i] - entry) + Real(1e-6));
        sums[sharing.codes[i]] += static_cast<double>(values[i]);
        ++counts[sharing.codes[i]];
      }
      for (std::size_t k = 0; k < sums.size(); ++k)
        EXPECT_NEAR(static_cast<double>(sharing.codebook[k]), sums[k] / counts[k], 1e-5) << bits << " bits";
    }
}

TEST(WeightSharing, FewValuesAreKeptAsTheyAre) {
  Parameter W("W", 4, 5);
  std::iota(W.value().begin(), W.value().end(), Real{0});
  for (Real& w : W.value()) w = std::fmod(w, Real{3}) - 1;
  const std::vector<Real> before = live(W);
  apply(kmeans_sharing(W, 2), W);
  EXPECT_EQ(live(W), before);
  EXPECT_EQ(kmeans_sharing(W, 1).codebook.size(), 2u);
  EXPECT_THROW(kmeans_sharing(W, 0), UsageError);
  EXPECT_THROW(kmeans_sharing(W, 9), UsageError);
  EXPECT_TRUE(kmeans_sharing(Parameter("empty", Pattern::from_positions(3, 3, {})), 4).codebook.empty());
}

TEST(WeightSharing, EqualStepsAreFoundAgainAndMissNoWeightByMoreThanHalfAStep) {
  for (const Real scale : {Real(1), Real(1e-3), Real(0.7071), Real(3e5)}) {
    Parameter W = normal_weights(30, 40, Storage::csr);
    for (Real& w : W.value()) w *= scale;
    const std::vector<Real> before = live(W);
    apply(equal_steps_sharing(W), W);
    const auto sharing = sharing_of(W);
    ASSERT_TRUE(sharing);
    const auto step = step_of(*sharing);
    ASSERT_TRUE(step) << scale;
    const std::vector<Real> after = live(W);
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_LE(std::abs(after[i] - before[i]), *step * Real(0.5001));
      EXPECT_EQ(after[i], *step * static_cast<Real>(steps_in(after[i], *step)));
    }
  }
  Parameter zeroes("W", 3, 3);
  apply(equal_steps_sharing(zeroes), zeroes);
  EXPECT_EQ(live(zeroes), std::vector<Real>(9));
  Parameter clustered = normal_weights(30, 40, Storage::csr);
  apply(kmeans_sharing(clustered, 5), clustered);
  EXPECT_FALSE(step_of(*sharing_of(clustered)));
}

TEST(WeightSharing, IsFoundInWeightsToTheBitUpTo256Values) {
  Parameter W("W", 2, 129);
  std::iota(W.value().begin(), W.value().end(), Real{1});
  EXPECT_FALSE(sharing_of(W));
  W.value()[256] = 0;
  W.value()[257] = -Real{0};
  EXPECT_FALSE(sharing_of(W)) << "0 and -0 have different bits";
  W.value()[255] = W.value()[254] = 0;
  const auto sharing = sharing_of(W);
  ASSERT_TRUE(sharing);
  EXPECT_EQ(sharing->codebook.size(), 256u);
  Parameter again("W", 2, 129);
  apply(*sharing, again);
  for (std::size_t i = 0; i < 258; ++i) {
    EXPECT_EQ(again.value()[i], W.value()[i]);
    EXPECT_EQ(std::signbit(again.value()[i]), std::signbit(W.value()[i]));
  }
}

// A step of gradient descent of weights, and then their mean, is a step of the mean by the sum of the gradients over
// their number.
TEST(WeightSharing, MeansOfWeightsMoveByTheMeanOfTheirGradients) {
  Parameter W = normal_weights(6, 7, Storage::csr);
  Sharing sharing = kmeans_sharing(W, 2);
  apply(sharing, W);
  const std::vector<Real> before = sharing.codebook;
  std::vector<double> gradients(before.size()), counts(before.size());
  for (std::size_t i = 0; i < sharing.codes.size(); ++i) {
    const Real gradient = static_cast<Real>(i % 5) - 1;
    gradients[sharing.codes[i]] += static_cast<double>(gradient);
    ++counts[sharing.codes[i]];
    W.value()[i] -= Real(0.1) * gradient;
  }
  average_shared(sharing, W);
  for (std::size_t k = 0; k < before.size(); ++k)
    EXPECT_NEAR(sharing.codebook[k], static_cast<double>(before[k]) - 0.1 * gradients[k] / counts[k], 1e-6);
  for (std::size_t i = 0; i < sharing.codes.size(); ++i) EXPECT_EQ(W.value()[i], sharing.codebook[sharing.codes[i]]);
}

}  // namespace
}  // namespace espalier
