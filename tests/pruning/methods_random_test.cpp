// Methods that search a random network for a subnetwork: no weight is ever trained.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/datasets/noise.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/sequential.h"
#include "espalier/pruning/random_network.h"
#include "support/numbers.h"
#include "support/temporary_folder.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::bits_of;
using testing::blobs;
using testing::dense_values;
using testing::same_bits;

const char* const names[] = {"edge-popup", "supermask", "neuron-subnetwork"};

struct Asked {
  std::string method;
  PrunerOptions options;
  Settings settings = {};
};
Asked ask_for(const char* method, double density = 0.5) {
  return {method, {.schedule = {.density = density}, .seed = 5}};
}

// A model, what trains it, and a method on top.
struct Rig {
  ModulePtr model;
  std::unique_ptr<Optimizer> optimizer;
  Trainer trainer;
  Loader train;
  std::unique_ptr<Method> method;

  Rig(ModulePtr made, DatasetPtr data, const Asked& asked, const OptimizerOptions& o = {}, int threads = 1)
      : model(std::move(made)),
        optimizer(make_optimizer(o)),
        trainer(*model, softmax_cross_entropy, *optimizer, {.threads = threads}),
        train(std::move(data), {.batch = 48, .lanes = 16}),
        method(make_method(methods().named(asked.method), {trainer, train, asked.options, 0, asked.settings})) {}
  explicit Rig(const Asked& asked, int threads = 1)
      : Rig(make_model("mlp:12-16-9-3", {.input = {12}, .outputs = 3, .seed = 8}), blobs(144), asked, {}, threads) {}
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  static constexpr Index of = 60;  // steps of a whole training
  void steps(Index count, double rate = 0.1) {
    if (trainer.steps() == 0) method->after_step(0, of);
    for (Index i = 0; i < count; ++i) {
      trainer.step(train, trainer.steps() % train.batches(), rate);
      method->after_step(trainer.steps(), of);
    }
  }
  // Weights, biases, scores, and the slots of all of them.
  std::vector<Parameter*> everything() {
    std::vector<Parameter*> all = trainer.parameters();
    std::ranges::copy(method->latents(), std::back_inserter(all));
    return all;
  }
};

// W as its name and the options' seed draw it.
Parameter drawn(const Parameter& W, Initialiser initialiser = Initialiser::signed_constant) {
  Parameter fresh(W.name(), W.rows(), W.cols());
  initialise(fresh, initialiser, 5);
  return fresh;
}

// A convolution, its normalisation and a linear layer.
ModulePtr convolutional() {
  auto model = std::make_unique<Sequential>("small");
  model->add(std::make_unique<Conv2d>(
      Conv2dOptions{
          .name = "conv", .in = 2, .out = 6, .window = {.kernel_height = 3, .kernel_width = 3}, .bias = false},
      1));
  model->add(
      std::make_unique<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 6, .activation = Activation::relu}));
  model->add(std::make_unique<Linear>(LinearOptions{.name = "output", .in = 6 * 4 * 4, .out = 3}, 1));
  return model;
}

TEST(RandomNetworks, NoWeightIsEverTrainedAndNoBiasOrScaleEither) {
  for (const char* name : names)
    for (const double normal : {0, 1}) {
      SCOPED_TRACE(::testing::Message() << name << " " << normal);
      Asked asked = ask_for(name);
      asked.settings["normal"] = normal;
      const Initialiser initialiser = normal != 0 ? Initialiser::kaiming : Initialiser::signed_constant;
      Rig mlp(asked);
      asked.options.schedule.density = 0.9;
      Rig conv(convolutional(), std::make_shared<Noise>(Shape{2, 6, 6}, 3, 96, 1), asked);
      for (Rig* rig : {&mlp, &conv}) {
        rig->steps(7);
        rig->method->finish(7);
        Index live = 0;
        for (const Parameter* W : rig->trainer.parameters()) {
          if (!W->prunable()) {
            const Real untouched = W->name() == "norm.gamma" ? 1 : 0;
            for (const Real b : W->value()) EXPECT_EQ(b, untouched) << W->name();
            continue;
          }
          EXPECT_LE(W->nonzeros(), W->positions());
          live += W->nonzeros();
          // One scale for all, and the weights as they were drawn.
          const Parameter w = drawn(*W, initialiser);
          Real scale = 0;
          W->for_each_weight([&](Index r, Index c, Index at) {
            const Real ratio = W->value()[at] / w.value()[r * W->cols() + c];
            if (scale == 0) scale = ratio;
            EXPECT_NEAR(ratio, scale, 4 * testing::epsilon * scale) << W->name();
            EXPECT_GT(ratio, 0);
          });
        }
        EXPECT_GT(live, 0);
        // The file knows it to the bit.
        for (const StoredLayer& layer : model_bytes(*rig->model, {}, {.origin = rig->method->origin()}).layers)
          if (!layer.name.starts_with("state/")) {
            EXPECT_TRUE(layer.form.starts_with("seed") || layer.form == "constant") << layer.name << " " << layer.form;
            EXPECT_LE(layer.bytes, 36u);  // a bit for each of 288 positions
          }
      }
    }
}

TEST(RandomNetworks, AProtectedLayerStaysWholeRandomAndUntrained) {
  for (const char* name : names) {
    Asked asked = ask_for(name);
    asked.options.protect = {"output.weight"};
    Rig rig(asked);
    rig.steps(5);
    rig.method->finish(5);
    const Parameter& W = *rig.trainer.parameters()[4];
    ASSERT_EQ(W.name(), "output.weight");
    EXPECT_EQ(W.storage(), Storage::dense);
    EXPECT_TRUE(same_bits(W.value(), drawn(W).value())) << name;
  }
}

// He et al. 2015: behind a ReLU the variance of a layer's outputs is that of its inputs if the squares of a row's
// weights have the sum 2. However many weights are left, and in training as afterwards: one factor too many per layer,
// and signals grow with every layer until a gradient kills all units.
TEST(RandomNetworks, SignalsNeitherGrowNorFadeWhateverTheDensity) {
  for (const char* name : {"edge-popup", "supermask"})
    for (const double density : {0.05, 0.1, 0.5, 0.9}) {
      SCOPED_TRACE(::testing::Message() << name << " " << density);
      Rig rig(ask_for(name, density));
      const auto check = [&] {
        for (const Parameter* W : rig.trainer.parameters()) {
          if (!W->prunable()) continue;
          double squares = 0;
          for (const Real w : W->value()) squares += static_cast<double>(w) * static_cast<double>(w);
          // edge-popup's scale is that of the density asked for, and k of it is rounded
          const double rounding = 0.5 / (density * static_cast<double>(W->positions())) + 1e-5;
          EXPECT_NEAR(squares / static_cast<double>(2 * W->rows()), 1, rounding) << W->name();
        }
      };
      rig.steps(9, 1);
      check();
      rig.method->finish(9);
      check();
    }
}

TEST(RandomNetworks, EdgePopupKeepsExactlyKOfEveryLayerEvenWhenAllScoresTie) {
  for (const double density : {0.1, 0.37, 0.5, 1.0}) {
    Rig rig(ask_for("edge-popup", density));
    for (Parameter* score : rig.method->latents()) std::ranges::fill(score->value(), Real{0.25});
    rig.method->finish(0);
    for (const Parameter* W : rig.trainer.parameters()) {
      if (!W->prunable()) continue;
      const Index k = std::llround(density * static_cast<double>(W->positions()));
      EXPECT_EQ(W->nonzeros(), k);
      W->for_each_weight([&](Index r, Index c, Index) { EXPECT_LT(r * W->cols() + c, k); });  // ties: lowest index
    }
  }
  Rig rig(ask_for("edge-popup", 0.37));
  rig.steps(9);
  rig.method->finish(9);
  EXPECT_EQ(rig.trainer.parameters()[0]->nonzeros(), 71);  // 0.37 * 192 = 71.04
}

TEST(RandomNetworks, MarkTopKAgreesWithSortingWhateverTheNumbers) {
  const Random random(1, "top-k");
  for (const std::uint64_t kinds : {1, 2, 5, 1000000}) {
    std::vector<Real> scores(257);
    for (std::size_t i = 0; i < scores.size(); ++i)
      scores[i] = static_cast<Real>(random.below(i, kinds)) / static_cast<Real>(kinds) - Real(0.5);
    scores[100] = -std::numeric_limits<Real>::max();
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    for (const std::size_t k : {1u, 2u, 100u, 256u, 257u}) {
      std::vector<std::uint8_t> expected(scores.size(), 0), live(scores.size(), 9);
      for (std::size_t i = 0; i < k; ++i) expected[order[i]] = 1;
      EXPECT_EQ(mark_top_k(scores, static_cast<Index>(k), live), scores[order[k - 1]]);
      EXPECT_EQ(live, expected) << kinds << " " << k;
    }
    std::vector<std::uint8_t> live(scores.size());
    EXPECT_THROW(mark_top_k(scores, 0, live), UsageError);
    EXPECT_THROW(mark_top_k(scores, 258, live), UsageError);
  }
}

// One layer of 2 x 2, one sample: p = softmax(W x), dL/dW = (p - y) x'.
TEST(RandomNetworks, TheStraightThroughGradientIsAsComputedByHand) {
  for (const char* name : {"edge-popup", "supermask"}) {
    SCOPED_TRACE(name);
    const DatasetPtr data = blobs(1, 2, 2);
    Asked asked = ask_for(name);
    asked.settings["score-rate"] = 3;
    Rig rig(make_model("mlp:2-2", {.input = {2}, .outputs = 2}), data, asked, {.momentum = 0});
    Parameter& score = *rig.method->latents()[0];
    const std::vector<Real> before{Real(0.5), Real(-0.25), Real(0.75), Real(-1)};
    std::ranges::copy(before, score.value().begin());
    rig.steps(1, 0.1);

    const std::vector<Real> W = dense_values(*rig.trainer.parameters()[0]);  // still that of the step
    const Parameter fresh = drawn(*rig.trainer.parameters()[0]);
    Index live = 0;
    for (const Real w : W) live += w != 0;
    if (std::string_view(name) == "edge-popup") {
      EXPECT_EQ(live, 2);
      EXPECT_NE(W[0], 0);
      EXPECT_NE(W[2], 0);
    }
    std::vector<Real> x(2);
    data->read(0, x);
    const double z0 = static_cast<double>(W[0] * x[0] + W[1] * x[1]);
    const double z1 = static_cast<double>(W[2] * x[0] + W[3] * x[1]);
    const double p0 = 1 / (1 + std::exp(z1 - z0));
    const double dz[2] = {p0 - 1, 1 - p0};  // label 0
    for (std::size_t i = 0; i < 4; ++i) {
      const double w = static_cast<double>(fresh.value()[i]);
      EXPECT_EQ(std::abs(fresh.value()[i]), Real(1));  // sqrt(2 / 2)
      double factor = std::sqrt(2.0);
      if (std::string_view(name) == "supermask") {
        const double p = 1 / (1 + std::exp(0.5 - static_cast<double>(before[i])));
        factor = std::sqrt(4.0 / static_cast<double>(live)) * p * (1 - p);
      }
      const double gradient = dz[i / 2] * static_cast<double>(x[i % 2]) * w * factor;
      EXPECT_NE(score.value()[i], before[i]);  // dead ones learn as well
      EXPECT_NEAR(score.value()[i], static_cast<double>(before[i]) - 0.1 * 3 * gradient, 1e-5) << i;
    }
  }
}

TEST(RandomNetworks, ANeuronsScoreMovesAlongTheSumOverItsWeights) {
  Asked asked = ask_for("neuron-subnetwork");
  Rig rig(make_model("mlp:12-6-4-3", {.input = {12}, .outputs = 3}), blobs(48), asked, {.momentum = 0});
  std::vector<std::vector<Real>> before;
  for (const Parameter* score : rig.method->latents())
    before.emplace_back(score->value().begin(), score->value().end());
  rig.steps(1, 0.1);
  const auto& gradients = rig.trainer.gradients(rig.train, 0);  // W is still that of the step
  const double fraction = (0.5 * 108 - 12) / 96;
  for (std::size_t l = 0; l < 3; ++l) {
    const Parameter& W = *rig.trainer.parameters()[2 * l];
    const Parameter w = drawn(W);
    const auto score = rig.method->latents()[l]->value();
    for (Index r = 0; r < W.rows(); ++r) {
      double sum = 0;
      for (Index c = 0; c < W.cols(); ++c) {
        const auto i = static_cast<std::size_t>(r * W.cols() + c);
        sum += static_cast<double>(gradients[2 * l][i]) * static_cast<double>(w.value()[i]);
      }
      const double scale = l == 0 ? 1 : std::sqrt(1 / fraction);
      const double moved = l == 2 ? 0 : -0.1 * sum * scale;  // the output layer keeps all its rows
      EXPECT_NEAR(score[r], static_cast<double>(before[l][r]) + moved, 1e-5) << W.name() << " " << r;
    }
  }
}

TEST(RandomNetworks, ANeuronSubnetworkHasWholeRowsAndAllClasses) {
  for (const double density : {0.2, 0.5, 0.8}) {
    Rig rig(ask_for("neuron-subnetwork", density));
    rig.steps(6);
    rig.method->finish(6);
    Index live = 0, positions = 0;
    for (const Parameter* W : rig.trainer.parameters()) {
      if (!W->prunable()) continue;
      live += W->nonzeros();
      positions += W->positions();
      if (W->name() == "output.weight") {
        EXPECT_EQ(W->nonzeros(), W->positions());
      }
      if (W->nonzeros() == W->positions()) continue;
      for (Index r = 0; r < W->rows(); ++r) {
        const auto columns = static_cast<Index>(W->pattern()->row(r).size());
        EXPECT_TRUE(columns == 0 || columns == W->cols()) << W->name() << " " << r;
      }
    }
    EXPECT_NEAR(static_cast<double>(live) / static_cast<double>(positions), density, 0.5 * (12 + 16) / 363.0);
  }
  Rig rig(ask_for("neuron-subnetwork"));
  EXPECT_THROW(Rig(ask_for("neuron-subnetwork", 0.05)), UsageError);
  EXPECT_THROW(rig.method->require_possible(27.0 / 363), UsageError);  // the output layer alone has 27 of 363
  EXPECT_NO_THROW(rig.method->require_possible(30.0 / 363));
}

TEST(RandomNetworks, ASupermaskFlipsItsCoinsAnewInEveryStepAndEndsBelowTheDensityAskedFor) {
  for (const double density : {0.05, 0.3, 0.5}) {
    Rig rig(ask_for("supermask", density));
    rig.steps(1, 0);
    const auto first = dense_values(*rig.trainer.parameters()[0]);
    rig.steps(1, 0);  // nothing was learnt
    EXPECT_NE(dense_values(*rig.trainer.parameters()[0]), first);
    rig.steps(20);
    rig.method->finish(22);
    for (const Parameter* W : rig.trainer.parameters()) {
      if (!W->prunable()) continue;
      EXPECT_GE(W->nonzeros(), 1);
      EXPECT_LE(W->nonzeros(), std::max<Index>(1, std::llround(density * static_cast<double>(W->positions()))));
    }
  }
}

TEST(RandomNetworks, ASupermaskOfImprobableWeightsKeepsTheLeastImprobable) {
  Rig rig(ask_for("supermask"));
  for (Parameter* score : rig.method->latents()) {
    std::ranges::fill(score->value(), Real{-2});
    score->value()[5] = Real{-1};
  }
  rig.method->finish(0);
  for (const Parameter* W : rig.trainer.parameters())
    if (W->prunable()) {
      EXPECT_EQ(*W->pattern(), *Pattern::from_positions(W->rows(), W->cols(), std::vector<Index>{5}));
    }
}

TEST(RandomNetworks, OneAndThreeThreadsGiveTheSameBits) {
  for (const char* name : names) {
    Rig one(ask_for(name), 1), three(ask_for(name), 3);
    for (Rig* rig : {&one, &three}) rig->steps(8);
    EXPECT_EQ(bits_of(one.everything()), bits_of(three.everything())) << name;
    for (Rig* rig : {&one, &three}) rig->method->finish(8);
    EXPECT_EQ(bits_of(one.trainer.parameters()), bits_of(three.trainer.parameters())) << name;
  }
}

TEST(RandomNetworks, WithTheRightScoresTheyClassifyWithUntrainedWeights) {
  for (const char* name : {"edge-popup", "supermask"}) {
    Asked asked = ask_for(name);
    asked.settings["score-rate"] = 3;
    const auto wide = [] { return make_model("mlp:12-100-50-3", {.input = {12}, .outputs = 3}); };
    Rig untrained(wide(), blobs(144), asked), trained(wide(), blobs(144), asked);
    trained.steps(Rig::of);
    for (Rig* rig : {&untrained, &trained}) rig->method->finish(Rig::of);
    EXPECT_LT(untrained.trainer.evaluate(untrained.train).accuracy, 0.8) << name;
    EXPECT_GT(trained.trainer.evaluate(trained.train).accuracy, 0.95) << name;
  }
}

TEST(RandomNetworks, GoOnFromACheckpointToTheSameBits) {
  const testing::TemporaryFolder folder;
  for (const char* name : names) {
    Rig whole(ask_for(name)), begun(ask_for(name)), resumed(ask_for(name));
    whole.steps(20);
    begun.steps(11);
    save_checkpoint(begun.everything(), {}, folder.path() / "checkpoint", begun.method->state());
    load_checkpoint(resumed.everything(), folder.path() / "checkpoint", resumed.method->state());
    resumed.trainer.resume_at(11);
    resumed.steps(9);
    EXPECT_EQ(bits_of(whole.everything()), bits_of(resumed.everything())) << name;
    for (Rig* rig : {&whole, &resumed}) rig->method->finish(20);
    EXPECT_EQ(bits_of(whole.trainer.parameters()), bits_of(resumed.trainer.parameters())) << name;
  }
}

}  // namespace
}  // namespace espalier
