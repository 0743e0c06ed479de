#include "espalier/datasets/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/datasets/parts.h"

namespace espalier {
namespace {

// Two interleaved half circles, for classification: two features, two classes.
class TwoMoons final : public Dataset {
 public:
  TwoMoons(Index samples, std::uint64_t seed) : samples_(samples), seed_(seed) {}

  std::string name() const override { return "two moons"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return {2}; }
  Index classes() const override { return 2; }
  std::int32_t label(Index i) const override { return static_cast<std::int32_t>(i % 2); }

  void read(Index i, std::span<Real> features) const override {
    const Random random(seed_, "two-moons", 0, static_cast<std::uint64_t>(i));
    const double angle = 3.14159 * random.uniform(0), side = label(i) == 0 ? 1 : -1;
    features[0] = static_cast<Real>(side * std::cos(angle) + (1 - side) / 2 + 0.1 * random.normal(1));
    features[1] = static_cast<Real>(side * std::sin(angle) - side / 4 + 0.1 * random.normal(2));
  }

 private:
  Index samples_;
  std::uint64_t seed_;
};

// y = (x, -x): a set for regression.
class Mirror final : public Dataset {
 public:
  std::string name() const override { return "mirror"; }
  Index samples() const override { return 5; }
  Shape shape() const override { return {1}; }
  Index classes() const override { return 0; }
  Index outputs() const override { return 2; }
  void read(Index i, std::span<Real> features) const override { features[0] = static_cast<Real>(i); }
  void target(Index i, std::span<Real> values) const override {
    values[0] = static_cast<Real>(i);
    values[1] = -values[0];
  }
  TargetScale target_scale() const override { return {.mean = 3, .deviation = 2}; }
};

std::shared_ptr<const ByteSamples> ramp(Index samples) {
  std::vector<std::uint8_t> bytes(samples * 3);
  std::vector<std::int32_t> labels(samples);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i % 256);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 7);
  return std::make_shared<const ByteSamples>("ramp", Shape{3}, 7, std::move(bytes), std::move(labels));
}

std::vector<Real> sample(const Dataset& data, Index i) {
  std::vector<Real> features(data.shape().features());
  data.read(i, features);
  return features;
}

TEST(Dataset, ReadIsAPureFunctionOfTheSampleInvariant1) {
  const TwoMoons moons(10, 1), again(10, 1), other(10, 2);
  for (Index i = 9; i >= 0; --i) EXPECT_EQ(sample(moons, i), sample(again, i));
  EXPECT_NE(sample(moons, 0), sample(other, 0));
}

TEST(Dataset, HasLabelsOrTargetsAndSaysWhichOneIsMissingInvariant3) {
  std::vector<Real> values(2);
  EXPECT_THROW(Mirror().label(0), std::logic_error);
  EXPECT_THROW(ramp(2)->target(0, values), std::logic_error);
  EXPECT_EQ(ramp(2)->outputs(), 0);
}

TEST(ByteSamples, ScalesBytesToTheUnitInterval) {
  const ByteSamples data("two", Shape{2}, 3, {0, 255, 51, 102}, {2, 0});
  EXPECT_EQ(sample(data, 0), (std::vector<Real>{0, 1}));
  EXPECT_EQ(sample(data, 1), (std::vector<Real>{Real{51} / 255, Real{102} / 255}));
  EXPECT_EQ(data.label(0), 2);
  EXPECT_EQ(data.bytes(1)[1], 102);
}

TEST(ByteSamples, RejectsCountsThatDoNotFitAndLabelsOutOfRange) {
  EXPECT_THROW(ByteSamples("short", Shape{2}, 3, {0, 255, 51}, {2, 0}), UsageError);
  EXPECT_THROW(ByteSamples("label", Shape{1}, 3, {0}, {3}), UsageError);
  EXPECT_THROW(ByteSamples("label", Shape{1}, 3, {0}, {-1}), UsageError);
}

TEST(Subset, ReadsTheChosenSamplesInTheGivenOrder) {
  const auto data = ramp(10);
  const Subset subset(data, {7, 2, 2});
  ASSERT_EQ(subset.samples(), 3);
  EXPECT_EQ(sample(subset, 0), sample(*data, 7));
  EXPECT_EQ(sample(subset, 2), sample(*data, 2));
  EXPECT_EQ(subset.label(0), 0);
  EXPECT_EQ(subset.label(1), 2);
  EXPECT_EQ(subset.classes(), 7);
  EXPECT_EQ(subset.name(), "ramp (3 of 10)");
}

TEST(Subset, PassesTargetsThrough) {
  const Subset subset(std::make_shared<Mirror>(), {4});
  std::vector<Real> values(2);
  subset.target(0, values);
  EXPECT_EQ(values, (std::vector<Real>{4, -4}));
  EXPECT_EQ(subset.outputs(), 2);
}

TEST(Dataset, SaysHowItsTargetsWereScaledThroughWhateverIsAroundIt) {
  const auto mirror = std::make_shared<Mirror>();
  const auto part = std::make_shared<Subset>(mirror, std::vector<Index>{1, 2});
  const Standardised standardised(part, {0}, {5});
  for (const Dataset* data : {static_cast<const Dataset*>(mirror.get()), static_cast<const Dataset*>(part.get()),
                              static_cast<const Dataset*>(&standardised)}) {
    EXPECT_EQ(data->target_scale().mean, 3);
    EXPECT_EQ(data->target_scale().deviation, 2);
    EXPECT_EQ(outputs_for(*data), 2);
  }
  EXPECT_EQ(ramp(3)->target_scale().deviation, 1);
  EXPECT_EQ(outputs_for(*ramp(3)), 7);
}

TEST(Subset, RejectsIndicesOutsideTheSet) {
  EXPECT_THROW(Subset(ramp(3), {3}), UsageError);
  EXPECT_THROW(Subset(ramp(3), {-1}), UsageError);
  EXPECT_THROW(Subset(nullptr, {}), UsageError);
}

TEST(Moments, AreThoseOfTheTextbookTwoPassFormula) {
  const TwoMoons data(100, 3);
  double sum = 0, squares = 0;
  for (Index i = 0; i < 100; ++i)
    for (const Real x : sample(data, i)) sum += static_cast<double>(x);
  for (Index i = 0; i < 100; ++i)
    for (const Real x : sample(data, i)) squares += std::pow(static_cast<double>(x) - sum / 200, 2);
  const ChannelMoments m = moments(data);
  ASSERT_EQ(m.mean.size(), 1u);
  ASSERT_EQ(m.deviation.size(), 1u);
  EXPECT_NEAR(m.mean[0], sum / 200, 1e-12);
  EXPECT_NEAR(m.deviation[0], std::sqrt(squares / 200), 1e-12);
}

// Two images of [3, 1, 2] whose channels have nothing in common.
std::shared_ptr<const ByteSamples> three_channels() {
  return std::make_shared<const ByteSamples>("three channels", Shape{3, 1, 2}, 1,
                                             std::vector<std::uint8_t>{0, 0, 0, 51, 255, 255, 0, 255, 51, 0, 255, 204},
                                             std::vector<std::int32_t>{0, 0});
}

TEST(Moments, AreOnesOwnForEachChannelOfAnImage) {
  const ChannelMoments m = moments(*three_channels());
  ASSERT_EQ(m.mean.size(), 3u);
  ASSERT_EQ(m.deviation.size(), 3u);
  EXPECT_NEAR(m.mean[0], 0.25, 1e-7);  // 0 0 | 0 1
  EXPECT_NEAR(m.deviation[0], std::sqrt(0.1875), 1e-7);
  EXPECT_NEAR(m.mean[1], 0.1, 1e-7);  // 0 0.2 | 0.2 0
  EXPECT_NEAR(m.deviation[1], 0.1, 1e-7);
  EXPECT_NEAR(m.mean[2], 0.95, 1e-7);  // 1 1 | 1 0.8
  EXPECT_NEAR(m.deviation[2], std::sqrt(0.0075), 1e-7);
}

TEST(Moments, AreOneForAllFeaturesOfATableAndOfAGreyImage) {
  const std::vector<std::uint8_t> bytes{0, 0, 0, 51, 255, 255};
  EXPECT_EQ(moments(ByteSamples("table", Shape{3, 2}, 1, bytes, {0})).mean.size(), 1u);
  EXPECT_EQ(moments(ByteSamples("grey", Shape{1, 3, 2}, 1, bytes, {0})).mean.size(), 1u);
}

TEST(Moments, RejectAnEmptySet) {
  EXPECT_THROW(moments(Subset(ramp(3), {})), UsageError);
}

TEST(Standardised, TrainingSetHasMeanZeroAndDeviationOne) {
  const auto data = ramp(85);
  const ChannelMoments before = moments(*data);
  const ChannelMoments after = moments(Standardised(data, before.mean, before.deviation));
  EXPECT_NEAR(after.mean[0], 0, 1e-6);
  EXPECT_NEAR(after.deviation[0], 1, 1e-6);
}

TEST(Standardised, EachChannelHasMeanZeroAndDeviationOne) {
  const auto data = three_channels();
  const ChannelMoments before = moments(*data);
  const ChannelMoments after = moments(Standardised(data, before.mean, before.deviation));
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(after.mean[c], 0, 1e-6) << "channel " << c;
    EXPECT_NEAR(after.deviation[c], 1, 1e-6) << "channel " << c;
  }
}

TEST(Standardised, OnePairOfNumbersServesAllChannels) {
  const auto data = three_channels();
  const std::vector<Real> raw = sample(*data, 1);
  std::vector<Real> expected;
  for (const Real x : raw) expected.push_back((x - Real{0.5}) * Real{4});
  EXPECT_EQ(sample(Standardised(data, {0.5}, {0.25}), 1), expected);
}

TEST(Standardised, RejectsAnotherNumberOfMeansThanChannels) {
  EXPECT_THROW(Standardised(three_channels(), {0, 0}, {1, 1}), UsageError);
  EXPECT_THROW(Standardised(three_channels(), {0, 0, 0}, {1}), UsageError);
  EXPECT_THROW(Standardised(ramp(3), {0, 0, 0}, {1, 1, 1}), UsageError);  // [3]: a table, no image
  EXPECT_THROW(Standardised(ramp(3), {}, {}), UsageError);
}

TEST(Standardised, LeavesLabelsAndTargetsAlone) {
  const Standardised data(std::make_shared<Mirror>(), {2}, {4});
  std::vector<Real> values(2);
  data.target(3, values);
  EXPECT_EQ(values, (std::vector<Real>{3, -3}));
  EXPECT_EQ(sample(data, 3), (std::vector<Real>{0.25}));
  EXPECT_EQ(Standardised(ramp(10), {2}, {4}).label(9), 2);
}

TEST(Standardised, RejectsADeviationOfZeroInAnyChannel) {
  EXPECT_THROW(Standardised(ramp(3), {0}, {0}), UsageError);
  EXPECT_THROW(Standardised(ramp(3), {0}, {-1}), UsageError);
  EXPECT_THROW(Standardised(ramp(3), {std::numeric_limits<double>::quiet_NaN()}, {1}), UsageError);
  EXPECT_THROW(Standardised(three_channels(), {0, 0, 0}, {1, 0, 1}), UsageError);
}

std::set<Index> members(const DatasetPtr& part) {
  const auto& indices = dynamic_cast<const Subset&>(*part).indices();
  return {indices.begin(), indices.end()};
}

TEST(Split, PartsAreDisjointAndTogetherComplete) {
  const DataParts parts = split(ramp(100), 30, 1);
  const std::set<Index> train = members(parts.train), validation = members(parts.validation);
  EXPECT_EQ(train.size(), 70u);
  EXPECT_EQ(validation.size(), 30u);
  std::set<Index> all = train;
  all.insert(validation.begin(), validation.end());
  EXPECT_EQ(all.size(), 100u);
}

TEST(Split, DependsOnTheSeedOnly) {
  EXPECT_EQ(members(split(ramp(100), 30, 1).train), members(split(ramp(100), 30, 1).train));
  EXPECT_NE(members(split(ramp(100), 30, 1).train), members(split(ramp(100), 30, 2).train));
}

TEST(Split, IsRandomAndNotTheFirstSamples) {
  const std::set<Index> validation = members(split(ramp(1000), 500, 1).validation);
  const auto early = std::ranges::count_if(validation, [](Index i) { return i < 500; });
  EXPECT_GT(early, 200);
  EXPECT_LT(early, 300);
}

TEST(Split, AllowsNoValidationAtAll) {
  const DataParts parts = split(ramp(10), 0, 1);
  EXPECT_EQ(parts.train->samples(), 10);
  EXPECT_EQ(parts.validation->samples(), 0);
}

TEST(Split, RejectsAValidationSetThatLeavesNothingToTrainOn) {
  EXPECT_THROW(split(ramp(10), 10, 1), UsageError);
  EXPECT_THROW(split(ramp(10), -1, 1), UsageError);
}

}  // namespace
}  // namespace espalier
