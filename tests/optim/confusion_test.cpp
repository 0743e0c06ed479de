#include "espalier/optim/confusion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// Classes 0 0 0 1 2, answered 0 0 1 1 1.
Confusion example() {
  const std::vector<Real> outputs{2, 1, 0, 5, 4, 4, 0, 1, 0, -3, -1, -2, 0, 9, 8};
  return confusion_of(outputs, std::vector<std::int32_t>{0, 0, 0, 1, 2}, 3);
}

TEST(Confusion, CountsAnswersByClass) {
  const Confusion confusion = example();
  EXPECT_EQ(confusion.classes(), 3);
  EXPECT_EQ(confusion.count({0, 0}), 2);
  EXPECT_EQ(confusion.count({0, 1}), 1);
  EXPECT_EQ(confusion.count({1, 1}), 1);
  EXPECT_EQ(confusion.count({2, 1}), 1);
  EXPECT_EQ(confusion.count({2, 2}), 0);
  EXPECT_EQ(confusion.counts().size(), 4u) << "pairs that do not occur take nothing";
}

TEST(Confusion, PrecisionRecallAndF1AreThoseOfTheTextbook) {
  const std::vector<ClassScore> scores = example().by_class();
  EXPECT_EQ(scores[0].rows, 3);
  EXPECT_DOUBLE_EQ(scores[0].recall(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(scores[0].precision(), 1);
  EXPECT_DOUBLE_EQ(scores[0].f1(), 0.8);
  EXPECT_DOUBLE_EQ(scores[1].recall(), 1);
  EXPECT_DOUBLE_EQ(scores[1].precision(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(scores[1].f1(), 0.5);
  EXPECT_DOUBLE_EQ(scores[2].recall(), 0);
  EXPECT_TRUE(std::isnan(scores[2].precision())) << "never answered";
  EXPECT_DOUBLE_EQ(scores[2].f1(), 0);
}

TEST(Confusion, ListsMistakesByFrequency) {
  Confusion confusion = example();
  confusion.add({2, 0}, 4);
  const auto mistakes = confusion.mistakes();
  ASSERT_EQ(mistakes.size(), 3u);
  EXPECT_EQ(mistakes[0].first, (Confusion::Pair{2, 0}));
  EXPECT_EQ(mistakes[0].second, 4);
  EXPECT_EQ(mistakes[1].first, (Confusion::Pair{0, 1})) << "of equal ones the first class first";
}

TEST(Confusion, RefusesClassesThatItDoesNotHave) {
  Confusion confusion(2);
  for (const Confusion::Pair& pair : {Confusion::Pair{2, 0}, {0, 2}, {-1, 0}, {0, -1}})
    EXPECT_THROW(confusion.add(pair), UsageError);
  EXPECT_THROW(confusion_of(std::vector<Real>(5), std::vector<std::int32_t>{0, 1}, 3), UsageError);
}

}  // namespace
}  // namespace espalier
