// Experiments as a project outside would build them: every part is an object, and none is known by name.
#include "espalier/experiment/experiment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "consumer/outside.h"
#include "espalier/core/error.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/optim/inference.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

using namespace outside;

// Invariant 1.
TEST(Experiment, ATrainingOfPartsFromOutsideGoesOnToTheBitsOfOneThatWasNotInterrupted) {
  for (const MethodInfo& method : {by_criterion(), by_hook()}) {
    SCOPED_TRACE(method.name);
    Experiment whole = experiment_outside(method);
    const Trained expected = train(whole);
    EXPECT_NEAR(census_of(*whole.model).density(), 0.3, 0.01);
    EXPECT_GT(expected.test.accuracy, 0.85);

    const testing::TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "checkpoint";
    for (const int stop : {17, 40, 55}) {
      Experiment piece = experiment_outside(method);
      int asked = 0;
      EXPECT_THROW(train(piece, {}, {.file = file, .stop = [&] { return ++asked > stop; }}), InterruptedError);
    }
    Experiment last = experiment_outside(method);
    const Trained resumed = train(last, {}, {.file = file});
    EXPECT_EQ(weights_of(*last.model), weights_of(*whole.model));
    EXPECT_EQ(resumed.test.loss, expected.test.loss);
    EXPECT_EQ(resumed.validation.accuracy, expected.validation.accuracy);

    // The file holds the finished training now.
    Experiment again = experiment_outside(method);
    EXPECT_EQ(train(again, {}, {.file = file, .stop = [] { return true; }}).test.loss, expected.test.loss);
    EXPECT_EQ(weights_of(*again.model), weights_of(*whole.model));
  }
}

// Invariant 4, where the caller knows what the data are.
TEST(Experiment, TakesTheFingerprintOfItsDataFromTheCallerWhoKnowsIt) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint";
  Experiment e = experiment_outside({});
  EXPECT_EQ(train(e).data, 0u);
  EXPECT_EQ(train(e, {}, {.file = file, .data = 7}).data, 7u);
  EXPECT_EQ(train(e, {}, {.file = file, .data = 7}).data, 7u);
  EXPECT_THROW(train(e, {}, {.file = file, .data = 8}), FileError);
  EXPECT_THROW(train(e, {}, {.file = file}), FileError);
  EXPECT_EQ(train(e, {}, {.file = folder.path() / "other"}).data, fingerprint(e.data));
}

// Invariant 2.
TEST(Experiment, SaysOfTheModelWhatScoringItAgainSays) {
  Experiment e = experiment_outside(by_criterion());
  const Trained trained = train(e);
  const Score score =
      Inference(*e.model, 1).score(Loader(e.data.test, {.batch = 64, .lanes = 32, .shuffle = false}), e.loss);
  EXPECT_EQ(score.evaluation.accuracy, trained.test.accuracy);
  EXPECT_EQ(score.metrics.auc, trained.metrics.auc);
}

// Invariant 3.
TEST(Experiment, LooksAtTheTestSamplesOnceAndLast) {
  class Watched final : public Dataset {
   public:
    std::string name() const override { return "watched"; }
    Index samples() const override { return inner_.samples(); }
    Shape shape() const override { return inner_.shape(); }
    Index classes() const override { return inner_.classes(); }
    void read(Index i, std::span<Real> features) const override { ++reads, inner_.read(i, features); }
    std::int32_t label(Index i) const override { return inner_.label(i); }
    mutable std::atomic<int> reads = 0;

   private:
    Quadrants inner_{64, 3};
  };
  const auto watched = std::make_shared<Watched>();
  Experiment e = experiment_outside({});
  e.data.test = watched;
  train(e, {.epoch = [&](const EpochResult&, Index, double) { EXPECT_EQ(watched->reads, 0); }});
  EXPECT_EQ(watched->reads, 64);
}

// A rate so high that accuracy goes up and down.
Experiment restless(const MethodInfo& method) {
  Experiment e = experiment_outside(method);
  e.rate = {.schedule = RateSchedule::constant, .rate = 0.3};
  e.epochs = 30;
  e.patience = 4;
  return e;
}

TEST(Experiment, WithPatienceTheBestEpochAfterPruningCountsAndEndsTheTraining) {
  Experiment e = restless(by_criterion());
  std::vector<Evaluation> seen;
  std::vector<double> densities;
  const Trained trained = train(e, {.epoch = [&](const EpochResult& epoch, Index, double density) {
                                  seen.push_back(epoch.validation);
                                  densities.push_back(density);
                                }});
  ASSERT_GT(trained.epoch, 0);
  EXPECT_EQ(seen.size(), std::min<std::size_t>(trained.epoch + 4, 30));
  EXPECT_LT(seen.size(), 30u) << "it never stops";
  const double final_density = densities.back();
  Index best = 0;
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (densities[i] == final_density && static_cast<double>(i + 1) >= e.pruning->options.schedule.end * 30 &&
        (best == 0 || seen[i].loss < seen[best - 1].loss))  // few samples: the loss decides
      best = static_cast<Index>(i) + 1;
  EXPECT_EQ(trained.epoch, best);
  EXPECT_EQ(trained.validation.loss, seen[best - 1].loss);
  const Score again =
      Inference(*e.model, 1).score(Loader(e.data.validation, {.batch = 64, .lanes = 32, .shuffle = false}), e.loss);
  EXPECT_EQ(again.evaluation.accuracy, trained.validation.accuracy) << "the model is that of the best epoch";
}

TEST(Experiment, WithPatienceAnInterruptedTrainingEndsWithTheSameBits) {
  Experiment whole = restless(by_criterion());
  const Trained expected = train(whole);
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint";
  Trained resumed;
  for (bool done = false; !done;) {
    Experiment piece = restless(by_criterion());
    int asked = 0;
    try {
      resumed = train(piece, {}, {.file = file, .stop = [&] { return ++asked > 23; }});
      done = true;
      EXPECT_EQ(weights_of(*piece.model), weights_of(*whole.model));
    } catch (const InterruptedError&) {
    }
  }
  EXPECT_EQ(resumed.epoch, expected.epoch);
  EXPECT_EQ(resumed.validation.loss, expected.validation.loss);
  EXPECT_EQ(resumed.test.loss, expected.test.loss);
}

TEST(Experiment, TellsItsObserverOfEpochsAndPrunings) {
  Experiment e = experiment_outside(by_hook());
  std::vector<double> densities;
  std::size_t prunings = 0;
  train(e, {.epoch = [&](const EpochResult&, Index, double density) { densities.push_back(density); },
            .pruned = [&](const std::vector<PruneEvent>& events) { prunings += !events.empty(); }});
  EXPECT_EQ(prunings, 3u);
  ASSERT_EQ(densities.size(), 12u);
  EXPECT_TRUE(std::ranges::is_sorted(densities, std::greater{}));
}

TEST(Experiment, SaysWhatIsMissing) {
  Experiment no_loss = experiment_outside({});
  no_loss.loss = nullptr;
  EXPECT_THROW(train(no_loss), UsageError);
  Experiment no_test = experiment_outside({});
  no_test.data.test = nullptr;
  EXPECT_THROW(train(no_test), UsageError);
  Experiment too_sparse = experiment_outside(by_criterion());
  too_sparse.pruning->options.schedule.density = 1e-4;
  EXPECT_THROW(require_possible(too_sparse), UsageError);
}

TEST(Experiment, AMethodIsTakenByNameWithItsOwnDefaults) {
  const Pruning rigl = prune_by("rigl", 0.2);
  EXPECT_EQ(rigl.method.name, "rigl");
  EXPECT_EQ(rigl.options.schedule.density, 0.2);
  EXPECT_EQ(rigl.options.allocation, methods().named("rigl").defaults.allocation);
  EXPECT_EQ(prune_by("edge-popup").options.schedule.density, 0.5);
  EXPECT_THROW(prune_by("no-such-method"), UsageError);
}

// --- results ---------------------------------------------------------------------------------------------------------

Result some_result() {
  const Metrics metrics{.samples = 10, .classes = 3, .accuracy = 0.5, .balanced_accuracy = 0.4, .log_loss = 1.5};
  const SideResult side{.test = metrics,
                        .test_loss = 1.25,
                        .validation = 0.75,
                        .train_seconds = 2,
                        .train_flops = {1000, 900},
                        .parameters = 100,
                        .nonzeros = 40,
                        .effective_nonzeros = 39,
                        .density = 0.3,
                        .forward_flops = {80, 60},
                        .file_bytes = 4096,
                        .mask_entropy_bytes = 12.5,
                        .train_step = {1e-3, 0.9e-3, 1.1e-3},
                        .inference = {2e-4, 1e-4, 3e-4},
                        .latency = {1e-5, 0.5e-5, 2e-5}};
  Result r{
      .dataset = "data",
      .provenance = "drawn",
      .model = "net",
      .method = "magnitude",
      .schedule = "cubic",
      .density = 0.3,
      .seed = 7,
      .threads = 2,
      .lanes = 16,
      .batch = 128,
      .epochs = 3,
      .processor = "a processor",
      .control = "reinit",
      .dense = side,
      .sparse = side,
      .layers = {{"fc.weight", 4, 8, 0.3, "csr", "csr panels", "delta8", {20, 0}, 1e-6}},
      .baselines =
          {{.name = "majority", .test = metrics},
           {.name = "linear", .test = metrics, .parameters = 27, .passes = 2, .solved = true, .train_seconds = 0.5}},
      .surviving_inputs = std::vector<std::string>{"a", "b"},
      .input_columns = 5};
  r.dense->nonzeros = 100;
  r.dense->train_step.median = 4e-3;
  return r;
}

TEST(Result, ComesBackFromJson) {
  const Result r = some_result();
  EXPECT_EQ(to_json(result_of(to_json(r))), to_json(r));
  Result plain = r;
  plain.dense.reset();
  plain.baselines = {{.name = "mean", .test = {.samples = 1, .rmse = 2, .mae = 1, .r2 = 0}},
                     {.name = "linear", .failed = "diverged"}};
  plain.sparse.test = plain.baselines[0].test;
  plain.sparse.validation.reset();
  plain.surviving_inputs.reset();
  plain.control = "none";
  EXPECT_EQ(to_json(result_of(to_json(plain))), to_json(plain));
  EXPECT_EQ(table_of(result_of(to_json(r))), table_of(r));
}

TEST(Result, RatiosAreDenseOverSparseSoThatHigherIsBetter) {
  const Json ratios = ratios_of(some_result());
  EXPECT_DOUBLE_EQ(ratios["parameters"], 100.0 / 40);
  EXPECT_DOUBLE_EQ(ratios["train_step"], 4);
  EXPECT_EQ(ratios.size(), 6u);
  EXPECT_NE(table_of(some_result()).find("4.0x faster"), std::string::npos);
}

}  // namespace
}  // namespace espalier
