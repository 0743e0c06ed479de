// Running statistics of a network whose pruning is the last that happens to it.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "consumer/outside.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/optim/recalibrate.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::tool;

Experiment normalised(Schedule schedule, Index epochs = 3) {
  Experiment e = outside::experiment_outside({});
  auto net = std::make_shared<Sequential>("normalised");
  net->add<Linear>(LinearOptions{.name = "fc", .in = 8, .out = 24, .bias = false}, 1)
      .add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 24, .activation = Activation::relu})
      .add<Linear>(LinearOptions{.name = "output", .in = 24, .out = 2}, 1);
  e.model = net;
  e.epochs = epochs;
  e.pruning = prune_by("magnitude", 0.3);
  schedule.density = 0.3;
  e.pruning->options.schedule = schedule;
  return e;
}

std::vector<Real> statistics(Module& model) {
  std::vector<Real> all;
  for (const NamedNumbers& s : state_of(model)) all.insert(all.end(), s.numbers.begin(), s.numbers.end());
  return all;
}

constexpr Schedule at_the_end{.kind = Schedule::Kind::one_shot, .begin = 1, .end = 1},
    in_the_middle{.kind = Schedule::Kind::one_shot, .begin = 0.5, .end = 0.5};

TEST(PrunedLast, StatisticsAreThoseOfThePrunedNetworkOnItsTrainingSamples) {
  Experiment e = normalised(at_the_end);
  const Trained trained = train(e);
  const std::vector<Real> found = statistics(*e.model);
  // The first layer's are means over all training samples of W x: by hand.
  const Parameter& W = *parameters_of(std::as_const(*e.model))[0];
  std::vector<double> mean(24, 0);
  std::vector<Real> x(8);
  for (Index i = 0; i < e.data.train->samples(); ++i) {
    e.data.train->read(i, x);
    W.for_each_weight([&](Index row, Index column, Index at) {
      mean[row] += static_cast<double>(W.value()[at]) * static_cast<double>(x[column]) /
                   static_cast<double>(e.data.train->samples());
    });
  }
  for (std::size_t c = 0; c < 24; ++c) EXPECT_NEAR(found[c], mean[c], 1e-4) << c;
  ASSERT_EQ(trained.notes.size(), 1u);
  EXPECT_PRED2(contains, trained.notes[0], "running statistics were taken anew from the 2000 training samples");
  // Invariant 2 of experiment.h.
  const Loader validation(e.data.validation, {.batch = 100, .lanes = e.lanes, .shuffle = false});
  EXPECT_EQ(Inference(*e.model).evaluate(validation, e.loss).loss, trained.validation.loss);
}

TEST(PrunedLast, TheyCanBeLeftAlone) {
  Experiment anew = normalised(at_the_end), left = normalised(at_the_end);
  left.pruning->recalibrate = false;
  const Trained a = train(anew), b = train(left);
  EXPECT_EQ(outside::weights_of(*anew.model), outside::weights_of(*left.model));
  EXPECT_NE(statistics(*anew.model), statistics(*left.model));
  EXPECT_TRUE(b.notes.empty());
  EXPECT_GT(a.train_flops.executed, b.train_flops.executed) << "it is counted";
}

TEST(PrunedLast, NothingIsTakenAnewWhereStepsFollow) {
  for (const bool recalibrated : {true, false}) {
    Experiment e = normalised(in_the_middle);
    e.pruning->recalibrate = recalibrated;
    EXPECT_TRUE(train(e).notes.empty());
  }
  Experiment a = normalised(in_the_middle), b = normalised(in_the_middle);
  b.pruning->recalibrate = false;
  train(a), train(b);
  EXPECT_EQ(statistics(*a.model), statistics(*b.model));
}

TEST(PrunedLast, DoesNotDependOnThreadsOrOnHowOftenItWasInterrupted) {
  Experiment one = normalised(at_the_end), whole = normalised(at_the_end), rest = normalised(at_the_end);
  one.threads = 1;
  train(one);
  train(whole);
  EXPECT_EQ(statistics(*one.model), statistics(*whole.model));
  const testing::TemporaryFolder folder;
  int asked = 0;
  Experiment piece = normalised(at_the_end);
  EXPECT_THROW(train(piece, {}, {.file = folder.path() / "checkpoint", .stop = [&] { return ++asked > 140; }}),
               InterruptedError);
  train(rest, {}, {.file = folder.path() / "checkpoint"});
  EXPECT_EQ(statistics(*rest.model), statistics(*whole.model));
}

// Of the epoch that is best on validation samples, if that ended with the pruning.
TEST(PrunedLast, CountsTheEpochThatWasChosen) {
  for (const double rate : {1e-12, 0.02, 5.0}) {
    SCOPED_TRACE(rate);
    Experiment e = normalised(in_the_middle, 4);  // at the end of epoch 2
    e.patience = 4;
    e.rate = {.schedule = RateSchedule::constant, .rate = rate};
    const Trained trained = train(e);
    EXPECT_GE(trained.epoch, 2);
    EXPECT_EQ(trained.notes.empty(), trained.epoch != 2) << trained.epoch;
  }
}

TEST(PrunedLast, OfWeightsThatAreGivenItIsSaidAndCanBeTurnedOff) {
  const testing::TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return (folder.path() / name).string(); };
  const Ran trained = tool(
      "train --data synthetic-table --model tabular:16-12+norm --density 1 --epochs 1 --no-dense --out " + path("run"));
  ASSERT_EQ(trained.code, exit_done) << trained.err;
  const std::string again =
      "train --data synthetic-table --init " + path("run") +
      " --model tabular:16-12+norm --epochs 0 --schedule one-shot --begin 0 --end 0 --density 0.2 "
      "--no-dense --out ";
  const Ran anew = tool(again + path("anew")), left = tool(again + path("left") + " --no-recalibrate");
  ASSERT_EQ(anew.code, exit_done) << anew.err;
  ASSERT_EQ(left.code, exit_done) << left.err;
  EXPECT_PRED2(contains, anew.out, "running statistics were taken anew");
  EXPECT_EQ(left.out.find("taken anew"), std::string::npos) << left.out;
  constexpr std::uintmax_t limit = 1 << 20;
  EXPECT_PRED2(contains, read_file(path("left/config.toml"), limit), "recalibrate = false");
  EXPECT_EQ(read_file(path("anew/config.toml"), limit).find("recalibrate"), std::string::npos);
  EXPECT_NE(statistics(*open_network(path("anew")).model), statistics(*open_network(path("left")).model));
}

}  // namespace
}  // namespace espalier
