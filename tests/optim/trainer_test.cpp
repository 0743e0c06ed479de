#include "espalier/optim/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/models.h"
#include "espalier/layers/sequential.h"
#include "support/allocation_counter.h"
#include "support/numbers.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::bits_of;
using testing::blobs;
using testing::contains;
using testing::Surface;

DatasetPtr digits() {
  static const DatasetPtr train = synthetic_digits(600, 100).train;
  return train;
}

std::unique_ptr<Optimizer> sgd(double momentum = 0.9) {
  return make_optimizer({.name = "sgd", .momentum = momentum});
}

ModulePtr tiny_mlp() {
  return make_model("mlp:12-16-8-3", {.input = {12}, .outputs = 3});
}

Parameter& parameter_named(Trainer& trainer, const std::string& name) {
  return **std::ranges::find(trainer.parameters(), name, &Parameter::name);
}

TEST(Trainer, LossFallsAndAccuracyRisesOnDigits) {
  const ModulePtr model = make_model("mlp:784-64-10", {.input = {1, 28, 28}, .outputs = 10});
  const auto optimizer = sgd();
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1});
  Loader loader(digits(), {.batch = 64, .lanes = 32});
  const Evaluation before = trainer.evaluate(loader);
  for (Index epoch = 0; epoch < 5; ++epoch) {
    loader.start_epoch(epoch);
    for (Index b = 0; b < loader.batches(); ++b) trainer.step(loader, b, 0.05);
  }
  const Evaluation after = trainer.evaluate(loader);
  EXPECT_NEAR(before.loss, std::log(10.0), 1.0);
  EXPECT_LT(after.loss, before.loss / 3);
  EXPECT_LT(before.accuracy, 0.3);
  EXPECT_GT(after.accuracy, 0.85);
  EXPECT_EQ(trainer.steps(), 50);
}

TEST(Trainer, FitsATargetWithMeanSquaredErrorAndItsRmseIsTheRootOfTheLoss) {
  const ModulePtr model = make_model("mlp:4-32-2", {.input = {4}, .outputs = 2});
  const auto optimizer = make_optimizer({.name = "adam"});
  Trainer trainer(*model, mean_squared_error, *optimizer, {.threads = 1});
  Loader loader(std::make_shared<Surface>(200), {.batch = 50, .lanes = 16});
  const Evaluation before = trainer.evaluate(loader);
  for (Index i = 0; i < 400; ++i) trainer.step(loader, i % loader.batches(), 0.01);
  const Evaluation after = trainer.evaluate(loader);
  EXPECT_LT(after.rmse, before.rmse / 4);
  for (const Evaluation& e : {before, after}) {
    EXPECT_NEAR(e.rmse, std::sqrt(e.loss), 1e-5 * e.rmse);
    EXPECT_EQ(e.accuracy, 0);
    EXPECT_EQ(e.samples, 200);
  }
}

// --- probes and latents ---------------------------------------------------------------------------------------------

TEST(Trainer, GradientsAreWhatAStepOfPlainDescentSubtractsAndLeaveEverythingAsItWas) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr model = make_model("mlp:12-20-3", {.input = {12}, .outputs = 3});
    const auto optimizer = make_optimizer({.momentum = 0});
    Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2});
    Parameter& W = parameter_named(trainer, "fc1.weight");
    if (storage != Storage::dense) W.become(Pattern::random(20, 12, 60, Random(1, "live")), storage);
    const Loader loader(blobs(40), {.batch = 32, .lanes = 16});
    const auto before = bits_of(trainer.parameters());
    const auto gradients = trainer.gradients(loader, 0);
    EXPECT_EQ(bits_of(trainer.parameters()), before);
    EXPECT_EQ(trainer.steps(), 0);
    constexpr double rate = 0.25;
    trainer.step(loader, 0, rate);
    const auto after = bits_of(trainer.parameters());
    ASSERT_EQ(gradients.size(), trainer.parameters().size());
    for (std::size_t p = 0; p < gradients.size(); ++p) {
      ASSERT_EQ(gradients[p].size(), before[2 * p].size());
      for (std::size_t n = 0; n < gradients[p].size(); ++n)
        EXPECT_NEAR(before[2 * p][n] - after[2 * p][n], static_cast<Real>(rate) * gradients[p][n], 1e-6);
    }
  }
}

TEST(Trainer, CountsTheWorkOfProbesWithTheNextStep) {
  const ModulePtr model = make_model("mlp:12-20-3", {.input = {12}, .outputs = 3});
  const auto optimizer = sgd();
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1});
  const Loader loader(blobs(32), {.batch = 32, .lanes = 16});
  const Flops one = trainer.step(loader, 0, 0.1).flops;
  trainer.gradients(loader, 0);
  EXPECT_EQ(trainer.step(loader, 0, 0.1).flops.executed, 2 * one.executed);
  EXPECT_EQ(trainer.step(loader, 0, 0.1).flops.executed, one.executed);
  trainer.gradients(loader, 0);
  EXPECT_EQ(trainer.take_probe_flops().executed, one.executed);
  EXPECT_EQ(trainer.take_probe_flops().executed, 0u);
}

TEST(Trainer, ExamineShowsTheTilesOfABatchInOrder) {
  const ModulePtr model = make_model("mlp:12-20-3", {.input = {12}, .outputs = 3});
  const auto optimizer = sgd();
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 3});
  const Loader loader(blobs(40), {.batch = 40, .lanes = 16});
  std::vector<Index> first;
  trainer.examine(loader, 0, [&](const Tape& tape) {
    first.push_back(tape.first_sample());
    ASSERT_EQ(tape.nodes(), 3u);  // the input and two layers
    EXPECT_EQ(tape.node(1).parameters[0]->name(), "fc1.weight");
    EXPECT_EQ(tape.node(1).value.features(), 20);
  });
  EXPECT_EQ(first, (std::vector<Index>{0, 16, 32}));
}

// W = 2 v, where v is trained by plain descent with dL/dv = 2 dL/dW.
class Doubled final : public Latents {
 public:
  explicit Doubled(Parameter& W) : W_(W), v_("v", W.rows(), W.cols()) {
    for (std::size_t n = 0; n < v_.value().size(); ++n) v_.value()[n] = W.value()[n] / 2;
  }
  void derive(Mode, Index) override {
    for (std::size_t n = 0; n < v_.value().size(); ++n) W_.value()[n] = 2 * v_.value()[n];
  }
  bool update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index) override {
    if (&W != &W_) return false;
    for (std::size_t n = 0; n < G.size(); ++n) v_.value()[static_cast<std::size_t>(block.first) + n] -= rate * 2 * G[n];
    return true;
  }
  void finish(Real, Index step) override { finished = step; }
  Index finished = 0;

 private:
  Parameter& W_;
  Parameter v_;
};

TEST(Trainer, LatentsTakeTheOptimizersPlaceForTheWeightsTheyDeriveAndForNoOthers) {
  // dW = 2 dv = 4 rate G: as plain descent on W with four times the rate; the other layers move at the rate itself.
  const auto optimizer = make_optimizer({.momentum = 0});
  const Loader loader(blobs(40), {.batch = 40, .lanes = 16});
  const ModulePtr model = make_model("mlp:12-20-3", {.input = {12}, .outputs = 3});
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2});
  Parameter& W = parameter_named(trainer, "fc1.weight");
  const auto gradients = trainer.gradients(loader, 0);
  const auto before = bits_of(trainer.parameters());
  Doubled doubled(W);
  trainer.derive_weights(&doubled);
  trainer.step(loader, 0, 0.125);
  EXPECT_EQ(doubled.finished, 1);
  doubled.derive(Mode::evaluation, 1);
  trainer.derive_weights(nullptr);
  const auto after = bits_of(trainer.parameters());
  for (std::size_t p = 0; p < gradients.size(); ++p)
    for (std::size_t n = 0; n < gradients[p].size(); ++n)
      EXPECT_NEAR(before[2 * p][n] - after[2 * p][n],
                  gradients[p][n] * (trainer.parameters()[p] == &W ? Real{0.5} : Real{0.125}), 1e-6);
}

// --- packed for latency ---------------------------------------------------------------------------------------------

TEST(Trainer, Invariant5OfParametersTrainingAfterPackingTrainsAndInfersWithTheNewWeights) {
  // Two steps of one lane, two threads: were a packed copy used or dropped at the wrong time, bits would differ.
  const auto trained = [](bool pack, double clip_norm) {
    const ModulePtr model = make_model("mlp:128-96-3", {.input = {128}, .outputs = 3, .density = 0.5});
    const auto optimizer = sgd();
    Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2, .clip_norm = clip_norm});
    const Loader loader(blobs(8, 128), {.batch = 4, .lanes = 1});
    for (Index b = 0; b < 2; ++b) {
      if (pack) prepare_for_latency(*model);
      trainer.step(loader, b, 0.1);
      for (const Parameter* W : trainer.parameters()) EXPECT_TRUE(W->packed().empty()) << W->name();
    }
    const double unpacked = trainer.evaluate(loader).loss;
    prepare_for_latency(*model);
    EXPECT_NEAR(trainer.evaluate(loader).loss, unpacked, 1e-5 * std::abs(unpacked) + 1e-6);
    return bits_of(trainer.parameters());
  };
  for (const double clip_norm : {0.0, 0.5}) EXPECT_EQ(trained(true, clip_norm), trained(false, clip_norm));
}

// --- the same bits for any number of threads ------------------------------------------------------------------------

// Everything at once: fused and separate layers, dropout, eight tiles of which the last is ragged, layers of several
// row blocks, and a middle layer that goes from dense through masked to csr while training.
std::vector<std::vector<Real>> trained_bits(int threads, double clip_norm) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc1", .in = 784, .out = 200, .activation = Activation::relu}, 1)
      .add<Dropout>("drop1", Real{0.2})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 200, .out = 50, .activation = Activation::tanh}, 1)
      .add<Dropout>("drop2", Real{0.5})
      .add<Linear>(LinearOptions{.name = "output", .in = 50, .out = 10}, 1);
  const auto optimizer = sgd();
  Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = threads, .seed = 3, .clip_norm = clip_norm});
  Loader loader(digits(), {.batch = 8 * 16 - 5, .lanes = 16, .poison_padding = true});
  EXPECT_EQ(loader.tiles(0), 8);
  EXPECT_GT(parameter_named(trainer, "fc1.weight").blocks().size(), 1u);
  std::vector<Real> losses;
  for (Index i = 0; i < 12; ++i) {
    if (i == 4 || i == 8)
      for (const char* name : {"fc1.weight", "fc2.weight"}) {
        Parameter& W = parameter_named(trainer, name);
        W.become(Pattern::random(W.rows(), W.cols(), W.positions() / 4, Random(1, name)),
                 i == 4 ? Storage::masked : Storage::csr);
      }
    losses.push_back(static_cast<Real>(trainer.step(loader, i % loader.batches(), 0.1).loss));
  }
  std::vector<std::vector<Real>> bits = bits_of(trainer.parameters());
  bits.push_back(losses);
  return bits;
}

TEST(Trainer, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const double clip_norm : {0.0, 0.7}) {
    const auto one = trained_bits(1, clip_norm);
    for (const int threads : {2, 3, 4})
      EXPECT_TRUE(one == trained_bits(threads, clip_norm)) << threads << ' ' << clip_norm;
  }
  EXPECT_FALSE(trained_bits(1, 0) == trained_bits(1, 0.7));  // clipping did something
}

// --- gradients and clipping -----------------------------------------------------------------------------------------

// The mean cross entropy of a 12-8-3 network with ReLU over all samples, and its gradient's norm, in plain loops.
double naive_gradient_norm(const Dataset& data, const std::vector<Parameter*>& parameters) {
  constexpr std::size_t I = 12, H = 8, O = 3;
  const auto number = [&](std::size_t p, std::size_t i) { return static_cast<double>(parameters[p]->value()[i]); };
  std::vector<double> dW1(H * I), db1(H), dW2(O * H), db2(O);
  const double n = static_cast<double>(data.samples());
  for (Index s = 0; s < data.samples(); ++s) {
    std::vector<Real> x(I);
    data.read(s, x);
    std::vector<double> h(H), z(O);
    for (std::size_t j = 0; j < H; ++j) {
      h[j] = number(1, j);
      for (std::size_t i = 0; i < I; ++i) h[j] += number(0, j * I + i) * static_cast<double>(x[i]);
      h[j] = std::max(h[j], 0.0);
    }
    double sum = 0;
    for (std::size_t o = 0; o < O; ++o) {
      z[o] = number(3, o);
      for (std::size_t j = 0; j < H; ++j) z[o] += number(2, o * H + j) * h[j];
      sum += std::exp(z[o]);
    }
    std::vector<double> dh(H);
    for (std::size_t o = 0; o < O; ++o) {
      const double dz = (std::exp(z[o]) / sum - (data.label(s) == static_cast<std::int32_t>(o) ? 1 : 0)) / n;
      db2[o] += dz;
      for (std::size_t j = 0; j < H; ++j) dW2[o * H + j] += dz * h[j], dh[j] += dz * number(2, o * H + j);
    }
    for (std::size_t j = 0; j < H; ++j) {
      if (h[j] <= 0) continue;
      db1[j] += dh[j];
      for (std::size_t i = 0; i < I; ++i) dW1[j * I + i] += dh[j] * static_cast<double>(x[i]);
    }
  }
  double squares = 0;
  for (const auto* gradient : {&dW1, &db1, &dW2, &db2})
    for (const double g : *gradient) squares += g * g;
  return std::sqrt(squares);
}

TEST(Trainer, GradientNormIsThatOfPlainLoops) {
  for (const double clip_norm : {0.0, 1e-3}) {  // it is the norm before clipping
    const ModulePtr model = make_model("mlp:12-8-3", {.input = {12}, .outputs = 3});
    const auto optimizer = sgd(0);
    Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1, .clip_norm = clip_norm});
    const Loader loader(blobs(53), {.batch = 53, .lanes = 16});
    const double expected = naive_gradient_norm(loader.data(), trainer.parameters());
    const StepResult result = trainer.step(loader, 0, 0.1);
    EXPECT_NEAR(result.gradient_norm, expected, 1e-5 * expected);
    EXPECT_EQ(result.samples, 53);
  }
}

// How far the weights moved in one step of plain gradient descent, divided by the rate: the gradient applied.
std::vector<Real> applied_gradient(double clip_norm, StepResult* result = nullptr) {
  const ModulePtr model = tiny_mlp();
  const auto optimizer = sgd(0);
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2, .clip_norm = clip_norm});
  const Loader loader(blobs(100), {.batch = 50, .lanes = 16});
  const auto before = bits_of(trainer.parameters());
  const StepResult done = trainer.step(loader, 0, 0.5);
  if (result) *result = done;
  const auto after = bits_of(trainer.parameters());
  std::vector<Real> gradient;
  for (std::size_t a = 0; a < after.size(); ++a)
    for (std::size_t i = 0; i < after[a].size(); ++i) gradient.push_back((before[a][i] - after[a][i]) / Real{0.5});
  return gradient;
}

double norm(const std::vector<Real>& numbers) {
  double squares = 0;
  for (const Real x : numbers) squares += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(squares);
}

TEST(Trainer, ClippingScalesTheWholeGradientDownToTheNormAndNoFurther) {
  StepResult free;
  const std::vector<Real> unclipped = applied_gradient(0, &free);
  ASSERT_GT(free.gradient_norm, 0.1);
  EXPECT_NEAR(norm(unclipped), free.gradient_norm, 1e-4 * free.gradient_norm);

  const double bound = free.gradient_norm / 4;
  StepResult result;
  std::vector<Real> clipped = applied_gradient(bound, &result);
  EXPECT_NEAR(norm(clipped), bound, 1e-4 * bound);
  EXPECT_NEAR(result.gradient_norm, free.gradient_norm, 1e-6 * free.gradient_norm);
  for (Real& g : clipped) g *= 4;
  testing::expect_close(unclipped, clipped, 100 * testing::epsilon, "direction");

  EXPECT_EQ(applied_gradient(2 * free.gradient_norm), unclipped);
}

// --- randomness in layers -------------------------------------------------------------------------------------------

TEST(Trainer, DropsOtherUnitsInEveryStepAndTheSameOnesInTheSameStep) {
  Sequential model;
  model.add<Dropout>("drop", Real{0.5}).add<Linear>(LinearOptions{.name = "output", .in = 12, .out = 3}, 1);
  const auto optimizer = sgd();
  Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = 1});
  const Loader loader(blobs(32), {.batch = 32, .lanes = 16});
  // At a rate of 0 the weights stay: only the mask can change the loss of one and the same batch.
  std::vector<double> losses;
  for (int i = 0; i < 3; ++i) losses.push_back(trainer.step(loader, 0, 0).loss);
  EXPECT_NE(losses[0], losses[1]);
  EXPECT_NE(losses[1], losses[2]);
  EXPECT_NE(losses[0], losses[2]);
  trainer.resume_at(1);
  EXPECT_EQ(trainer.step(loader, 0, 0).loss, losses[1]);
}

// --- what goes wrong ------------------------------------------------------------------------------------------------

TEST(Trainer, SaysWhichLayerDivergedAndAtWhichStep) {
  for (const double clip_norm : {0.0, 1e3})
    for (const auto& [extents, layer] : {std::pair{"mlp:12-3", "output.weight"}, {"mlp:12-16-8-3", "fc"}}) {
      const ModulePtr model = make_model(extents, {.input = {12}, .outputs = 3});
      const auto optimizer = sgd(0);
      Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1, .clip_norm = clip_norm});
      const Loader loader(blobs(60), {.batch = 60, .lanes = 16});
      trainer.step(loader, 0, 0.01);
      trainer.step(loader, 0, static_cast<double>(std::numeric_limits<Real>::max()));
      try {
        trainer.step(loader, 0, 0.01);
        FAIL() << "expected an error";
      } catch (const DivergedError& error) {
        EXPECT_PRED2(contains, error.what(), "step 2");
        EXPECT_PRED2(contains, error.what(), layer);
        EXPECT_EQ(error.code(), exit_diverged);
      }
    }
}

TEST(Trainer, RejectsImpossibleOptions) {
  const ModulePtr model = tiny_mlp();
  const auto optimizer = sgd();
  const TrainerOptions wrong[] = {{.threads = 0},
                                  {.threads = 1, .clip_norm = -1},
                                  {.threads = 1, .clip_norm = std::numeric_limits<double>::infinity()},
                                  {.threads = 1, .clip_norm = std::numeric_limits<double>::quiet_NaN()}};
  for (const TrainerOptions& options : wrong)
    EXPECT_THROW(Trainer(*model, softmax_cross_entropy, *optimizer, options), UsageError);
}

// --- evaluation and inference ---------------------------------------------------------------------------------------

TEST(Trainer, EvaluationChangesNothing) {
  std::vector<std::vector<std::vector<Real>>> bits;
  for (const bool evaluates : {false, true}) {
    Sequential model;
    model.add<Linear>(LinearOptions{.name = "fc1", .in = 12, .out = 20, .activation = Activation::relu}, 1)
        .add<Dropout>("drop", Real{0.5})
        .add<Linear>(LinearOptions{.name = "output", .in = 20, .out = 3}, 1);
    const auto optimizer = sgd();
    Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = 2});
    const Loader train(blobs(100), {.batch = 50, .lanes = 16}), test(blobs(77), {.batch = 77, .lanes = 16});
    trainer.step(train, 0, 0.1);
    const auto before = bits_of(trainer.parameters());
    if (evaluates) {
      const Evaluation first = trainer.evaluate(test);
      EXPECT_TRUE(before == bits_of(trainer.parameters()));
      EXPECT_EQ(trainer.steps(), 1);
      EXPECT_EQ(trainer.evaluate(test).loss, first.loss);  // and dropout does not drop
    }
    trainer.step(train, 1, 0.1);
    bits.push_back(bits_of(trainer.parameters()));
  }
  EXPECT_TRUE(bits[0] == bits[1]);
}

TEST(Trainer, EvaluationCountsEachSampleOnceHoweverTheTilesFall) {
  const ModulePtr model = tiny_mlp();
  const auto optimizer = sgd();
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2});
  const DatasetPtr data = blobs(97);
  Loader train(data, {.batch = 97, .lanes = 16});
  for (int i = 0; i < 3; ++i) trainer.step(train, 0, 0.05);

  const Evaluation expected = trainer.evaluate(Loader(data, {.batch = 1, .lanes = 1, .shuffle = false}));
  EXPECT_EQ(expected.samples, 97);
  ASSERT_GT(expected.accuracy, 0.1);
  ASSERT_LT(expected.accuracy, 0.99);  // else any count would do
  for (const LoaderOptions& options :
       {LoaderOptions{.batch = 97, .lanes = 16, .poison_padding = true},
        LoaderOptions{.batch = 40, .lanes = 32, .poison_padding = true}, LoaderOptions{.batch = 97, .lanes = 1}}) {
    const Evaluation found = trainer.evaluate(Loader(data, options));
    EXPECT_EQ(found.samples, 97);
    EXPECT_EQ(found.accuracy, expected.accuracy);
    EXPECT_NEAR(found.loss, expected.loss, 1e-5 * expected.loss);
    EXPECT_EQ(found.flops.useful, expected.flops.useful);
    EXPECT_EQ(found.flops.useful, 97u * 2 * (12 * 16 + 16 * 8 + 8 * 3));
  }
}

TEST(Trainer, InferenceRunsTheForwardPassOfOneBatchAndChangesNothing) {
  const ModulePtr model = tiny_mlp();
  const auto optimizer = sgd();
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1});
  const Loader loader(blobs(100), {.batch = 60, .lanes = 16});
  const auto before = bits_of(trainer.parameters());
  for (Index b = 0; b < 2; ++b) {
    const Flops counted = thread_flops();
    trainer.inference().infer(loader, b);
    EXPECT_EQ((thread_flops() - counted).useful,
              static_cast<std::uint64_t>(loader.batch_samples(b)) * 2 * (12 * 16 + 16 * 8 + 8 * 3));
  }
  EXPECT_TRUE(before == bits_of(trainer.parameters()));
  EXPECT_EQ(trainer.steps(), 0);
  EXPECT_TRUE(std::isfinite(trainer.step(loader, 0, 0.1).loss));
}

TEST(Trainer, CountsThreeProductsOfATrainingStep) {
  const ModulePtr model = tiny_mlp();
  const auto optimizer = sgd();
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2});
  const Loader loader(blobs(50), {.batch = 50, .lanes = 16});
  // Y = W X and dW = dY X' for every layer, dX = W' dY for all but the first: the input's gradient is not needed.
  const std::uint64_t all = 12 * 16 + 16 * 8 + 8 * 3, first = 12 * 16;
  EXPECT_EQ(trainer.step(loader, 0, 0.1).flops.useful, 50u * 2 * (3 * all - first));
}

TEST(Trainer, RestartForgetsOptimizerStateAndStepsAndKeepsTheWeights) {
  for (const char* name : {"sgd", "adam"}) {
    const ModulePtr model = tiny_mlp();
    const auto optimizer = make_optimizer({.name = name});
    Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1});
    const Loader loader(blobs(60), {.batch = 30, .lanes = 16});
    trainer.step(loader, 0, 0.01);
    trainer.step(loader, 1, 0.01);
    const Parameter& W = parameter_named(trainer, "fc1.weight");
    const std::vector<Real> before(W.value().begin(), W.value().end());
    for (const std::string& slot : W.slot_names())
      ASSERT_TRUE(std::ranges::any_of(W.slot(slot), [](Real x) { return x != 0; }));
    trainer.restart();
    EXPECT_EQ(trainer.steps(), 0);
    EXPECT_TRUE(testing::same_bits(W.value(), before));
    for (const Parameter* parameter : trainer.parameters())
      for (const std::string& slot : parameter->slot_names())
        EXPECT_TRUE(std::ranges::all_of(parameter->slot(slot), [](Real x) { return x == 0; }));
  }
}

// --- memory ---------------------------------------------------------------------------------------------------------

// A thread's first large block may come to it late, so a single quiet epoch is asked for, not that the second one be
// quiet; a step that allocates every time never has one.
bool some_epoch_allocates_nothing(const std::function<void()>& epoch) {
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t before = testing::allocations_so_far();
    epoch();
    if (i > 0 && testing::allocations_so_far() == before) return true;
  }
  return false;
}

TEST(Trainer, AStepInTheSteadyStateAllocatesNothing) {
  for (const int threads : {1, 2})
    for (const double clip_norm : {0.0, 1.0})
      for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
        Sequential model;
        model.add<Linear>(LinearOptions{.name = "fc1", .in = 784, .out = 100, .activation = Activation::relu}, 1)
            .add<Dropout>("drop", Real{0.5})
            .add<Linear>(LinearOptions{.name = "output", .in = 100, .out = 10}, 1);
        const auto optimizer = sgd();
        Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = threads, .clip_norm = clip_norm});
        Parameter& W = parameter_named(trainer, "fc1.weight");
        if (storage != Storage::dense)
          W.become(Pattern::random(W.rows(), W.cols(), W.positions() / 5, Random(1, "pattern")), storage);
        Loader loader(digits(), {.batch = 128, .lanes = 32});  // the last batch is shorter
        EXPECT_TRUE(some_epoch_allocates_nothing([&] {
          for (Index b = 0; b < loader.batches(); ++b) trainer.step(loader, b, 0.01);
        })) << threads
            << " threads, clipping " << clip_norm << ", " << name_of(storage);
        EXPECT_TRUE(some_epoch_allocates_nothing([&] { trainer.inference().infer(loader, 0); }))
            << threads << " threads";
      }
}

}  // namespace
}  // namespace espalier
