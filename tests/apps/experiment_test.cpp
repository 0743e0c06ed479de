// Experiments as a project outside would build them: every part is an object, and none is known by name.
#include "espalier/experiment/experiment.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "consumer/outside.h"
#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/core/file_calls.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/training_state.h"
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

// Invariants 1 and 5: what a process that is killed before step `stop` leaves behind, its files as they are then.
TEST(Experiment, GoesOnFromWhateverIsLeftAtAnyMomentToTheSameBitsAndFlops) {
  for (const char* name : {"rigl", "snfs", "l0"}) {
    SCOPED_TRACE(name);
    const auto experiment = [&] {
      Experiment e = experiment_outside({});
      e.optimizer = make_optimizer({.name = "adam"});
      e.rate.rate = 0.01;
      e.epochs = 2;
      e.patience = 2;
      e.pruning = prune_by(name, 0.3);
      e.pruning->options.schedule.interval = 10;
      e.pruning->options.schedule.end = 0.3;
      return e;
    };
    Experiment whole = experiment();
    std::vector<double> flops_of_epochs;
    const Observer watching{.epoch = [&](const EpochResult& epoch, Index, double) {
      flops_of_epochs.push_back(static_cast<double>(epoch.flops.executed));
    }};
    const Trained expected = train(whole, watching);
    const std::vector<double> expected_flops = std::exchange(flops_of_epochs, {});

    const testing::TemporaryFolder folder;
    std::filesystem::create_directory(folder.path() / "all");
    Index asked = 0;
    const std::vector<Index> moments{1, 2, 11, 50, 51, 90};
    Experiment kept = experiment();
    train(kept, {},
          {.file = folder.path() / "all" / "checkpoint",
           .stop =
               [&] {
                 if (std::ranges::count(moments, ++asked))
                   std::filesystem::copy(folder.path() / "all", folder.path() / fmt::format("at-{}", asked));
                 return false;
               },
           .every = 1e-9});
    EXPECT_EQ(weights_of(*kept.model), weights_of(*whole.model)) << "checkpoints change nothing";
    for (const Index moment : moments) {
      SCOPED_TRACE(moment);
      Experiment rest = experiment();
      const Trained resumed =
          train(rest, watching, {.file = folder.path() / fmt::format("at-{}", moment) / "checkpoint"});
      EXPECT_EQ(weights_of(*rest.model), weights_of(*whole.model));
      EXPECT_EQ(resumed.train_flops.executed, expected.train_flops.executed);
      EXPECT_EQ(resumed.train_flops.useful, expected.train_flops.useful);
      EXPECT_EQ(resumed.test.loss, expected.test.loss);
      EXPECT_EQ(resumed.epoch, expected.epoch);
      const std::vector<double> found = std::exchange(flops_of_epochs, {});
      ASSERT_LE(found.size(), expected_flops.size());
      EXPECT_TRUE(std::equal(found.rbegin(), found.rend(), expected_flops.rbegin()));
    }
  }
}

TEST(Experiment, SaysHowLongCheckpointsTook) {
  const testing::TemporaryFolder folder;
  Experiment e = experiment_outside({});
  e.epochs = 1;
  EXPECT_EQ(train(e).checkpoint_seconds, 0);
  EXPECT_GT(train(e, {}, {.file = folder.path() / "checkpoint", .every = 1e-9}).checkpoint_seconds, 0);
}

// Invariant 5: an observer that fails ends the training where it can go on, with what it has noted.
TEST(Experiment, AnObserverThatFailsLeavesACheckpoint) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint";
  Experiment whole = experiment_outside(by_criterion());
  train(whole);
  for (const Index bad : {3, 12}) {  // in the middle, at the very end
    Experiment e = experiment_outside(by_criterion());
    Index epochs = 0;
    const Observer failing{.epoch =
                               [&](const EpochResult& epoch, Index, double) {
                                 epochs = epoch.epoch;
                                 if (epoch.epoch == bad) throw FileError("the disk is full");
                               },
                           .noted = [&] { return fmt::format("{}", epochs); }};
    EXPECT_THROW(train(e, failing, {.file = file}), FileError);
    EXPECT_EQ(epochs, bad) << "nothing is trained in vain";
    std::string noted;
    Experiment again = experiment_outside(by_criterion());
    train(again, {.go_on_behind = [&](const std::string& note) { noted = note; }}, {.file = file});
    EXPECT_EQ(noted, fmt::format("{}", bad));
    EXPECT_EQ(weights_of(*again.model), weights_of(*whole.model));
    remove_checkpoint(file);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
}

// A disk on which there is room for two checkpoints.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& checkpoint) : before_(file_calls()) {
    first_ = checkpoint;
    second_ = checkpoint_file(checkpoint, 2);
    file_calls().write = write;
  }
  ~SmallDisk() { file_calls() = before_; }
  static inline bool full = false;  // there is no room at all any more

 private:
  static ssize_t write(int file, const void* bytes, std::size_t count) {
    if (!full && !(std::filesystem::exists(first_) && std::filesystem::exists(second_)))
      return ::write(file, bytes, count);
    errno = ENOSPC;
    return -1;
  }
  static inline std::filesystem::path first_, second_;
  FileCalls before_;
};

// Invariant 5: what was to be replaced makes room for what replaces it, and the newer one stands all the while.
TEST(Experiment, OnADiskWithRoomForTwoCheckpointsATrainingEndsAndIsKept) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint";
  Experiment whole = experiment_outside(by_criterion());
  train(whole);
  const SmallDisk disk(file);
  Experiment e = experiment_outside(by_criterion());
  const Trained trained = train(e, {}, {.file = file, .every = 1e-9});
  EXPECT_EQ(weights_of(*e.model), weights_of(*whole.model));
  EXPECT_EQ(trained.not_kept, "");
  EXPECT_TRUE(std::filesystem::exists(trained.kept_in)) << trained.kept_in;

  remove_checkpoint(file);
  Index asked = 0;
  SmallDisk::full = false;
  const auto fill = [&] {
    SmallDisk::full = ++asked > 30;
    return false;
  };
  Experiment ends = experiment_outside(by_criterion());
  EXPECT_THROW(train(ends, {}, {.file = file, .stop = fill, .every = 1e-9}), FileError);
  SmallDisk::full = false;
  Experiment again = experiment_outside(by_criterion());
  asked = 0;
  train(again, {}, {.file = file, .stop = [&] { return ++asked, false; }});
  EXPECT_EQ(weights_of(*again.model), weights_of(*whole.model));
  EXPECT_GT(asked, 0);
  Experiment done = experiment_outside(by_criterion());
  asked = 0;
  EXPECT_FALSE(train(done, {}, {.file = file, .stop = [&] { return ++asked, false; }}).kept_in.empty());
  EXPECT_EQ(asked, 0) << "it is done";
}

// A checkpoint whose checksum is right, and whose contents are not.
TEST(Experiment, RefusesACheckpointWithAnyNumberThatCannotBe) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint";
  const auto experiment = [] {
    Experiment e = experiment_outside(by_criterion());
    e.patience = 12;
    return e;
  };
  Experiment e = experiment();
  int asked = 0;
  EXPECT_THROW(train(e, {}, {.file = file, .stop = [&] { return ++asked > 590; }}), InterruptedError);
  const std::vector<Parameter*> parameters = parameters_of(*e.model);
  const CheckpointFile kept(file);
  const auto good = nlohmann::json::parse(kept.metadata().at("progress"));
  const auto write = [&](const nlohmann::json& progress) {
    // The best epoch's weights are those of the network: only the numbers matter here.
    const std::vector<CheckpointPart> parts{{.parameters = parameters}, {.name = "best", .parameters = parameters}};
    save_checkpoint(parts, {{"progress", progress.dump()}}, file);
  };
  write(good);
  Experiment sound = experiment();
  EXPECT_NO_THROW(train(sound, {}, {.file = file, .stop = [] { return false; }, .every = 0}));
  const auto flat = good.flatten();
  EXPECT_GT(flat.size(), 40u);
  for (const auto& [key, value] : flat.items()) {
    for (const char* bad : {"-5", "1e300", "1.5", "true", "null"}) {
      if (key == "/data" || key == "/config" || key.starts_with("/noted") || key.starts_with("/notes")) continue;
      nlohmann::json changed = good;
      changed[nlohmann::json::json_pointer(key)] = nlohmann::json::parse(bad);
      remove_checkpoint(file);
      write(changed);
      Experiment other = experiment();
      try {
        const Trained trained = train(other, {}, {.file = file, .stop = [] { return false; }, .every = 0});
        EXPECT_TRUE(std::isfinite(trained.train_seconds)) << key << " " << bad;
      } catch (const FileError& error) {
        EXPECT_TRUE(std::string(error.what()).starts_with(file.string())) << error.what();
      }
    }
  }
  for (const auto& [key, bad] : std::vector<std::pair<const char*, nlohmann::json>>{
           {"round", 1}, {"number", 0}, {"trainer_steps", 3}, {"train_seconds", -1}, {"best_epoch", 13}}) {
    nlohmann::json changed = good;
    changed[key] = bad;
    remove_checkpoint(file);
    write(changed);
    Experiment other = experiment();
    EXPECT_THROW(train(other, {}, {.file = file}), FileError) << key;
  }
}

TEST(Experiment, ShowsTheLastEpochThatEndedWellWhenItDiverges) {
  Experiment e = experiment_outside({});
  std::vector<std::vector<Real>> after_epochs;
  Index shown = 0;
  std::vector<Real> weights;
  e.epochs = 5;
  const Loss sound = e.loss;
  Index epochs = 0;
  e.loss = [&](const Var& z, const Tile& tile) {
    const Var loss = sound(z, tile);
    if (epochs < 3) return loss;
    // From the fourth epoch on not a number.
    for (Index lane = 0; lane < loss.value().valid(); ++lane)
      const_cast<Real*>(loss.value().row(0))[lane] = std::numeric_limits<Real>::quiet_NaN();
    return loss;
  };
  const Observer observer{.epoch =
                              [&](const EpochResult&, Index, double) {
                                ++epochs;
                                after_epochs.push_back(weights_of(*e.model));
                              },
                          .diverged =
                              [&](const Module& model, Index epoch) {
                                shown = epoch;
                                weights = weights_of(model);
                              }};
  EXPECT_THROW(train(e, observer), DivergedError);
  EXPECT_EQ(shown, 3);
  ASSERT_EQ(after_epochs.size(), 3u);
  EXPECT_EQ(weights, after_epochs.back());
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
