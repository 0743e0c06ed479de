#include "espalier/optim/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/optim/inference.h"
#include "support/training.h"

namespace espalier {
namespace {

constexpr double as_float = 1e-6;

// Logits of two classes whose difference is the score.
std::vector<Real> scores(const std::vector<Real>& all) {
  std::vector<Real> outputs;
  for (const Real score : all) outputs.insert(outputs.end(), {Real{0}, score});
  return outputs;
}

double auc(const std::vector<Real>& score, const std::vector<std::int32_t>& labels) {
  return classification_metrics(scores(score), labels, 2).auc;
}

TEST(Metrics, AccuracyCountsSamplesAndBalancedAccuracyClasses) {
  // Classes 0 0 0 1, found 0 0 1 0: two of three and none of one.
  const Metrics m = classification_metrics(scores({-1, -2, 1, -1}), std::vector<std::int32_t>{0, 0, 0, 1}, 2);
  EXPECT_EQ(m.samples, 4);
  EXPECT_EQ(m.classes, 2);
  EXPECT_DOUBLE_EQ(m.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(m.balanced_accuracy, (2.0 / 3 + 0) / 2);
}

TEST(Metrics, OfEqualLogitsTheFirstClassIsTheAnswerAsInEvaluate) {
  EXPECT_EQ(classification_metrics(std::vector<Real>{1, 1}, std::vector<std::int32_t>{0}, 2).accuracy, 1);
  EXPECT_EQ(classification_metrics(std::vector<Real>{1, 1}, std::vector<std::int32_t>{1}, 2).accuracy, 0);
}

TEST(Metrics, AucIsTheFractionOfPairsInTheRightOrderTiesCountingHalf) {
  EXPECT_DOUBLE_EQ(auc({1, 2, 3, 4}, {0, 0, 1, 1}), 1);
  EXPECT_DOUBLE_EQ(auc({4, 3, 2, 1}, {0, 0, 1, 1}), 0);
  EXPECT_DOUBLE_EQ(auc({5, 5, 5, 5}, {0, 1, 0, 1}), 0.5);
  // positives 2 3, negatives 1 2 4: 2 > 1, 2 = 2, 2 < 4; 3 > 1, 3 > 2, 3 < 4
  EXPECT_DOUBLE_EQ(auc({2, 1, 3, 2, 4}, {1, 0, 1, 0, 0}), 3.5 / 6);
  EXPECT_TRUE(std::isnan(auc({1, 2}, {1, 1}))) << "no pair";
  EXPECT_TRUE(std::isnan(auc({1, std::numeric_limits<Real>::quiet_NaN()}, {0, 1})));
}

TEST(Metrics, AucOfManyClassesIsTheMeanOfEachAgainstTheRest) {
  // Probabilities in tenths, a row for each sample; its class is 0, 1, 2.
  //   class 0:  its own 5 against 2 and 1: both pairs in the right order     1
  //   class 1:  its own 3 against 4 and 7: none                              0
  //   class 2:  its own 2 against 1 and 5: one                               1/2
  std::vector<Real> logits;
  for (const double p : {5, 4, 1, 2, 3, 5, 1, 7, 2}) logits.push_back(static_cast<Real>(std::log(p / 10)));
  const Metrics m = classification_metrics(logits, std::vector<std::int32_t>{0, 1, 2}, 3);
  EXPECT_DOUBLE_EQ(m.auc, (1 + 0 + 0.5) / 3);
  EXPECT_DOUBLE_EQ(m.accuracy, 1.0 / 3);
}

TEST(Metrics, LogLossIsMinusTheMeanLogOfTheLabelsProbability) {
  const std::vector<Real> logits{0, 0, 0, static_cast<Real>(std::log(3.0))};
  const Metrics m = classification_metrics(logits, std::vector<std::int32_t>{0, 1}, 2);
  EXPECT_NEAR(m.log_loss, (std::log(2) - std::log(0.75)) / 2, as_float);
  EXPECT_NEAR(
      classification_metrics(std::vector<Real>{Real{-1e4f}, Real{1e4f}}, std::vector<std::int32_t>{0}, 2).log_loss, 2e4,
      1e-3)
      << "and does not overflow";
}

TEST(Metrics, ClassesWithoutSamplesDoNotCount) {
  const std::vector<Real> logits{1, 0, 0, 0, 1, 0};
  const Metrics m = classification_metrics(logits, std::vector<std::int32_t>{0, 1}, 3);
  EXPECT_DOUBLE_EQ(m.balanced_accuracy, 1);
  EXPECT_DOUBLE_EQ(m.auc, 1);
}

TEST(Metrics, OfRegressionAreInOriginalUnits) {
  // Errors 1 -1 2 0: squares 6, absolute 4. Targets 0 2 4 2: mean 2, variation 8.
  const std::vector<Real> targets{0, 2, 4, 2}, outputs{1, 1, 6, 2};
  const Metrics m = regression_metrics(outputs, targets, 1, {.mean = 7, .deviation = 10});
  EXPECT_EQ(m.classes, 0);
  EXPECT_NEAR(m.rmse, 10 * std::sqrt(6.0 / 4), as_float);
  EXPECT_DOUBLE_EQ(m.mae, 10);
  EXPECT_DOUBLE_EQ(m.r2, 1 - 6.0 / 8);
}

TEST(Metrics, R2MeasuresEachOutputFromItsOwnMean) {
  // Two outputs, means 1 and 101; variation 2 and 2, errors 1 in all.
  const std::vector<Real> targets{0, 100, 2, 102}, outputs{0, 100, 2, 103};
  EXPECT_DOUBLE_EQ(regression_metrics(outputs, targets, 2).r2, 1 - 1.0 / 4);
  EXPECT_TRUE(std::isnan(regression_metrics(targets, std::vector<Real>{5, 5, 5, 5}, 1).r2)) << "nothing to explain";
}

TEST(Metrics, OfNothingAreUnknown) {
  const Metrics m = classification_metrics({}, {}, 3);
  EXPECT_EQ(m.samples, 0);
  EXPECT_TRUE(std::isnan(m.accuracy));
  EXPECT_TRUE(std::isnan(regression_metrics({}, {}, 1).rmse));
}

TEST(Metrics, RefuseCountsThatDoNotFit) {
  EXPECT_THROW(classification_metrics(std::vector<Real>(5), std::vector<std::int32_t>{0, 1}, 2), UsageError);
  EXPECT_THROW(classification_metrics(std::vector<Real>(2), std::vector<std::int32_t>{2}, 2), UsageError);
  EXPECT_THROW(regression_metrics(std::vector<Real>(4), std::vector<Real>(2), 1), UsageError);
  EXPECT_THROW(metrics_of(std::vector<Real>(3), testing::Surface(2)), UsageError);
}

TEST(Metrics, AConstantReachesTheMajorityAndAnR2OfAboutZero) {
  const DatasetPtr train = testing::blobs(30, 12, 3),
                   skewed = std::make_shared<Subset>(train, std::vector<Index>{0, 1, 3, 4, 6, 2});
  const Metrics m = baseline_metrics(*skewed, *train);  // classes 0 1 0 1 0 2: the first is the most frequent
  EXPECT_DOUBLE_EQ(m.accuracy, 1.0 / 3);
  EXPECT_DOUBLE_EQ(m.balanced_accuracy, 1.0 / 3);
  EXPECT_DOUBLE_EQ(m.auc, 0.5);
  EXPECT_NEAR(m.log_loss, -(std::log(3.0 / 6) + std::log(2.0 / 6) + std::log(1.0 / 6)) / 3, as_float);
  const testing::Surface surface(100);
  EXPECT_NEAR(baseline_metrics(surface, surface).r2, 0, 1e-6);
}

// --- outputs of a whole set ------------------------------------------------------------------------------------------

TEST(Predict, GivesEachSampleItsRowWhateverTheOrderLanesAndThreads) {
  const ModulePtr model = make_model("tabular:8+norm+dropout=0.5", {.input = {4}, .outputs = 2});
  const auto data = std::make_shared<testing::Surface>(37);
  const auto outputs = [&](const LoaderOptions& options, int threads) {
    return Inference(*model, threads).outputs(Loader(data, options));
  };
  const std::vector<Real> expected = outputs({.batch = 37, .lanes = 16, .shuffle = false}, 1);
  ASSERT_EQ(expected.size(), 74u);
  EXPECT_EQ(outputs({.batch = 10, .lanes = 16}, 2), expected);
  EXPECT_EQ(outputs({.batch = 10, .lanes = 32, .poison_padding = true}, 3), expected);
}

TEST(Predict, AgreesWithEvaluate) {
  const ModulePtr classifier = make_model("linear", {.input = {12}, .outputs = 3});
  const DatasetPtr blobs = testing::blobs(50);
  Inference classes(*classifier, 1);
  const Loader loader(blobs, {.batch = 16, .lanes = 16});
  const Evaluation e = classes.evaluate(loader, softmax_cross_entropy);
  const Metrics m = metrics_of(classes.outputs(loader), *blobs);
  EXPECT_EQ(e.classes, 3);
  EXPECT_DOUBLE_EQ(m.accuracy, e.accuracy);
  EXPECT_NEAR(m.log_loss, e.loss, 1e-5);

  const ModulePtr regressor = make_model("linear", {.input = {4}, .outputs = 2});
  const auto surface = std::make_shared<testing::Surface>(50, TargetScale{.mean = 3, .deviation = 20});
  Inference numbers(*regressor, 1);
  const Loader rows(surface, {.batch = 16, .lanes = 16});
  const Evaluation r = numbers.evaluate(rows, mean_squared_error);
  EXPECT_EQ(r.classes, 0);
  EXPECT_NEAR(r.rmse, 20 * std::sqrt(r.loss), 1e-4 * r.rmse) << "in original units";
  EXPECT_NEAR(metrics_of(numbers.outputs(rows), *surface).rmse, r.rmse, 1e-6 * r.rmse);
}

}  // namespace
}  // namespace espalier
