#include "espalier/optim/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/loader.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/trainer.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::blobs;
using testing::contains;
using testing::dense_values;
using testing::Density;
using testing::expect_close;
using testing::fill_normal;
using testing::pattern_of;

// One weight, in double: w and up to two running averages.
struct Weight {
  double w, first = 0, second = 0;
};

// The textbook, one weight at a time. t counts from 1.
using Reference = void (*)(const OptimizerOptions& o, Weight& x, double g, double rate, double t);

void plain_sgd(const OptimizerOptions& o, Weight& x, double g, double rate, double) {
  x.w -= rate * (g + o.weight_decay * x.w);
}
void momentum(const OptimizerOptions& o, Weight& x, double g, double rate, double) {
  x.first = o.momentum * x.first + (g + o.weight_decay * x.w);
  x.w -= rate * x.first;
}
void nesterov(const OptimizerOptions& o, Weight& x, double g, double rate, double) {
  g += o.weight_decay * x.w;
  x.first = o.momentum * x.first + g;
  x.w -= rate * (g + o.momentum * x.first);
}
double adam_direction(const OptimizerOptions& o, Weight& x, double g, double t) {
  x.first = o.beta1 * x.first + (1 - o.beta1) * g;
  x.second = o.beta2 * x.second + (1 - o.beta2) * g * g;
  const double m = x.first / (1 - std::pow(o.beta1, t)), v = x.second / (1 - std::pow(o.beta2, t));
  return m / (std::sqrt(v) + o.epsilon);
}
void adam(const OptimizerOptions& o, Weight& x, double g, double rate, double t) {
  x.w -= rate * adam_direction(o, x, g + o.weight_decay * x.w, t);
}
void adamw(const OptimizerOptions& o, Weight& x, double g, double rate, double t) {
  const double decay = rate * o.weight_decay * x.w;
  x.w -= decay + rate * adam_direction(o, x, g, t);
}

// A new optimizer is one row here; the catalogue is asked below whether each entry has one.
struct Row {
  const char* name;
  OptimizerOptions options;
  Reference reference;
  std::vector<std::string> slots;
};
std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.name;
}

const Row table[] = {
    {"sgd", {.name = "sgd", .momentum = 0}, plain_sgd, {}},
    {"sgd_decay", {.name = "sgd", .momentum = 0, .weight_decay = 0.1}, plain_sgd, {}},
    {"momentum", {.name = "sgd", .momentum = 0.9}, momentum, {"momentum"}},
    {"momentum_decay", {.name = "sgd", .momentum = 0.8, .weight_decay = 0.1}, momentum, {"momentum"}},
    {"nesterov", {.name = "nesterov", .momentum = 0.9}, nesterov, {"momentum"}},
    {"nesterov_decay", {.name = "nesterov", .momentum = 0.7, .weight_decay = 0.1}, nesterov, {"momentum"}},
    {"adam", {.name = "adam"}, adam, {"adam_m", "adam_v"}},
    {"adam_decay", {.name = "adam", .beta1 = 0.8, .beta2 = 0.99, .weight_decay = 0.1}, adam, {"adam_m", "adam_v"}},
    {"adamw", {.name = "adamw"}, adamw, {"adam_m", "adam_v"}},
    {"adamw_decay", {.name = "adamw", .epsilon = 0.01, .weight_decay = 0.1}, adamw, {"adam_m", "adam_v"}},
};

RowBlock rows_of(const Parameter& W, Index first, Index last) {
  return {first, last, first * W.cols(), last * W.cols()};
}

std::vector<Real> drawn(Index count, std::uint64_t step) {
  std::vector<Real> numbers;
  for (Index i = 0; i < count; ++i)
    numbers.push_back(static_cast<Real>(Random(1, "gradient", step).normal(static_cast<std::uint64_t>(i))));
  return numbers;
}

bool positive_zero(Real x) {
  return x == 0 && !std::signbit(x);
}

// Every array that belongs to W's weights.
std::vector<std::span<const Real>> arrays_of(const Parameter& W) {
  std::vector<std::span<const Real>> arrays{W.value()};
  for (const std::string& name : W.slot_names()) arrays.push_back(W.slot(name));
  return arrays;
}

class OptimizerTable : public ::testing::TestWithParam<Row> {
 protected:
  std::unique_ptr<Optimizer> optimizer = make_optimizer(GetParam().options);

  Parameter prepared(Index rows, Index cols, Role role = Role::weight) const {
    Parameter W("W", rows, cols, role);
    fill_normal(W.value(), W, "value");
    optimizer->prepare(W);
    return W;
  }
};
INSTANTIATE_TEST_SUITE_P(Optimizers, OptimizerTable, ::testing::ValuesIn(table),
                         [](const auto& row) { return testing::test_name(row.param.name); });

TEST_P(OptimizerTable, HasTheNameAndTheSlotsItShould) {
  EXPECT_EQ(optimizer->name(), GetParam().options.name);
  EXPECT_EQ(prepared(2, 2).slot_names(), GetParam().slots);
}

TEST_P(OptimizerTable, PreparingAgainKeepsWhatTheSlotsHold) {
  Parameter W = prepared(2, 2);
  for (const std::string& name : W.slot_names()) W.slot(name)[3] = 7;
  optimizer->prepare(W);
  EXPECT_EQ(W.slot_names(), GetParam().slots);
  for (const std::string& name : W.slot_names()) EXPECT_EQ(W.slot(name)[3], 7);
}

TEST_P(OptimizerTable, MatchesTheTextbookOneWeightAtATimeOverFiveSteps) {
  Parameter W = prepared(7, 9);  // 63 weights: whole vectors and a rest
  std::vector<Weight> reference;
  for (const Real w : W.value()) reference.push_back({static_cast<double>(w)});
  for (Index t = 1; t <= 5; ++t) {
    const std::vector<Real> G = drawn(63, static_cast<std::uint64_t>(t));
    const Real rate = Real{0.1} / static_cast<Real>(t);
    optimizer->update(W, rows_of(W, 0, 7), G, rate, t);
    for (std::size_t i = 0; i < 63; ++i) {
      GetParam().reference(GetParam().options, reference[i], static_cast<double>(G[i]), static_cast<double>(rate),
                           static_cast<double>(t));
      ASSERT_NEAR(W.value()[i], reference[i].w, 100 * testing::epsilon) << "weight " << i << ", step " << t;
    }
  }
}

TEST_P(OptimizerTable, UpdatesBlockByBlockAsItUpdatesTheWhole) {
  Parameter whole = prepared(13, 5), blocks = whole;
  for (Index t = 1; t <= 3; ++t) {
    const std::vector<Real> G = drawn(65, static_cast<std::uint64_t>(t));
    optimizer->update(whole, rows_of(whole, 0, 13), G, Real{0.1}, t);
    for (const auto& [first, last] : {std::pair<Index, Index>{8, 13}, {0, 3}, {3, 8}}) {
      const RowBlock block = rows_of(blocks, first, last);
      optimizer->update(blocks, block, of_block(std::span<const Real>(G), block), Real{0.1}, t);
    }
  }
  const auto a = arrays_of(whole), b = arrays_of(blocks);
  ASSERT_EQ(a.size(), b.size());
  // A weight may be updated in a vector here and alone there, where the compiler does not fuse: a few roundings.
  for (std::size_t i = 0; i < a.size(); ++i) expect_close(a[i], b[i], 8 * testing::epsilon, "array");
}

TEST_P(OptimizerTable, AZeroWeightWithZeroSlotsAndZeroGradientStaysExactlyZero) {
  Parameter W = prepared(5, 13);
  const auto dead = [](std::size_t i) { return i % 3 == 1; };
  for (std::size_t i = 0; i < 65; ++i)
    if (dead(i)) W.value()[i] = 0;
  for (Index t = 1; t <= 20; ++t) {
    std::vector<Real> G = drawn(65, static_cast<std::uint64_t>(t));
    for (std::size_t i = 0; i < 65; ++i)
      if (dead(i)) G[i] = 0;
    optimizer->update(W, rows_of(W, 0, 5), G, Real{0.1}, t);
  }
  for (const auto array : arrays_of(W))
    for (std::size_t i = 0; i < 65; ++i) {
      if (dead(i))
        EXPECT_PRED1(positive_zero, array[i]) << i;
      else
        EXPECT_NE(array[i], 0) << i;
    }
}

TEST_P(OptimizerTable, BiasesDoNotDecay) {
  Parameter weight = prepared(9, 1, Role::weight), bias = prepared(9, 1, Role::bias);
  const std::vector<Real> before(bias.value().begin(), bias.value().end()), G(9, 0);
  optimizer->update(weight, rows_of(weight, 0, 9), G, Real{0.1}, 1);
  optimizer->update(bias, rows_of(bias, 0, 9), G, Real{0.1}, 1);
  EXPECT_TRUE(testing::same_bits(bias.value(), before));
  for (std::size_t i = 0; i < 9; ++i) {
    if (GetParam().options.weight_decay > 0)
      EXPECT_LT(std::abs(weight.value()[i]), std::abs(before[i]));
    else
      EXPECT_EQ(weight.value()[i], before[i]);
  }
}

// --- on a real trainer, in every storage ----------------------------------------------------------------------------

// A small network, one third of whose weights live. tanh, because a ReLU that has died learns no more.
struct Training {
  Sequential model;
  Loader loader{blobs(120), {.batch = 60, .lanes = 16}};
  Trainer trainer;

  Training(const Optimizer& optimizer, Storage storage)
      : trainer(build(model), softmax_cross_entropy, optimizer, {.threads = 1}) {
    for (Parameter* W : trainer.parameters())
      if (W->prunable())
        W->become(Pattern::random(W->rows(), W->cols(), W->positions() / 3, Random(5, W->name())), storage);
  }
  static Module& build(Sequential& empty) {
    return empty.add<Linear>(LinearOptions{.name = "fc1", .in = 12, .out = 16, .activation = Activation::tanh}, 1)
        .add<Linear>(LinearOptions{.name = "fc2", .in = 16, .out = 8, .activation = Activation::tanh}, 1)
        .add<Linear>(LinearOptions{.name = "output", .in = 8, .out = 3}, 1);
  }
  void run(Index steps) {
    for (Index i = 0; i < steps; ++i) trainer.step(loader, i % loader.batches(), 0.01);
  }
};

TEST_P(OptimizerTable, KeepsEveryArrayOfAMaskedParameterExactlyZeroOffThePattern) {
  Training masked(*optimizer, Storage::masked);
  const std::vector<Real> before = dense_values(*masked.trainer.parameters()[0]);
  masked.run(20);
  for (const Parameter* W : masked.trainer.parameters()) {
    if (!W->prunable()) continue;
    const std::vector<std::uint8_t> live = W->pattern()->mask();
    for (const auto array : arrays_of(*W)) {
      ASSERT_EQ(array.size(), live.size());
      for (std::size_t i = 0; i < live.size(); ++i) {
        if (live[i]) continue;
        ASSERT_PRED1(positive_zero, array[i]) << W->name() << " at " << i;
      }
    }
  }
  EXPECT_NE(dense_values(*masked.trainer.parameters()[0]), before);  // it did train
}

TEST_P(OptimizerTable, HasNoNumberForAPrunedWeightInCsrAndTrainsAsMaskedDoes) {
  Training masked(*optimizer, Storage::masked), csr(*optimizer, Storage::csr);
  masked.run(20);
  csr.run(20);
  for (std::size_t p = 0; p < csr.trainer.parameters().size(); ++p) {
    const Parameter &W = *csr.trainer.parameters()[p], &M = *masked.trainer.parameters()[p];
    for (const auto array : arrays_of(W)) EXPECT_EQ(static_cast<Index>(array.size()), W.nonzeros());
    expect_close(dense_values(M), dense_values(W), 1000 * testing::epsilon, W.name().c_str());
  }
}

TEST_P(OptimizerTable, ARevivedWeightStartsAtZeroWithZeroSlotsAndThenLearns) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Training training(*optimizer, storage);
    Parameter& W = *training.trainer.parameters()[0];
    const PatternPtr all = W.pattern();
    std::vector<std::uint8_t> mask = all->mask();
    std::vector<std::size_t> dropped;
    for (std::size_t i = 0; i < mask.size(); ++i)
      if (mask[i] && i % 2 == 0) mask[i] = 0, dropped.push_back(i);
    ASSERT_GT(dropped.size(), 10u);
    const auto check_newborn = [&](bool zero, std::span<const Real> array) {
      W.for_each_weight([&](Index r, Index c, Index at) {
        if (!std::ranges::count(dropped, static_cast<std::size_t>(r * W.cols() + c))) return;
        EXPECT_EQ(array[at] == 0, zero) << name_of(storage) << ' ' << r << ' ' << c;
      });
    };
    training.run(5);
    W.become(Pattern::from_mask(W.rows(), W.cols(), mask), storage);
    training.run(5);
    W.become(all, storage);
    for (const auto array : arrays_of(W)) check_newborn(true, array);
    training.run(10);
    std::size_t moved = 0;  // all but those of units without a single weight to the next layer
    const std::vector<Real> values = dense_values(W);
    for (const std::size_t i : dropped) moved += values[i] != 0;
    EXPECT_GT(moved, dropped.size() * 3 / 4) << name_of(storage);
  }
}

// --- the door -------------------------------------------------------------------------------------------------------

TEST(Optimizers, EachEntryMakesItselfAndHasARowInTheTable) {
  for (const OptimizerEntry& entry : optimizers().entries()) {
    EXPECT_EQ(entry.make(settled(entry.defaults))->name(), entry.name);
    EXPECT_EQ(make_optimizer(entry.defaults)->name(), entry.name);
    EXPECT_FALSE(entry.line.empty()) << entry.name;
    EXPECT_GT(entry.rate, 0) << entry.name;
    if (entry.name == "follow") continue;  // of the test below
    EXPECT_TRUE(std::ranges::any_of(table, [&](const Row& row) { return row.options.name == entry.name; }))
        << entry.name << ": expected a row in the table at the top of this file";
  }
}

TEST(Optimizers, AnUnknownNameListsAll) {
  try {
    make_optimizer({.name = "adagrad"});
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(contains, error.what(), "[optimizer] expected " + optimizers().names());
    EXPECT_PRED2(contains, error.what(), "\"adagrad\"");
  }
}

// w -= rate g
class Follow final : public Optimizer {
 public:
  void prepare(Parameter&) const override {}
  void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index) const override {
    const std::span<Real> w = of_block(W.value(), block);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= rate * G[i];
  }
  std::string name() const override { return "follow"; }
};

TEST(Optimizers, OneFromOutsideTheTreeIsMadeByNameTrainsAndLeavesTheOthersWhereTheyAre) {
  const OptimizerEntry* const adam_before = &optimizers().named("adam");
  if (!optimizers().find("follow"))  // if the test is repeated
    optimizers().add({.name = "follow",
                      .line = "gradient descent, for a test",
                      .defaults = {.name = "follow"},
                      .rate = 0.5,
                      .make = [](const OptimizerOptions&) { return std::make_unique<Follow>(); }});
  EXPECT_EQ(&optimizers().named("adam"), adam_before);
  EXPECT_PRED2(contains, optimizers().names(), "follow");
  EXPECT_THROW(optimizers().add({.name = "adam"}), UsageError);

  const auto follow = make_optimizer({.name = "follow"});
  Training training(*follow, Storage::masked);
  const std::vector<Real> before = dense_values(*training.trainer.parameters()[0]);
  training.run(3);
  EXPECT_NE(dense_values(*training.trainer.parameters()[0]), before);
}

TEST(Optimizers, TheDefaultRateIsTheModelsOnlyForThoseThatFollowIt) {
  const ModelProfile slow{.rate = 0.01}, told{.rate = 0.01, .rates = {{"adamw", 0.0003}}};
  for (const char* name : {"sgd", "nesterov"}) {
    EXPECT_EQ(default_rate(optimizers().named(name), slow), 0.01) << name;
    EXPECT_EQ(default_rate(optimizers().named(name), ModelProfile{}), 0.1) << name;
  }
  for (const char* name : {"adam", "adamw"}) EXPECT_EQ(default_rate(optimizers().named(name), slow), 0.001) << name;
  EXPECT_EQ(default_rate(optimizers().named("adamw"), told), 0.0003);
  EXPECT_EQ(default_rate(optimizers().named("adam"), told), 0.001);
}

TEST(MakeOptimizer, RejectsImpossibleNumbers) {
  const double not_a_number = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const OptimizerOptions wrong[] = {{.momentum = 1},
                                    {.momentum = -0.1},
                                    {.momentum = not_a_number},
                                    {.weight_decay = -1},
                                    {.weight_decay = infinity},
                                    {.name = "adam", .beta1 = 1},
                                    {.name = "adam", .beta1 = -0.1},
                                    {.name = "adam", .beta2 = 1},
                                    {.name = "adam", .beta2 = not_a_number},
                                    {.name = "adam", .epsilon = 0}};
  for (const OptimizerOptions& options : wrong) EXPECT_THROW(make_optimizer(options), UsageError);
}

// A denominator that is 0 in Real would make NaN of 0 / (sqrt(0) + epsilon), and so revive what was pruned.
TEST(MakeOptimizer, RejectsAnEpsilonThatRealRoundsToZero) {
  EXPECT_THROW(make_optimizer({.name = "adam", .epsilon = 1e-320}), UsageError);
  EXPECT_NO_THROW(make_optimizer({.name = "adam", .epsilon = 1e-30}));
}

}  // namespace
}  // namespace espalier
