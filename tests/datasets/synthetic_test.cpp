// Data that are drawn: one table of generators, and what must hold for each of them. Then what only one of them
// promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/datasets/synthetic_images.h"
#include "espalier/datasets/synthetic_signals.h"
#include "support/text.h"

namespace espalier {
namespace {

struct Generator {
  std::string name;
  std::function<DataParts(Index train, Index test, std::uint64_t seed, int threads)> draw;
  Shape shape;
  Index classes;
  std::vector<std::string> says;       // what it is not
  int fewest_by_means, most_by_means;  // of 500 samples, how many the nearest class mean gets right
};

const Generator generators[] = {
    // learnable, not trivial
    {"digits", synthetic_digits, {1, 28, 28}, 10, {"synthetic", "not handwriting"}, 251, 474},
    // no colour and no place has a class, nor has a moment
    {"images", synthetic_images, {3, 32, 32}, 10, {"synthetic", "not CIFAR"}, 0, 124},
    {"signals", synthetic_signals, {64, 3}, 8, {"measured by nobody"}, 0, 174}};

const ByteSamples& memory(const DatasetPtr& data) {
  return dynamic_cast<const ByteSamples&>(*data);
}

bool same_samples(const DatasetPtr& a, const DatasetPtr& b, Index count) {
  for (Index i = 0; i < count; ++i)
    if (a->label(i) != b->label(i) || !std::ranges::equal(memory(a).bytes(i), memory(b).bytes(i))) return false;
  return true;
}

class Synthetic : public ::testing::TestWithParam<Generator> {
 protected:
  DataParts draw(Index train, Index test, std::uint64_t seed = 7, int threads = 1) const {
    return GetParam().draw(train, test, seed, threads);
  }
};

INSTANTIATE_TEST_SUITE_P(Generators, Synthetic, ::testing::ValuesIn(generators),
                         [](const auto& given) { return given.param.name; });

TEST_P(Synthetic, HasTheShapeOfWhatItStandsFor) {
  const DataParts data = draw(20, 10);
  EXPECT_EQ(data.train->samples(), 20);
  EXPECT_EQ(data.test->samples(), 10);
  EXPECT_EQ(data.train->shape(), GetParam().shape);
  EXPECT_EQ(data.test->classes(), GetParam().classes);
}

TEST_P(Synthetic, SaysPlainlyWhatItIsNot) {
  for (const std::string& words : GetParam().says) EXPECT_PRED2(testing::contains, draw(1, 1).provenance, words);
}

TEST_P(Synthetic, IsIdenticalForAnyNumberOfThreads) {
  const DataParts one = draw(200, 50);
  for (const int threads : {3, 4}) {
    const DataParts several = draw(200, 50, 7, threads);
    EXPECT_TRUE(same_samples(one.train, several.train, 200));
    EXPECT_TRUE(same_samples(one.test, several.test, 50));
  }
}

TEST_P(Synthetic, MoreSamplesOnlyAppend) {
  const DataParts few = draw(20, 10), many = draw(40, 30);
  EXPECT_TRUE(same_samples(few.train, many.train, 20));
  EXPECT_TRUE(same_samples(few.test, many.test, 10));
}

TEST_P(Synthetic, DiffersBetweenSeedsAndBetweenTrainAndTest) {
  const DataParts data = draw(20, 20, 1);
  EXPECT_FALSE(same_samples(data.train, draw(20, 20, 2).train, 20));
  EXPECT_FALSE(same_samples(data.train, data.test, 20));
}

TEST_P(Synthetic, HasAboutEquallyManyOfEachClass) {
  const Index classes = GetParam().classes;
  const DataParts data = draw(500 * classes, 1, 1, 2);
  std::vector<int> count(classes, 0);
  for (Index i = 0; i < 500 * classes; ++i) ++count.at(static_cast<std::size_t>(data.train->label(i)));
  for (const int c : count) {  // 500 expected, a deviation of 21
    EXPECT_GT(c, 400);
    EXPECT_LT(c, 600);
  }
}

// Nearest class mean: the simplest classifier there is, which knows of places and not of shapes.
TEST_P(Synthetic, ClassMeansTellAsMuchAsTheyShould) {
  const DataParts data = draw(2000, 500, 1, 2);
  const DatasetPtr &train = data.train, &test = data.test;
  const auto classes = static_cast<std::size_t>(GetParam().classes), features = memory(train).bytes(0).size();
  std::vector<std::vector<double>> mean(classes, std::vector<double>(features, 0));
  std::vector<double> count(classes, 0);
  for (Index i = 0; i < 2000; ++i) {
    const auto label = static_cast<std::size_t>(train->label(i));
    ++count[label];
    for (std::size_t f = 0; f < features; ++f) mean[label][f] += memory(train).bytes(i)[f];
  }
  int right = 0;
  for (Index i = 0; i < 500; ++i) {
    const auto sample = memory(test).bytes(i);
    std::vector<double> distance(classes, 0);
    for (std::size_t c = 0; c < classes; ++c)
      for (std::size_t f = 0; f < features; ++f) {
        const double d = sample[f] - mean[c][f] / count[c];
        distance[c] += d * d;
      }
    right += std::ranges::min_element(distance) - distance.begin() == test->label(i);
  }
  EXPECT_GE(right, GetParam().fewest_by_means);
  EXPECT_LE(right, GetParam().most_by_means);
}

TEST_P(Synthetic, RejectsEmptyParts) {
  EXPECT_THROW(draw(0, 1), UsageError);
  EXPECT_THROW(draw(1, -1), UsageError);
}

// --- each its own -------------------------------------------------------------------------------------------------

TEST(SyntheticDigits, HaveInkInTheMiddleAndHardlyAnyAtTheRim) {
  const DataParts data = synthetic_digits(500, 1);
  double middle = 0, rim = 0;
  for (Index i = 0; i < 500; ++i) {
    const auto image = memory(data.train).bytes(i);
    for (std::size_t p = 0; p < image.size(); ++p) {
      const std::size_t x = p % 28, y = p / 28;
      const bool inside = x >= 7 && x < 21 && y >= 7 && y < 21, outside = x < 2 || y < 2 || x >= 26 || y >= 26;
      if (inside) middle += image[p] / 255.0 / (500 * 14 * 14);
      if (outside) rim += image[p] / 255.0 / (500 * (28 * 28 - 24 * 24));
    }
  }
  EXPECT_GT(middle, 0.2);
  EXPECT_LT(rim, 0.06);  // noise, mostly
}

TEST(SyntheticImages, ColoursAreAlikeInAllClassesAndChannels) {
  constexpr std::size_t features = 3 * 32 * 32;
  const DataParts data = synthetic_images(5000, 1);
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
  const DataParts data = synthetic_images(200, 1);
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

TEST(SyntheticSignals, AreHardlyEverClipped) {
  const DataParts data = synthetic_signals(500, 1);
  int clipped = 0;
  for (Index i = 0; i < 500; ++i)
    for (const std::uint8_t byte : memory(data.train).bytes(i)) clipped += byte == 0 || byte == 255;
  EXPECT_LT(clipped, 500 * 192 / 1000);
}

}  // namespace
}  // namespace espalier
