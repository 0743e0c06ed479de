// Running statistics through training: merged by the trainer, kept by checkpoints, made anew by recalibrate.
#include "espalier/optim/recalibrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/trainer.h"
#include "support/temporary_folder.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::blobs;

std::unique_ptr<Sequential> normalised_mlp() {
  auto model = std::make_unique<Sequential>();
  model->add<BatchNorm>(BatchNormOptions{.name = "norm0", .channels = 12})
      .add<Linear>(LinearOptions{.name = "fc1", .in = 12, .out = 16, .bias = false}, 1)
      .add<BatchNorm>(BatchNormOptions{.name = "norm1", .channels = 16, .activation = Activation::relu})
      .add<Dropout>("drop", Real{0.25})
      .add<Linear>(LinearOptions{.name = "output", .in = 16, .out = 3}, 1);
  return model;
}

std::vector<Real> state(Module& module) {
  std::vector<Real> all;
  for (const NamedNumbers& array : state_of(module)) all.insert(all.end(), array.numbers.begin(), array.numbers.end());
  return all;
}

struct Training {
  explicit Training(int threads = 1, double clip_norm = 0)
      : trainer(*model, softmax_cross_entropy, *optimizer, {.threads = threads, .clip_norm = clip_norm}) {}
  void steps(Index from, Index to) {
    for (Index s = from; s < to; ++s) trainer.step(loader, s % loader.batches(), 0.05);
  }
  std::unique_ptr<Sequential> model = normalised_mlp();
  std::unique_ptr<Optimizer> optimizer = make_optimizer({.name = "sgd", .momentum = 0.9});
  Loader loader{blobs(150), {.batch = 64, .lanes = 16}};  // batches of 64, 64 and 22: ragged tiles
  Trainer trainer;
};

TEST(RunningStatistics, ANormalisedModelLearnsAndIsEvaluatedWithThem) {
  Training training;
  training.steps(0, 90);
  EXPECT_GT(training.trainer.evaluate(training.loader).accuracy, 0.95);
}

TEST(RunningStatistics, AreTheSameBitsForAnyNumberOfThreads) {
  Training one;
  one.steps(0, 7);
  for (const int threads : {2, 4}) {
    Training more(threads);
    more.steps(0, 7);
    EXPECT_EQ(state(*one.model), state(*more.model));
  }
}

TEST(RunningStatistics, OneStepMovesThemOnceTowardsTheBatch) {
  Training training;
  training.steps(0, 1);
  double mean = 0;
  std::vector<Real> x(12);
  for (Index i = 0; i < 64; ++i) {
    training.loader.data().read(training.loader.sample(i), x);
    mean += static_cast<double>(x[0]) / 64;
  }
  EXPECT_NEAR(state(*training.model)[0], 0.1 * mean, 1e-7);
}

TEST(RunningStatistics, EvaluationLeavesThemAlone) {
  Training training;
  training.steps(0, 2);
  const std::vector<Real> before = state(*training.model);
  training.trainer.evaluate(training.loader);
  training.trainer.inference().infer(training.loader, 0);
  EXPECT_EQ(state(*training.model), before);
}

TEST(RunningStatistics, AStepThatDivergesLeavesThemAlone) {
  for (const double clip_norm : {0.0, 1.0}) {
    Training training(1, clip_norm);
    training.steps(0, 2);
    const std::vector<Real> before = state(*training.model);
    parameters_of(*training.model)[2]->value()[5] = std::numeric_limits<Real>::infinity();
    EXPECT_THROW(training.steps(2, 3), DivergedError);
    EXPECT_EQ(state(*training.model), before);
  }
}

TEST(RunningStatistics, ATrainingResumedFromACheckpointGoesOnToTheSameBits) {
  const testing::TemporaryFolder folder;
  Training through, first, second;
  through.steps(0, 9);
  first.steps(0, 4);
  save_checkpoint(first.trainer.parameters(), {}, folder.path() / "checkpoint", state_of(*first.model));
  load_checkpoint(second.trainer.parameters(), folder.path() / "checkpoint", state_of(*second.model));
  EXPECT_EQ(state(*first.model), state(*second.model));
  second.trainer.resume_at(4);
  second.steps(4, 9);
  EXPECT_EQ(state(*through.model), state(*second.model));
  EXPECT_EQ(testing::bits_of(through.trainer.parameters()), testing::bits_of(second.trainer.parameters()));
}

TEST(RunningStatistics, OfAnotherModelAreRefusedAndChangeNothing) {
  const testing::TemporaryFolder folder;
  BatchNorm saved({.name = "bn", .channels = 4}), other({.name = "bn", .channels = 4});
  std::vector<Real> numbers{1, 2, 3};
  const NamedNumbers wrong{.name = "bn.running_mean", .numbers = numbers};
  save_checkpoint(parameters_of(saved), {}, folder.path() / "checkpoint", std::span(&wrong, 1));
  parameters_of(other)[0]->value()[0] = 7;
  EXPECT_THROW(load_checkpoint(parameters_of(other), folder.path() / "checkpoint", state_of(other)), FileError);
  EXPECT_EQ(parameters_of(other)[0]->value()[0], 7);
  EXPECT_EQ(state(other), (std::vector<Real>{0, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(Recalibrate, GivesTheExactStatisticsWhenOneTileCoversTheData) {
  Training training;
  training.steps(0, 5);  // what is recalibrated had other statistics
  const DatasetPtr data = blobs(150);
  const Loader whole(data, {.batch = 150, .lanes = 160, .shuffle = false});
  recalibrate(*training.model, whole);
  std::vector<Real> x(12);
  std::vector<double> mean(12), variance(12);
  for (const bool second : {false, true})
    for (Index i = 0; i < 150; ++i) {
      data->read(i, x);
      for (std::size_t f = 0; f < 12; ++f) {
        const double v = static_cast<double>(x[f]);
        second ? variance[f] += (v - mean[f]) * (v - mean[f]) / 149 : mean[f] += v / 150;
      }
    }
  for (std::size_t f = 0; f < 12; ++f) {
    EXPECT_NEAR(state(*training.model)[f], mean[f], 1e-6);
    EXPECT_NEAR(state(*training.model)[12 + f], variance[f], 1e-6);
  }
}

TEST(Recalibrate, WeighsBatchesByTheirSamples) {
  // The mean over 64, 64 and 22 samples is the mean over all 150, whatever was there before.
  Training training;
  training.steps(0, 5);
  recalibrate(*training.model, training.loader);
  double mean = 0;
  std::vector<Real> x(12);
  for (Index i = 0; i < 150; ++i) {
    training.loader.data().read(i, x);
    mean += static_cast<double>(x[0]) / 150;
  }
  EXPECT_NEAR(state(*training.model)[0], mean, 1e-6);
}

TEST(Recalibrate, LeavesParametersAloneAndDoesNotDependOnThreads) {
  Training one, four;
  one.steps(0, 3);
  four.steps(0, 3);
  const auto before = testing::bits_of(one.trainer.parameters());
  recalibrate(*one.model, one.loader, {.batches = 2, .threads = 1});
  recalibrate(*four.model, four.loader, {.batches = 2, .threads = 4});
  EXPECT_EQ(testing::bits_of(one.trainer.parameters()), before);
  EXPECT_EQ(state(*one.model), state(*four.model));
}

TEST(Recalibrate, BringsBackAModelWhoseWeightsWereScaled) {
  Training training;
  training.steps(0, 90);
  const double trained = training.trainer.evaluate(training.loader).accuracy;
  for (Real& w : parameters_of(*training.model)[2]->value()) w /= 50;  // norm1 divides by less, once it knows
  EXPECT_LT(training.trainer.evaluate(training.loader).accuracy, 0.8);
  recalibrate(*training.model, training.loader);
  EXPECT_GE(training.trainer.evaluate(training.loader).accuracy, trained - 0.03);
}

TEST(Recalibrate, RefusesImpossibleOptions) {
  Training training;
  EXPECT_THROW(recalibrate(*training.model, training.loader, {.batches = -1}), UsageError);
  EXPECT_THROW(recalibrate(*training.model, training.loader, {.threads = 0}), UsageError);
}

}  // namespace
}  // namespace espalier
