// Experiments as a project outside would build them: every part is an object, and none is known by name.
#include "espalier/experiment/experiment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/inference.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

// y = |x|, which no layer of ours is.
class Absolute final : public Module {
 public:
  Var forward(const Var& x) const override {
    Tensor y = x.tape().make(x.shape());
    for (Index i = 0; i < y.features(); ++i)
      for (Index lane = 0; lane < y.lanes(); ++lane) y.row(i)[lane] = std::abs(x.value().row(i)[lane]);
    return x.tape().record({.operation = "absolute", .inputs = {x}}, y, [x](Tape& t, Tensor& dY) {
      // dX = dY sign(x)
      const auto dX = t.gradient_of(x);
      if (!dX) return;
      for (Index i = 0; i < dY.features(); ++i)
        for (Index lane = 0; lane < dY.lanes(); ++lane)
          if (x.value().row(i)[lane] < 0) dY.row(i)[lane] = -dY.row(i)[lane];
      put(dY, *dX->tensor, dX->write);
    });
  }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string name() const override { return "absolute"; }
};

// How large a weight is beside the largest of its row.
class BesideTheRow final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext&, std::span<Real> scores) const override {
    std::vector<Real> largest(static_cast<std::size_t>(W.rows()), Real{1e-30f});
    W.for_each_weight(
        [&](Index row, Index, Index at) { largest[row] = std::max(largest[row], std::abs(W.value()[at])); });
    std::size_t n = 0;
    W.for_each_weight([&](Index row, Index, Index at) { scores[n++] = std::abs(W.value()[at]) / largest[row]; });
  }
  std::string name() const override { return "beside-the-row"; }
};

// w -= rate sign(g), and a slot that counts steps, so that there is something to lose in a checkpoint.
class SignDescent final : public Optimizer {
 public:
  void prepare(Parameter& W) const override { W.add_slot("steps"); }
  void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index) const override {
    const auto w = of_block(W.value(), block), steps = of_block(W.slot("steps"), block);
    for (std::size_t n = 0; n < G.size(); ++n) {
      if (G[n] == 0) continue;
      steps[n] += 1;
      w[n] -= rate / std::sqrt(steps[n]) * (G[n] > 0 ? Real{1} : Real{-1});
    }
  }
  std::string name() const override { return "sign-descent"; }
};

// Two classes: whether the first two features are of one sign.
class Quadrants final : public Dataset {
 public:
  explicit Quadrants(Index samples, std::uint64_t seed) : samples_(samples), random_(seed, "quadrants") {}
  std::string name() const override { return "quadrants"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return {8}; }
  Index classes() const override { return 2; }
  void read(Index i, std::span<Real> features) const override {
    for (std::size_t f = 0; f < features.size(); ++f)
      features[f] = static_cast<Real>(2 * random_.uniform(static_cast<std::uint64_t>(i) * 8 + f) - 1);
  }
  std::int32_t label(Index i) const override {
    std::array<Real, 8> x{};
    read(i, x);
    return x[0] * x[1] > 0;
  }

 private:
  Index samples_;
  Random random_;
};

// Prunes by a criterion in three strokes of its own.
class ThreeStrokes final : public Method {
 public:
  explicit ThreeStrokes(const MethodContext& context)
      : pruner_(context.trainer.parameters(), std::make_shared<BesideTheRow>(), context.options) {}
  std::vector<PruneEvent> after_step(Index step, Index steps) override {
    for (const double stroke : {1.0, 2.0, 3.0})
      if (step == std::llround(stroke / 4 * static_cast<double>(steps)))
        return pruner_.prune_to(std::pow(pruner_.options().schedule.density, stroke / 3), step);
    return {};
  }
  void require_possible(double density) const override { pruner_.require_possible(density); }
  double density() const override { return density_of(pruner_.layers()); }

 private:
  Pruner pruner_;
};

MethodInfo by_criterion() {
  return {.name = "beside-the-row", .criterion = [](const Settings&) { return std::make_unique<BesideTheRow>(); }};
}
MethodInfo by_hook() {
  return {.name = "three-strokes",
          .make = [](const MethodContext& context) { return std::make_unique<ThreeStrokes>(context); }};
}

Experiment outside(std::optional<MethodInfo> method) {
  auto net = std::make_shared<Sequential>("outside");
  net->add(std::make_unique<Linear>(LinearOptions{.name = "fc", .in = 8, .out = 24}, 1));
  net->add(std::make_unique<Absolute>());
  net->add(std::make_unique<Linear>(LinearOptions{.name = "output", .in = 24, .out = 2}, 1));
  Experiment e{.model = net,
               .data = {.name = "quadrants",
                        .train = std::make_shared<Quadrants>(1000, 1),
                        .validation = std::make_shared<Quadrants>(100, 2),
                        .test = std::make_shared<Quadrants>(300, 3),
                        .provenance = "drawn"},
               .loss = softmax_cross_entropy,
               .optimizer = std::make_shared<SignDescent>(),
               .rate = {.rate = 0.02},
               .epochs = 6,
               .batch = 50,
               .lanes = 16,
               .threads = 2};
  if (method) e.pruning = Pruning{.method = *method, .options = {.schedule = {.density = 0.3, .interval = 10}}};
  return e;
}

std::vector<Real> weights_of(const Module& model) {
  std::vector<Real> all;
  for (const Parameter* W : parameters_of(model)) all.insert(all.end(), W->value().begin(), W->value().end());
  return all;
}

// Invariant 1.
TEST(Experiment, ATrainingOfPartsFromOutsideGoesOnToTheBitsOfOneThatWasNotInterrupted) {
  for (const MethodInfo& method : {by_criterion(), by_hook()}) {
    SCOPED_TRACE(method.name);
    Experiment whole = outside(method);
    const Trained expected = train(whole);
    EXPECT_NEAR(census_of(*whole.model).density(), 0.3, 0.01);
    EXPECT_GT(expected.test.accuracy, 0.85);

    const testing::TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "checkpoint";
    for (const int stop : {17, 40, 55}) {
      Experiment piece = outside(method);
      int asked = 0;
      EXPECT_THROW(train(piece, {}, {.file = file, .stop = [&] { return ++asked > stop; }}), InterruptedError);
    }
    Experiment last = outside(method);
    const Trained resumed = train(last, {}, {.file = file});
    EXPECT_EQ(weights_of(*last.model), weights_of(*whole.model));
    EXPECT_EQ(resumed.test.loss, expected.test.loss);
    EXPECT_EQ(resumed.validation.accuracy, expected.validation.accuracy);

    // The file holds the finished training now.
    Experiment again = outside(method);
    EXPECT_EQ(train(again, {}, {.file = file, .stop = [] { return true; }}).test.loss, expected.test.loss);
    EXPECT_EQ(weights_of(*again.model), weights_of(*whole.model));
  }
}

// Invariant 2.
TEST(Experiment, SaysOfTheModelWhatScoringItAgainSays) {
  Experiment e = outside(by_criterion());
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
  Experiment e = outside({});
  e.data.test = watched;
  train(e, {.epoch = [&](const EpochResult&, Index, double) { EXPECT_EQ(watched->reads, 0); }});
  EXPECT_EQ(watched->reads, 64);
}

TEST(Experiment, TellsItsObserverOfEpochsAndPrunings) {
  Experiment e = outside(by_hook());
  std::vector<double> densities;
  std::size_t prunings = 0;
  train(e, {.epoch = [&](const EpochResult&, Index, double density) { densities.push_back(density); },
            .pruned = [&](const std::vector<PruneEvent>& events) { prunings += !events.empty(); }});
  EXPECT_EQ(prunings, 3u);
  ASSERT_EQ(densities.size(), 6u);
  EXPECT_TRUE(std::ranges::is_sorted(densities, std::greater{}));
}

TEST(Experiment, SaysWhatIsMissing) {
  Experiment no_loss = outside({});
  no_loss.loss = nullptr;
  EXPECT_THROW(train(no_loss), UsageError);
  Experiment no_test = outside({});
  no_test.data.test = nullptr;
  EXPECT_THROW(train(no_test), UsageError);
  Experiment too_sparse = outside(by_criterion());
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
  Result r{.dataset = "data",
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
           .baselines = {{.name = "majority", .test = metrics},
                         {.name = "linear", .test = metrics, .parameters = 27, .epochs = 2, .train_seconds = 0.5}},
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
