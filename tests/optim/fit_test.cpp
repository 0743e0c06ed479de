#include "espalier/optim/fit.h"

#include <gtest/gtest.h>

#include <numeric>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::blobs;
using testing::contains;

// Ten steps per epoch.
struct Fit : ::testing::Test {
  ModulePtr model = make_model("mlp:12-16-3", {.input = {12}, .outputs = 3});
  std::unique_ptr<Optimizer> optimizer = make_optimizer({});
  Trainer trainer{*model, softmax_cross_entropy, *optimizer, {.threads = 1}};
  Loader train{blobs(195), {.batch = 20, .lanes = 16}};
  Loader validation{blobs(50), {.batch = 50, .lanes = 16}};
};

TEST_F(Fit, LowersTheLossAndReportsEveryEpoch) {
  const auto history = fit(trainer, train, &validation, {.epochs = 6, .rate = {.rate = 0.05}});
  ASSERT_EQ(history.size(), 6u);
  for (std::size_t e = 0; e < 6; ++e) {
    EXPECT_EQ(history[e].epoch, static_cast<Index>(e + 1));
    EXPECT_EQ(history[e].samples, 195);
    EXPECT_EQ(history[e].validation.samples, 50);
    EXPECT_GT(history[e].gradient_norm, 0);
    EXPECT_GT(history[e].seconds, 0);
    EXPECT_EQ(history[e].flops.useful, 195u * 2 * (3 * (12 * 16 + 16 * 3) - 12 * 16));
  }
  EXPECT_LT(history[5].train_loss, history[0].train_loss / 2);
  EXPECT_EQ(trainer.steps(), 60);
}

TEST_F(Fit, ReportsTheMeanLossOverSamplesNotOverBatches) {
  // A rate so small that the model stands still: the last batch has 15 samples, the others 20.
  const Evaluation expected = trainer.evaluate(train);
  const auto history = fit(trainer, train, nullptr, {.epochs = 1, .rate = {.rate = 1e-9}});
  EXPECT_NEAR(history[0].train_loss, expected.loss, 1e-5);
}

TEST_F(Fit, EvaluatesNothingWithoutAValidationSet) {
  EXPECT_EQ(fit(trainer, train, nullptr, {.epochs = 1})[0].validation.samples, 0);
}

TEST_F(Fit, CountsRatesFromTheBeginningOfEachCall) {
  const RateOptions rate{.schedule = RateSchedule::cosine, .rate = 0.05, .warmup = 0.2};
  for (const Index epochs : {3, 2}) {
    const auto history = fit(trainer, train, nullptr, {.epochs = epochs, .rate = rate});
    for (Index e = 1; e <= epochs; ++e)
      EXPECT_EQ(history[e - 1].rate, rate_at(rate, 10 * e - 1, 10 * epochs)) << epochs << e;
  }
  EXPECT_EQ(trainer.steps(), 50);
}

TEST_F(Fit, CallsAfterStepWithOneToAllStepsAndAfterEpochOncePerEpoch) {
  std::vector<Index> seen, epochs;
  const auto after_step = [&](Index step, Index steps) {
    EXPECT_EQ(steps, 30);
    EXPECT_EQ(trainer.steps(), step);
    seen.push_back(step);
  };
  fit(trainer, train, &validation,
      {.epochs = 3, .after_step = after_step, .after_epoch = [&](const EpochResult& result) {
         EXPECT_EQ(static_cast<Index>(seen.size()), 10 * result.epoch);
         EXPECT_EQ(result.validation.samples, 50);
         epochs.push_back(result.epoch);
       }});
  std::vector<Index> expected(30);
  std::iota(expected.begin(), expected.end(), 1);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(epochs, (std::vector<Index>{1, 2, 3}));
}

TEST_F(Fit, StopsAfterTheStepInWhichItIsAsked) {
  Index pruned = 0;
  const FitOptions options{.epochs = 2,
                           .label = "sparse",
                           .after_step = [&](Index, Index) { ++pruned; },
                           .after_epoch = nullptr,
                           .stop = [&] { return trainer.steps() == 13; }};
  try {
    fit(trainer, train, nullptr, options);
    FAIL() << "expected an error";
  } catch (const InterruptedError& error) {
    EXPECT_PRED2(contains, error.what(), "step 13 of 20");
    EXPECT_PRED2(contains, error.what(), "sparse");
    EXPECT_EQ(error.code(), exit_interrupted);
  }
  EXPECT_EQ(trainer.steps(), 13);
  EXPECT_EQ(pruned, 13);
}

TEST_F(Fit, ShufflesEachEpochAnew) {
  // The order that the last epoch left behind is epoch 1's, not epoch 0's.
  fit(trainer, train, nullptr, {.epochs = 2});
  Loader expected(blobs(195), {.batch = 20, .lanes = 16});
  expected.start_epoch(1);
  for (Index i = 0; i < 195; ++i) ASSERT_EQ(train.sample(i), expected.sample(i));
}

TEST_F(Fit, WritesNoProgressOfAShortTrainingWhereStderrIsNoTerminal) {
  ::testing::internal::CaptureStderr();  // a file
  fit(trainer, train, &validation, {.epochs = 30, .progress = true});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(Fit, RejectsImpossibleOptionsBeforeTheFirstStep) {
  EXPECT_THROW(fit(trainer, train, nullptr, {.epochs = 0}), UsageError);
  EXPECT_THROW(fit(trainer, train, nullptr, {.rate = {.warmup = 1}}), UsageError);
  EXPECT_EQ(trainer.steps(), 0);
}

}  // namespace
}  // namespace espalier
