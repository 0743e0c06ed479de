#include "datasets/synthetic_digits.h"

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

const Memory& memory(const DatasetPtr& data) {
  return dynamic_cast<const Memory&>(*data);
}

bool same_samples(const DatasetPtr& a, const DatasetPtr& b, Index count) {
  for (Index i = 0; i < count; ++i)
    if (a->label(i) != b->label(i) || !std::ranges::equal(memory(a).bytes(i), memory(b).bytes(i))) return false;
  return true;
}

TEST(SyntheticDigits, HaveMnistsShape) {
  const TrainTest data = synthetic_digits(20, 10);
  EXPECT_EQ(data.train->samples(), 20);
  EXPECT_EQ(data.test->samples(), 10);
  EXPECT_EQ(data.train->shape(), (Shape{1, 28, 28}));
  EXPECT_EQ(data.test->classes(), 10);
}

TEST(SyntheticDigits, SayPlainlyThatTheyAreNotHandwriting) {
  const std::string provenance = synthetic_digits(1, 1).provenance;
  EXPECT_PRED2(testing::contains, provenance, "synthetic");
  EXPECT_PRED2(testing::contains, provenance, "not handwriting");
}

TEST(SyntheticDigits, AreIdenticalForOneAndThreeThreads) {
  const TrainTest one = synthetic_digits(200, 50, 7, 1), three = synthetic_digits(200, 50, 7, 3);
  EXPECT_TRUE(same_samples(one.train, three.train, 200));
  EXPECT_TRUE(same_samples(one.test, three.test, 50));
}

TEST(SyntheticDigits, MoreSamplesOnlyAppend) {
  const TrainTest few = synthetic_digits(20, 10, 7), many = synthetic_digits(40, 30, 7);
  EXPECT_TRUE(same_samples(few.train, many.train, 20));
  EXPECT_TRUE(same_samples(few.test, many.test, 10));
}

TEST(SyntheticDigits, DifferBetweenSeedsAndBetweenTrainAndTest) {
  const TrainTest data = synthetic_digits(20, 20, 1), other = synthetic_digits(20, 20, 2);
  EXPECT_FALSE(same_samples(data.train, other.train, 20));
  EXPECT_FALSE(same_samples(data.train, data.test, 20));
}

TEST(SyntheticDigits, HaveAboutEquallyManyOfEachClass) {
  const TrainTest data = synthetic_digits(5000, 1);
  std::array<int, 10> count{};
  for (Index i = 0; i < 5000; ++i) ++count.at(static_cast<std::size_t>(data.train->label(i)));
  for (const int c : count) {  // 500 expected, a deviation of 21
    EXPECT_GT(c, 400);
    EXPECT_LT(c, 600);
  }
}

TEST(SyntheticDigits, HaveInkInTheMiddleAndHardlyAnyAtTheRim) {
  const TrainTest data = synthetic_digits(500, 1);
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

TEST(SyntheticDigits, AreLearnableAndNotTrivially) {
  // Nearest class mean, the simplest classifier there is: far above chance, far below what a network reaches.
  const TrainTest data = synthetic_digits(2000, 500);
  std::array<std::vector<double>, 10> mean;
  std::array<double, 10> count{};
  for (auto& m : mean) m.resize(784);
  for (Index i = 0; i < 2000; ++i) {
    const auto image = memory(data.train).bytes(i);
    const auto label = static_cast<std::size_t>(data.train->label(i));
    ++count[label];
    for (std::size_t p = 0; p < 784; ++p) mean[label][p] += image[p];
  }
  int right = 0;
  for (Index i = 0; i < 500; ++i) {
    const auto image = memory(data.test).bytes(i);
    std::array<double, 10> distance{};
    for (std::size_t c = 0; c < 10; ++c)
      for (std::size_t p = 0; p < 784; ++p) distance[c] += std::pow(image[p] - mean[c][p] / count[c], 2);
    right += std::ranges::min_element(distance) - distance.begin() == data.test->label(i);
  }
  EXPECT_GT(right, 250);
  EXPECT_LT(right, 475);
}

TEST(SyntheticDigits, RejectEmptyParts) {
  EXPECT_THROW(synthetic_digits(0, 1), UsageError);
  EXPECT_THROW(synthetic_digits(1, -1), UsageError);
}

}  // namespace
}  // namespace espalier
