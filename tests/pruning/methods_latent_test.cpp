#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/core/nearly_normal.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/fit.h"
#include "espalier/pruning/latent_method.h"
#include "espalier/pruning/relaxations.h"
#include "support/numbers.h"
#include "support/temporary_folder.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::blobs;
using testing::dense_values;

const char* const names[] = {"movement", "dns", "str", "l0", "variational"};

// A single layer of given weights, out = 1, and a method upon it that is driven by hand: gradients are what the test
// says, the optimizer is plain gradient descent.
struct ByHand {
  Sequential model;
  std::unique_ptr<Optimizer> optimizer = make_optimizer({.momentum = 0});
  std::unique_ptr<Loader> loader;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<Method> method;
  Parameter* W;
  Index step = 0;

  // The schedule asks for the density from the fraction `begin` of the steps on, at once, and never freezes.
  ByHand(const std::string& name, const std::vector<Real>& weights, double density,
         const std::map<std::string, double>& settings = {}, double begin = 0) {
    const auto in = static_cast<Index>(weights.size());
    model.add<Linear>(LinearOptions{.name = "fc", .in = in, .out = 1}, 1);
    loader = std::make_unique<Loader>(blobs(64, in, 3), LoaderOptions{.batch = 16, .lanes = 16});
    trainer = std::make_unique<Trainer>(model, softmax_cross_entropy, *optimizer, TrainerOptions{.threads = 1});
    W = trainer->parameters()[0];
    std::ranges::copy(weights, W->value().begin());
    method = make_method(
        methods().named(name),
        {*trainer,
         *loader,
         {.schedule = {.kind = Schedule::Kind::one_shot, .density = density, .begin = begin, .end = 1, .interval = 1}},
         0,
         settings});
  }
  Latents& latents() { return dynamic_cast<Latents&>(*method); }
  Parameter& latent(const std::string& name) {
    for (Parameter* p : method->latents())
      if (p->name() == "fc.weight/" + name) return *p;
    throw UsageError("no latent " + name);
  }
  // One step with the given gradient.
  void move(const std::vector<Real>& G, Real rate) {
    latents().derive(Mode::training, step);
    latents().update(*W, W->blocks()[0], G, rate, ++step);
    latents().finish(rate, step);
    method->after_step(step, 100);
  }
  std::vector<Real> derived(Mode mode = Mode::evaluation) {
    latents().derive(mode, step);
    return {W->value().begin(), W->value().end()};
  }
};

// --- movement -------------------------------------------------------------------------------------------------------

TEST(Movement, KeepsTheSmallWeightThatGrowsAndNotTheLargeOneThatShrinks) {
  ByHand hand("movement", {Real{1}, Real{0.1}}, 0.5);
  for (int i = 0; i < 3; ++i) hand.move({Real{1}, Real{-1}}, Real{0.1});
  const std::vector<Real> w = hand.derived();
  EXPECT_EQ(w[0], 0);            // 1 -> 0.9 -> ..., still the larger one
  EXPECT_NEAR(w[1], 0.4, 1e-6);  // 0.1 -> 0.4
  EXPECT_GT(hand.latent("w").value()[0], w[1]);

  hand.method->finish(3);
  EXPECT_EQ(dense_values(*hand.W), (std::vector<Real>{0, w[1]}));
}

TEST(Movement, ScoresOfTheDeadMoveOnTheirValuesDoNot) {
  ByHand hand("movement", {Real{1}, Real{0.5}}, 0.5);
  hand.move({Real{1}, Real{-1}}, Real{0.1});  // S: -1, 0.5
  EXPECT_EQ(hand.derived()[0], 0);
  const Real asleep = hand.latent("w").value()[0];
  EXPECT_NEAR(asleep, 0.9, 1e-6);
  hand.move({Real{-2}, Real{0}}, Real{0.1});  // S: -1 + 0.9 * 2, 0.5
  const std::vector<Real> w = hand.derived();
  EXPECT_EQ(w[0], asleep);
  EXPECT_EQ(w[1], 0);
}

// --- dns ------------------------------------------------------------------------------------------------------------

TEST(DynamicSurgery, PrunedWeightsAreTrainedOnAndReturn) {
  ByHand hand("dns", {Real{1}, Real{-0.9}, Real{0.5}, Real{0.1}}, 0.5);
  hand.move({0, 0, 0, 0}, Real{1});
  EXPECT_EQ(hand.derived(), (std::vector<Real>{Real{1}, Real{-0.9}, 0, 0}));
  hand.move({0, 0, Real{2.5}, 0}, Real{1});                                          // unseen: -2
  EXPECT_EQ(hand.derived(), (std::vector<Real>{Real{1}, Real{-0.9}, Real{-2}, 0}));  // -0.9: between a and b
}

TEST(DynamicSurgery, BetweenTheThresholdsHistoryDecides) {
  // The middle is |1|: a = 0.9, b = 1.1.
  ByHand hand("dns", {Real{1}, Real{2}, Real{0.95}, Real{0.1}}, 0.5);
  hand.move({0, 0, 0, 0}, Real{1});
  EXPECT_EQ(hand.derived(), (std::vector<Real>{Real{1}, Real{2}, Real{0.95}, 0}));  // 0.95 was alive
  hand.move({0, 0, Real{0.5}, 0}, Real{1});                                         // 0.45
  EXPECT_EQ(hand.derived()[2], 0);
  hand.move({0, 0, Real{-0.5}, 0}, Real{1});  // 0.95 again, and dead now
  EXPECT_EQ(hand.derived()[2], 0);
}

TEST(DynamicSurgery, InTheEndTheThresholdsMeetAtTheAskedDensity) {
  ByHand hand("dns", {Real{1}, Real{2}, Real{0.95}, Real{0.1}}, 0.5);
  hand.move({0, 0, 0, 0}, Real{1});
  hand.method->finish(1);
  EXPECT_EQ(dense_values(*hand.W), (std::vector<Real>{Real{1}, Real{2}, 0, 0}));
}

// --- str ------------------------------------------------------------------------------------------------------------

double str_loss(const std::vector<double>& w, double s, const std::vector<Real>& c) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) sum += static_cast<double>(c[i]) * soft_threshold(w[i], sigmoid(s));
  return sum;
}

TEST(SoftThreshold, UpdatesAreTheGradientsOfTheDerivedWeights) {
  const std::vector<Real> c{Real{0.7}, Real{-1.3}, Real{0.4}, Real{2}};
  const std::vector<double> w{0.5, -0.8, 0.03, -0.02};  // the last two below g(-2) = 0.12
  // The density is 1 until the end: what moves s is the gradient alone.
  ByHand hand("str", {w.begin(), w.end()}, 0.5, {{"start", -2}}, 1);
  hand.move(c, Real{1});  // rate 1: what was moved is the gradient
  const double h = 1e-6;
  for (std::size_t i = 0; i < w.size(); ++i) {
    std::vector<double> up = w, down = w;
    up[i] += h, down[i] -= h;
    const double numeric = (str_loss(up, -2, c) - str_loss(down, -2, c)) / (2 * h);
    EXPECT_NEAR(w[i] - static_cast<double>(hand.latent("w").value()[i]), numeric, 1e-6) << i;
  }
  const double numeric = (str_loss(w, -2 + h, c) - str_loss(w, -2 - h, c)) / (2 * h);
  EXPECT_GT(std::abs(numeric), 0.1);
  EXPECT_NEAR(-2 - static_cast<double>(hand.latent("s").value()[0]), numeric, 1e-5);
}

TEST(SoftThreshold, IsPulledUpWhileTooManyAreLiveAndLetDownWhenTooFew) {
  ByHand many("str", {Real{0.5}, Real{0.4}, Real{0.3}, Real{0.2}}, 0.25, {{"start", -3}});
  many.move({0, 0, 0, 0}, Real{1});  // all four live
  EXPECT_GT(many.latent("s").value()[0], Real{-3});
  ByHand few("str", {Real{0.5}, Real{0.01}, Real{0.02}, Real{0.03}}, 0.5, {{"start", -3}});
  few.move({0, 0, 0, 0}, Real{1});  // one live
  EXPECT_LT(few.latent("s").value()[0], Real{-3});
}

// --- l0 -------------------------------------------------------------------------------------------------------------

TEST(HardConcrete, SlopeIsTheDerivativeOfTheGateForFixedNoise) {
  const double h = 1e-6;
  int between = 0;
  for (double a = -5; a <= 5; a += 0.37)
    for (const double u : {0.02, 0.3, 0.5, 0.77, 0.99}) {
      const double noise = std::log(u / (1 - u));
      const auto gate = HardConcrete::sample(a, noise);
      const double numeric = (HardConcrete::sample(a + h, noise).z - HardConcrete::sample(a - h, noise).z) / (2 * h);
      EXPECT_NEAR(gate.slope, numeric, 1e-8) << a << ' ' << u;
      between += gate.z > 0 && gate.z < 1;
    }
  EXPECT_GT(between, 20);
}

TEST(HardConcrete, IsThePublishedFormula) {
  for (double a = -5; a <= 5; a += 0.37)
    for (const double u : {0.02, 0.3, 0.5, 0.77, 0.99}) {
      const double s = 1 / (1 + std::exp(-(std::log(u) - std::log(1 - u) + a) / (2.0 / 3)));
      EXPECT_NEAR(HardConcrete::sample(a, std::log(u / (1 - u))).z, std::min(1.0, std::max(0.0, s * 1.2 - 0.1)), 1e-12);
    }
}

TEST(HardConcrete, OpenIsTheFractionOfNoiseThatLeavesTheGateOpen) {
  constexpr int n = 100000;
  for (const double a : {-4.0, -1.0, 0.0, 2.0}) {
    int open = 0;
    for (int i = 0; i < n; ++i) {
      const double u = (i + 0.5) / n;
      open += HardConcrete::sample(a, std::log(u / (1 - u))).z > 0;
    }
    EXPECT_NEAR(HardConcrete::open(a), open / static_cast<double>(n), 2e-5) << a;
  }
}

TEST(L0, OneDrawPerStepAndNoneForEvaluation) {
  ByHand hand("l0", std::vector<Real>(64, Real{1}), 0.5, {{"start", 0}});
  const auto first = hand.derived(Mode::training);
  EXPECT_EQ(hand.derived(Mode::training), first);
  const auto quiet = hand.derived();
  for (const Real w : quiet) EXPECT_NEAR(w, 0.5, 0.02);  // gate(0), within the noise of the start
  ++hand.step;
  EXPECT_NE(hand.derived(Mode::training), first);
  EXPECT_EQ(hand.derived(), quiet);
  // z is 0, 1 and in between.
  EXPECT_EQ(std::ranges::min(first), 0);
  EXPECT_EQ(std::ranges::max(first), 1);
}

TEST(L0, WeightsMoveByTheirGate) {
  ByHand hand("l0", std::vector<Real>(64, Real{1}), 0.5, {{"start", 0}});
  const auto z = hand.derived(Mode::training);  // w = 1
  hand.move(std::vector<Real>(64, Real{0.5}), Real{1});
  for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(hand.latent("w").value()[i], 1 - z[i] / 2, 1e-6);
}

TEST(L0, FreezingKeepsTheMostOpenGatesAndNoMoreThanAreOpen) {
  const std::vector<Real> gates{Real{-5}, Real{1}, Real{3}, Real{-3}, Real{2}, Real{-4}, Real{-6}, Real{-7}};
  for (const double density : {0.25, 0.375, 0.75}) {
    ByHand hand("l0", std::vector<Real>(8, Real{1}), density);
    std::ranges::copy(gates, hand.latent("log_alpha").value().begin());
    const auto values = hand.derived();
    hand.method->finish(0);
    const Real last = density == 0.25 ? 0 : values[1];
    EXPECT_EQ(dense_values(*hand.W), (std::vector<Real>{0, last, values[2], 0, values[4], 0, 0, 0})) << density;
    EXPECT_EQ(hand.W->nonzeros(), density == 0.25 ? 2 : 3);
  }
}

// --- variational ----------------------------------------------------------------------------------------------------

TEST(VariationalKl, SlopeIsItsDerivative) {
  const double h = 1e-5;
  for (double a = -8; a <= 8; a += 0.5) {
    const double numeric = (VariationalKl::value(a + h) - VariationalKl::value(a - h)) / (2 * h);
    EXPECT_NEAR(VariationalKl::slope(a), numeric, 1e-9) << a;
    EXPECT_NEAR(static_cast<double>(VariationalKl::slope(static_cast<float>(a))), numeric, 1e-6) << a;
    EXPECT_LT(numeric, 0) << a;  // more noise, less to tell
  }
}

TEST(NearlyNormal, HasMeanZeroVarianceOneAndNoSkew) {
  const Random random(1, "nearly-normal");
  constexpr int n = 200000;
  double sum = 0, squares = 0, cubes = 0, largest = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double e = nearly_normal<double>(random.bits(i));
    sum += e, squares += e * e, cubes += e * e * e, largest = std::max(largest, std::abs(e));
  }
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.01);
  EXPECT_NEAR(cubes / n, 0, 0.03);
  EXPECT_GT(largest, 3);
}

TEST(Variational, DropsWhatIsNearlyAllNoise) {
  ByHand hand("variational", {Real{1}, Real{1}, Real{-0.1}, Real{-0.1}}, 0.5);
  // log alpha: 2.9, 3.1, 2.9, 3.1
  const Real small = static_cast<Real>(std::log(0.01));
  std::ranges::copy(std::vector<Real>{Real{2.9}, Real{3.1}, small + Real{2.9}, small + Real{3.1}},
                    hand.latent("log_sigma2").value().begin());
  EXPECT_EQ(hand.derived(), (std::vector<Real>{Real{1}, 0, Real{-0.1}, 0}));
  const auto noisy = hand.derived(Mode::training);
  for (const std::size_t i : {0u, 2u}) EXPECT_NE(noisy[i], hand.derived()[i]);
  for (const std::size_t i : {1u, 3u}) EXPECT_EQ(noisy[i], 0);
  hand.method->finish(0);
  EXPECT_EQ(dense_values(*hand.W), (std::vector<Real>{Real{1}, 0, Real{-0.1}, 0}));
}

TEST(Variational, ThetaMovesByTheGradientAndByKlOnceItPresses) {
  // Without pressure (nothing was decided yet): the loss alone. With it: towards zero.
  ByHand hand("variational", {Real{0.5}, Real{-0.5}}, 0.5, {{"start", -4}});
  const auto update = [&](const std::vector<Real>& G, Real rate, Index step) {
    hand.latents().derive(Mode::training, step - 1);
    hand.latents().update(*hand.W, hand.W->blocks()[0], G, rate, step);
  };
  update({Real{0.1}, 0}, Real{1}, 1);
  EXPECT_NEAR(hand.latent("theta").value()[0], 0.4, 1e-6);
  EXPECT_EQ(hand.latent("theta").value()[1], Real{-0.5});
  hand.method->after_step(1, 100);  // at the density asked for: all of the pressure, 1
  const double weight = 1.0 / 64;   // of 64 samples
  const double h = 1e-5, rate = 0.01;
  const std::vector<Real> theta(hand.latent("theta").value().begin(), hand.latent("theta").value().end());
  const std::vector<Real> s(hand.latent("log_sigma2").value().begin(), hand.latent("log_sigma2").value().end());
  update({0, 0}, static_cast<Real>(rate), 2);
  for (const std::size_t i : {0u, 1u}) {
    const auto kl = [&](double t) {
      return weight * VariationalKl::value(static_cast<double>(s[i]) - 2 * std::log(std::abs(t)));
    };
    const double before = theta[i], numeric = (kl(before + h) - kl(before - h)) / (2 * h);
    EXPECT_NEAR((before - static_cast<double>(hand.latent("theta").value()[i])) / rate, numeric, 1e-4) << i;
    EXPECT_GT(numeric * before, 0.01);
  }
}

TEST(Variational, NoiseGrowsWhereTheLossDoesNotFeelIt) {
  ByHand hand("variational", {Real{0.5}, Real{0.5}}, 0.5);
  hand.method->after_step(0, 100);
  hand.latents().derive(Mode::training, 0);
  hand.latents().update(*hand.W, hand.W->blocks()[0], std::vector<Real>{Real{10}, 0}, Real{1e-6}, 1);
  EXPECT_LT(hand.latent("log_sigma2").value()[0], -10);
  EXPECT_GT(hand.latent("log_sigma2").value()[1], -10);
}

// log alpha = -10 - 2 log |theta|: the smaller ones are the noisier ones.
TEST(Variational, TheNoisiestAreOffAndReturn) {
  ByHand hand("variational", {Real{1}, Real{-0.9}, Real{0.5}, Real{0.1}}, 0.5, {{"pressure", 0}});
  hand.move({0, 0, 0, 0}, Real{1});
  EXPECT_EQ(hand.derived(), (std::vector<Real>{Real{1}, Real{-0.9}, 0, 0}));
  hand.move({0, 0, Real{2.5}, 0}, Real{1});
  EXPECT_EQ(hand.derived()[0], Real{1});
  EXPECT_EQ(hand.derived()[1], 0);
  EXPECT_EQ(hand.latent("theta").value()[1], Real{-0.9});
}

TEST(Variational, KlDoesNotThrowSmallWeightsBeyondZero) {
  ByHand hand("variational", {Real{1e-3}, Real{-0.5}}, 0.5, {{"start", -10}});
  hand.latents().derive(Mode::training, 0);
  hand.method->after_step(0, 100);
  hand.latents().update(*hand.W, hand.W->blocks()[0], std::vector<Real>{0, 0}, Real{1}, 1);
  EXPECT_NEAR(hand.latent("theta").value()[0], 0.9e-3, 1e-8);
}

// --- steering -------------------------------------------------------------------------------------------------------

TEST(Steering, PressesHarderTheMoreIsLive) {
  Steering above(2, 3, 0.01), at(2, 3, 0.01), below(2, 3, 0.01);
  EXPECT_EQ(at.pressure(), 0);  // before the path begins
  above.observe(0.2, 0.1), at.observe(0.1, 0.1), below.observe(0.05, 0.1);
  EXPECT_NEAR(at.pressure(), 2, 1e-5);
  EXPECT_NEAR(above.pressure(), 2 * std::pow(2, 3.01), 1e-4);
  EXPECT_NEAR(below.pressure(), 2 * std::pow(2, -3.01), 1e-5);
  below.observe(0, 0.1);  // nothing is left: finite
  EXPECT_GT(below.pressure(), 0);
}

// --- all of them ----------------------------------------------------------------------------------------------------

struct Training {
  Sequential model;
  std::unique_ptr<Optimizer> optimizer;
  Loader loader;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<Method> method;
  std::vector<PruneEvent> events;

  // features 1400: the first layer has two row blocks.
  explicit Training(const std::string& name, int threads = 1, double density = 0.1, Index features = 40,
                    const std::string& optimizer_name = "sgd", std::map<std::string, double> settings = {})
      : optimizer(make_optimizer({.name = optimizer_name, .weight_decay = 1e-3})),
        loader(blobs(200, features, 5), {.batch = 50, .lanes = 16}) {
    model.add<Linear>(LinearOptions{.name = "fc1", .in = features, .out = 60, .activation = Activation::relu}, 1)
        .add<Linear>(LinearOptions{.name = "output", .in = 60, .out = 5}, 1);
    trainer = std::make_unique<Trainer>(model, softmax_cross_entropy, *optimizer, TrainerOptions{.threads = threads});
    if (name == "l0") settings["gate_rate"] = 0.2;
    if (name == "variational") settings["noise_rate"] = 0.1;
    method = make_method(methods().named(name),
                         {.trainer = *trainer,
                          .train = loader,
                          .options = {.schedule = {.density = density, .begin = 0.1, .end = 0.7, .interval = 2}},
                          .settings = std::move(settings)});
  }
  static constexpr Index steps = 80;
  void advance(Index from, Index to, bool evaluate = false) {
    if (from == 0) method->after_step(0, steps);
    for (Index step = from; step < to; ++step) {
      loader.start_epoch(step / loader.batches());
      trainer->step(loader, step % loader.batches(), 0.02);
      for (const PruneEvent& e : method->after_step(step + 1, steps)) events.push_back(e);
      if (evaluate) trainer->evaluate(loader);
    }
    if (to == steps)
      for (const PruneEvent& e : method->finish(steps)) events.push_back(e);
  }
  std::vector<Parameter*> everything() {
    std::vector<Parameter*> all = trainer->parameters();
    std::ranges::copy(method->latents(), std::back_inserter(all));
    return all;
  }
  std::vector<std::vector<Real>> bits() {
    auto all = testing::bits_of(everything());
    for (const NamedNumbers& s : method->state()) all.emplace_back(s.numbers.begin(), s.numbers.end());
    return all;
  }
};

TEST(LatentMethods, LeaveAtMostTheAskedDensityInSparseStorage) {
  for (const char* name : names) {
    Training run(name);
    run.advance(0, Training::steps);
    ASSERT_EQ(run.events.size(), 2u) << name;
    Index kept = 0;
    for (const PruneEvent& e : run.events) {
      EXPECT_EQ(e.step, 56) << name;  // end = 0.7
      EXPECT_GE(e.kept, 1) << name;
      kept += e.kept;
    }
    const Parameter& W = *run.trainer->parameters()[0];
    EXPECT_EQ(W.storage(), Storage::csr) << name;
    const auto wanted = static_cast<Index>(std::llround(0.1 * (40 * 60 + 60 * 5)));
    EXPECT_LE(kept, wanted) << name;
    EXPECT_GE(kept, wanted / 2) << name;  // the learnt ones were steered there
    if (std::string(name) == "movement" || std::string(name) == "dns") {
      EXPECT_EQ(kept, wanted);
    }
    EXPECT_NEAR(run.method->density(), static_cast<double>(kept) / (40 * 60 + 60 * 5), 1e-12) << name;
    const Evaluation e = run.trainer->evaluate(run.loader);
    EXPECT_GT(e.accuracy, 0.8) << name;
  }
}

TEST(LatentMethods, FreezingLeavesTheDerivedValues) {
  for (const char* name : names) {
    Training run(name);
    run.advance(0, 40);
    auto& latents = dynamic_cast<Latents&>(*run.method);
    latents.derive(Mode::evaluation, 40);
    std::vector<std::vector<Real>> derived;
    for (int p : {0, 2}) derived.push_back(dense_values(*run.trainer->parameters()[p]));
    // So that the weights that freezing decides upon are those that are live now, nothing is learnt in between.
    run.method->finish(40);
    Index live = 0;
    for (std::size_t l : {0u, 1u}) {
      const Parameter& W = *run.trainer->parameters()[2 * l];
      W.for_each_weight([&](Index r, Index c, Index at) {
        const Real was = derived[l][r * W.cols() + c];
        EXPECT_EQ(W.value()[at], was) << name;
        live += was != 0;
      });
    }
    EXPECT_GT(live, 100) << name;
  }
}

TEST(LatentMethods, GiveTheSameBitsForAnyNumberOfThreads) {
  for (const char* name : names)
    for (const char* optimizer : {"sgd", "adam"}) {
      Training one(name, 1, 0.1, 1400, optimizer), three(name, 3, 0.1, 1400, optimizer);
      ASSERT_EQ(one.trainer->parameters()[0]->blocks().size(), 2u);
      one.advance(0, 20), three.advance(0, 20);
      EXPECT_TRUE(one.bits() == three.bits()) << name << ' ' << optimizer;
    }
}

TEST(LatentMethods, EvaluationIsDeterministicAndChangesNothing) {
  for (const char* name : names) {
    Training looked_at(name), left_alone(name);
    looked_at.advance(0, Training::steps, /*evaluate=*/true);
    left_alone.advance(0, Training::steps);
    EXPECT_TRUE(looked_at.bits() == left_alone.bits()) << name;
    Training run(name);
    run.advance(0, 30);
    const auto before = testing::bits_of(run.everything());
    const double loss = run.trainer->evaluate(run.loader).loss;
    EXPECT_TRUE(testing::bits_of(run.everything()) == before) << name << ": derived weights are taken back";
    EXPECT_EQ(run.trainer->evaluate(run.loader).loss, loss) << name;
  }
}

// Before the path begins, while it learns between two decisions, and after freezing.
TEST(LatentMethods, GoOnFromACheckpointAsIfNothingHadHappened) {
  const testing::TemporaryFolder folder;
  for (const char* name : names) {
    Training whole(name);
    whole.advance(0, Training::steps);
    for (const Index stop : {5, 33, 60}) {
      Training first(name);
      first.advance(0, stop);
      const auto file = folder.path() / "checkpoint";
      save_checkpoint(first.everything(), {}, file, first.method->state());
      Training second(name);
      load_checkpoint(second.everything(), file, second.method->state());
      second.trainer->resume_at(stop);
      second.advance(stop, Training::steps);
      EXPECT_TRUE(second.bits() == whole.bits()) << name << " stopped at " << stop;
    }
  }
}

TEST(LatentMethods, KeepTheMomentumOfSurvivorsWhenTheyFreeze) {
  for (const char* name : {"movement", "dns", "str", "variational"}) {
    Training run(name);
    run.advance(0, 40);
    const std::vector<Parameter*> latents = run.method->latents();
    run.method->finish(40);
    const Parameter& W = *run.trainer->parameters()[0];
    ASSERT_EQ(W.storage(), Storage::csr);
    Index moving = 0;
    W.for_each_weight([&](Index r, Index c, Index at) {
      const Real v = latents[0]->slot("momentum")[r * W.cols() + c];
      EXPECT_EQ(W.slot("momentum")[at], v) << name;
      moving += v != 0;
    });
    EXPECT_GT(moving, 0) << name;
  }
}

TEST(LatentMethods, ALayerThatLostEverythingKeepsThePlaceOfItsBestWeight) {
  Training run("l0");
  run.advance(0, 1);
  for (Parameter* p : run.method->latents())
    if (p->name() == "output.weight/log_alpha") {
      std::ranges::fill(p->value(), Real{-9});
      p->value()[7] = Real{-8};
    }
  run.method->finish(1);
  const Parameter& W = *run.trainer->parameters()[2];
  EXPECT_EQ(W.nonzeros(), 1);
  W.for_each_weight([&](Index r, Index c, Index) { EXPECT_EQ(r * W.cols() + c, 7); });
}

TEST(LatentMethods, RefuseWhatCannotBe) {
  for (const char* name : names) {
    Training run(name);
    EXPECT_THROW(run.method->require_possible(1e-4), UsageError) << name;  // 0.27 weights of two layers
    EXPECT_NO_THROW(run.method->require_possible(0.1)) << name;
    EXPECT_THROW(run.method->prune_to(0.5, 0), UsageError) << name;
    EXPECT_THROW(Training(name, 1, 0.1, 40, "sgd", {{"nonsense", 1}}), UsageError) << name;
  }
  EXPECT_THROW(Training("movement", 1, 0.1, 40, "sgd", {{"memory", 0}}), UsageError);
  EXPECT_THROW(Training("dns", 1, 0.1, 40, "sgd", {{"width", 1}}), UsageError);
  EXPECT_THROW(Training("str", 1, 0.1, 40, "sgd", {{"decay", 0}}), UsageError);
  EXPECT_THROW(Training("l0", 1, 0.1, 40, "sgd", {{"lambda", 0}}), UsageError);
  EXPECT_THROW(Training("variational", 1, 0.1, 40, "sgd", {{"pressure", -1}}), UsageError);
}

}  // namespace
}  // namespace espalier
