#include "datasets/synthetic_images.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "support/text.h"

namespace espalier {
namespace {

constexpr std::size_t features = 3 * 32 * 32;

const Memory& memory(const DatasetPtr& data) {
  return dynamic_cast<const Memory&>(*data);
}

bool same_samples(const DatasetPtr& a, const DatasetPtr& b, Index count) {
  for (Index i = 0; i < count; ++i)
    if (a->label(i) != b->label(i) || !std::ranges::equal(memory(a).bytes(i), memory(b).bytes(i))) return false;
  return true;
}

TEST(SyntheticImages, HaveCifarsShape) {
  const TrainTest data = synthetic_images(20, 10);
  EXPECT_EQ(data.train->samples(), 20);
  EXPECT_EQ(data.test->samples(), 10);
  EXPECT_EQ(data.train->shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(data.test->classes(), 10);
}

TEST(SyntheticImages, SayPlainlyThatTheyAreNoPhotographs) {
  const std::string provenance = synthetic_images(1, 1).provenance;
  EXPECT_PRED2(testing::contains, provenance, "synthetic");
  EXPECT_PRED2(testing::contains, provenance, "not CIFAR");
}

TEST(SyntheticImages, AreIdenticalForOneAndFourThreads) {
  const TrainTest one = synthetic_images(200, 50, 7, 1), four = synthetic_images(200, 50, 7, 4);
  EXPECT_TRUE(same_samples(one.train, four.train, 200));
  EXPECT_TRUE(same_samples(one.test, four.test, 50));
}

TEST(SyntheticImages, MoreSamplesOnlyAppend) {
  const TrainTest few = synthetic_images(20, 10, 7), many = synthetic_images(40, 30, 7);
  EXPECT_TRUE(same_samples(few.train, many.train, 20));
  EXPECT_TRUE(same_samples(few.test, many.test, 10));
}

TEST(SyntheticImages, DifferBetweenSeedsAndBetweenTrainAndTest) {
  const TrainTest data = synthetic_images(20, 20, 1), other = synthetic_images(20, 20, 2);
  EXPECT_FALSE(same_samples(data.train, other.train, 20));
  EXPECT_FALSE(same_samples(data.train, data.test, 20));
}

TEST(SyntheticImages, HaveAboutEquallyManyOfEachClass) {
  const TrainTest data = synthetic_images(5000, 1);
  std::array<int, 10> count{};
  for (Index i = 0; i < 5000; ++i) ++count.at(static_cast<std::size_t>(data.train->label(i)));
  for (const int c : count) {  // 500 expected, a deviation of 21
    EXPECT_GT(c, 400);
    EXPECT_LT(c, 600);
  }
}

TEST(SyntheticImages, ColoursAreAlikeInAllClassesAndChannels) {
  const TrainTest data = synthetic_images(5000, 1);
  std::array<std::array<double, 3>, 10> sum{};
  std::array<double, 10> count{};
  for (Index i = 0; i < 5000; ++i) {
    const auto image = memory(data.train).bytes(i);
    const auto label = static_cast<std::size_t>(data.train->label(i));
    ++count[label];
    for (std::size_t f = 0; f < features; ++f) sum[label][f / 1024] += image[f] / (255.0 * 1024);
  }
  for (std::size_t label = 0; label < 10; ++label)
    for (std::size_t c = 0; c < 3; ++c)  // one image's mean has a deviation of about 0.23, that of 500 about 0.01
      EXPECT_NEAR(sum[label][c] / count[label], 0.5, 0.05) << "class " << label << ", channel " << c;
}

TEST(SyntheticImages, AFigureStandsOutFromItsGround) {
  // The rim is ground, by and large; the pixel that differs most from its mean, noise aside, is figure.
  const TrainTest data = synthetic_images(200, 1);
  int visible = 0;
  for (Index i = 0; i < 200; ++i) {
    const auto image = memory(data.train).bytes(i);
    double farthest = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      const auto mean_of = [&](std::size_t x0, std::size_t y0, std::size_t width, std::size_t height) {
        double sum = 0;
        for (std::size_t y = y0; y < y0 + height; ++y)
          for (std::size_t x = x0; x < x0 + width; ++x) sum += image[c * 1024 + y * 32 + x];
        return sum / static_cast<double>(255 * width * height);
      };
      const double rim = (mean_of(0, 0, 32, 1) + mean_of(0, 31, 32, 1)) / 2;
      for (std::size_t y = 0; y + 2 <= 32; ++y)
        for (std::size_t x = 0; x + 2 <= 32; ++x) farthest = std::max(farthest, std::abs(mean_of(x, y, 2, 2) - rim));
    }
    visible += farthest > 0.2;
  }
  EXPECT_GE(visible, 196);
}

TEST(SyntheticImages, TellALinearModelHardlyAnything) {
  // Nearest class mean, on raw pixels: near chance, for neither a colour nor a place belongs to a class.
  const TrainTest data = synthetic_images(2000, 500);
  std::array<std::vector<double>, 10> mean;
  std::array<double, 10> count{};
  for (auto& m : mean) m.resize(features);
  for (Index i = 0; i < 2000; ++i) {
    const auto image = memory(data.train).bytes(i);
    const auto label = static_cast<std::size_t>(data.train->label(i));
    ++count[label];
    for (std::size_t p = 0; p < features; ++p) mean[label][p] += image[p];
  }
  int right = 0;
  for (Index i = 0; i < 500; ++i) {
    const auto image = memory(data.test).bytes(i);
    std::array<double, 10> distance{};
    for (std::size_t c = 0; c < 10; ++c)
      for (std::size_t p = 0; p < features; ++p) {
        const double d = image[p] - mean[c][p] / count[c];
        distance[c] += d * d;
      }
    right += std::ranges::min_element(distance) - distance.begin() == data.test->label(i);
  }
  EXPECT_LT(right, 125);  // 50 would be chance
}

TEST(SyntheticImages, RejectEmptyParts) {
  EXPECT_THROW(synthetic_images(0, 1), UsageError);
  EXPECT_THROW(synthetic_images(1, -1), UsageError);
}

}  // namespace
}  // namespace espalier
