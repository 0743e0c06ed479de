// What defines each criterion that asks more of a network than its weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequential.h"
#include "espalier/pruning/method.h"
#include "support/numbers.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::bits_of;
using testing::blobs;

using Numbers = std::vector<double>;

const char* const criteria[] = {"snip", "grasp", "synflow", "taylor", "obd", "wanda", "obs"};

// Regression on samples that are written down.
class Written final : public Dataset {
 public:
  Written(Shape shape, std::vector<std::vector<Real>> x, std::vector<std::vector<Real>> y)
      : shape_(shape), x_(std::move(x)), y_(std::move(y)) {}
  std::string name() const override { return "written"; }
  Index samples() const override { return static_cast<Index>(x_.size()); }
  Shape shape() const override { return shape_; }
  Index classes() const override { return 0; }
  Index outputs() const override { return static_cast<Index>(y_[0].size()); }
  void read(Index i, std::span<Real> features) const override { std::ranges::copy(x_[i], features.begin()); }
  void target(Index i, std::span<Real> values) const override { std::ranges::copy(y_[i], values.begin()); }

 private:
  Shape shape_;
  std::vector<std::vector<Real>> x_, y_;
};

// A model in training, and what can be asked of it.
struct Probe {
  std::unique_ptr<Optimizer> optimizer = make_optimizer({});
  Trainer trainer;
  Loader loader;
  Evidence evidence;
  Probe(Module& model, DatasetPtr data, Index batch, Index batches, int threads = 1)
      : trainer(model, data->classes() ? softmax_cross_entropy : mean_squared_error, *optimizer, {.threads = threads}),
        loader(data, {.batch = batch, .lanes = 16, .shuffle = false, .poison_padding = true}),
        evidence(trainer, loader, batches) {}
  CriterionContext context() { return {.evidence = &evidence}; }
  Numbers scores(const std::string& method, const Parameter& W, const std::map<std::string, double>& settings = {}) {
    std::vector<Real> scores(W.nonzeros(), testing::nan);
    criterion_named(method, settings)->score(W, context(), scores);
    return {scores.begin(), scores.end()};
  }
};

void expect_near(const Numbers& expected, const Numbers& got, double relative, const std::string& what) {
  ASSERT_EQ(expected.size(), got.size()) << what;
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  ASSERT_GT(largest, 0) << what;
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(expected[i], got[i], relative * largest) << what << ' ' << i;
}

double sum_of(const Numbers& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}

std::vector<std::vector<Real>> state_of_bits(Module& model) {
  std::vector<std::vector<Real>> state;
  model.visit_state(
      [&](const std::string&, std::span<Real> numbers) { state.emplace_back(numbers.begin(), numbers.end()); });
  return state;
}

// --- one linear layer, of which everything is known ------------------------------------------------------------------
//
//   y = W x, L = mean over samples of |y - t|^2 / 2, in two batches of two samples:   dL/dW = mean of (y - t) x'

struct OneLayer {
  static constexpr std::size_t in = 3, out = 2;
  const std::vector<std::vector<Real>> x{{1, 2, 0}, {3, -1, 1}, {0, 1, -2}, {-1, 1, 4}},
      t{{1, 0}, {0, 2}, {-1, 1}, {2, 2}};
  const Numbers w{0.5, -2, 1, 0.25, 0, -0.75};
  Sequential model;
  Probe probe;
  Parameter* W;

  OneLayer()
      : probe(with_layer(model), std::make_shared<Written>(Shape{3}, x, t), 2, 2), W(probe.trainer.parameters()[0]) {
    for (std::size_t n = 0; n < w.size(); ++n) W->value()[n] = static_cast<Real>(w[n]);
  }
  static Module& with_layer(Sequential& model) {
    return model.add<Linear>(LinearOptions{.name = "fc", .in = 3, .out = 2, .bias = false}, 1);
  }
  // dL_s/dW of one sample; with a temperature, of |y / temperature - t|^2 / 2
  Numbers gradient(std::size_t s, double temperature = 1) const {
    Numbers g;
    for (std::size_t o = 0; o < out; ++o) {
      double e = -static_cast<double>(t[s][o]);
      for (std::size_t j = 0; j < in; ++j) e += w[o * in + j] * static_cast<double>(x[s][j]) / temperature;
      for (std::size_t j = 0; j < in; ++j) g.push_back(e * static_cast<double>(x[s][j]) / temperature);
    }
    return g;
  }
  // f(n) for every weight
  template <typename F>
  static Numbers each(F&& f) {
    Numbers numbers;
    for (std::size_t n = 0; n < in * out; ++n) numbers.push_back(f(n));
    return numbers;
  }
  Numbers mean_gradient(double temperature = 1) const {
    return each([&](std::size_t n) {
      double sum = 0;
      for (std::size_t s = 0; s < 4; ++s) sum += gradient(s, temperature)[n];
      return sum / 4;
    });
  }
};

TEST(Snip, IsEachWeightsShareOfAllWeightTimesGradient) {
  OneLayer net;
  const Numbers g = net.mean_gradient();
  Numbers wg = OneLayer::each([&](std::size_t n) { return std::abs(net.w[n] * g[n]); });
  const double sum = sum_of(wg);
  for (double& share : wg) share /= sum;
  expect_near(wg, net.probe.scores("snip", *net.W), 1e-5, "snip");
}

// |w g| of one batch: 2.25 13.5 2.25 0.72 0 0.75; of both: 1.19 8.5 2.125 0.03 0 4.5
TEST(Snip, LooksAtAsManyBatchesAsItIsTold) {
  const auto kept = [](double batches) {
    OneLayer net;
    const auto method = make_method(methods().named("snip"), {.trainer = net.probe.trainer,
                                                              .train = net.probe.loader,
                                                              .steps = 10,
                                                              .settings = {{batches_setting().name, batches}}});
    method->prune_to(1.0 / 3, 0);
    std::vector<Index> live;
    net.W->for_each_weight([&](Index row, Index column, Index) { live.push_back(row * 3 + column); });
    return live;
  };
  EXPECT_EQ(kept(1), (std::vector<Index>{0, 1}));
  EXPECT_EQ(kept(2), (std::vector<Index>{1, 5}));
  for (const double batches : {0.0, 1.5, -1.0, 1e9, testing::nan + 0.0}) EXPECT_THROW(kept(batches), UsageError);
}

TEST(Taylor, IsTheMeanOverBatchesOfTheSquareOfWeightTimesGradient) {
  OneLayer net;
  const Numbers expected = OneLayer::each([&](std::size_t n) {
    const double first = (net.gradient(0)[n] + net.gradient(1)[n]) / 2;
    const double second = (net.gradient(2)[n] + net.gradient(3)[n]) / 2;
    return net.w[n] * net.w[n] * (first * first + second * second) / 2;
  });
  expect_near(expected, net.probe.scores("taylor", *net.W), 1e-5, "taylor");
}

TEST(Obd, IsHalfTheSquaredWeightTimesTheMeanOverSamplesOfTheSquaredGradient) {
  OneLayer net;
  const Numbers expected = OneLayer::each([&](std::size_t n) {
    double h = 0;
    for (std::size_t s = 0; s < 4; ++s) h += net.gradient(s)[n] * net.gradient(s)[n] / 4;
    return net.w[n] * net.w[n] * h / 2;
  });
  expect_near(expected, net.probe.scores("obd", *net.W), 1e-5, "obd");
}

// L is quadratic: H of a row is the mean of x x' / temperature^2.
TEST(Grasp, IsWeightTimesHessianTimesGradientOfAQuadraticLoss) {
  OneLayer net;
  for (const double T : {1.0, 4.0}) {
    const Numbers g = net.mean_gradient(T);
    const Numbers expected = OneLayer::each([&](std::size_t n) {
      double Hg = 0;
      for (std::size_t j = 0; j < 3; ++j)
        for (const auto& x : net.x)
          Hg += static_cast<double>(x[n % 3]) * static_cast<double>(x[j]) / (4 * T * T) * g[n / 3 * 3 + j];
      return net.w[n] * Hg;
    });
    expect_near(expected, net.probe.scores("grasp", *net.W, {{"temperature", T}}), 2e-4, "grasp");
  }
}

TEST(Wanda, RanksTheInputsOfAUnitByWeightTimesSizeOfTheInput) {
  OneLayer net;
  // Means of x^2: 11/4, 7/4, 21/4. Squares of w_j |x_j|:  0.69, 7, 5.25  and  0.17, 0, 2.95.
  EXPECT_EQ(net.probe.scores("wanda", *net.W), (Numbers{-2, 0, -1, -1, -2, 0}));
}

// --- grasp -----------------------------------------------------------------------------------------------------------

double gradient_flow(Probe& probe) {
  probe.evidence.begin(0);
  double flow = 0;
  for (const Parameter* W : probe.trainer.parameters())
    if (W->prunable())
      for (const Real g : probe.evidence.gradient(*W)) flow += static_cast<double>(g) * static_cast<double>(g);
  return flow;
}

// To first order, making a weight smaller by the part t of itself makes |g|^2 smaller by 2 t times its score.
TEST(Grasp, SaysByHowMuchTheGradientShrinksWithAWeight) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc", .in = 4, .out = 6, .activation = Activation::tanh}, 1)
      .add<Linear>(LinearOptions{.name = "output", .in = 6, .out = 2}, 1);
  Probe probe(model, std::make_shared<testing::Surface>(48), 24, 2);
  for (Parameter* W : probe.trainer.parameters()) {
    if (!W->prunable()) continue;
    probe.evidence.begin(0);
    const Numbers scores = probe.scores("grasp", *W, {{"temperature", 1}});
    Numbers shrinks;
    const Real t = Real{0.02};
    for (std::size_t n = 0; n < scores.size(); ++n) {
      const Real w = W->value()[n];
      W->value()[n] = w * (1 + t);
      const double more = gradient_flow(probe);
      W->value()[n] = w * (1 - t);
      shrinks.push_back((more - gradient_flow(probe)) / (4 * static_cast<double>(t)));
      W->value()[n] = w;
    }
    expect_near(shrinks, scores, 0.01, W->name());
  }
}

// --- synflow ---------------------------------------------------------------------------------------------------------

std::unique_ptr<Sequential> mlp(const std::vector<Index>& extents, Activation f = Activation::relu) {
  auto model = std::make_unique<Sequential>();
  for (std::size_t l = 1; l < extents.size(); ++l)
    model->add<Linear>(
        LinearOptions{.name = "fc" + std::to_string(l), .in = extents[l - 1], .out = extents[l], .activation = f}, l);
  return model;
}

DatasetPtr images(Index samples) {
  std::vector<std::vector<Real>> x, y;
  for (Index s = 0; s < samples; ++s) {
    const Random random(3, "image", 0, static_cast<std::uint64_t>(s));
    x.emplace_back();
    for (std::uint64_t i = 0; i < 4 * 5 * 6; ++i) x.back().push_back(static_cast<Real>(random.normal(i)));
    y.push_back({x.back()[0], x.back()[7]});
  }
  return std::make_shared<Written>(Shape{4, 5, 6}, x, y);
}

std::unique_ptr<Sequential> convolutional() {
  auto model = std::make_unique<Sequential>();
  model->add<Conv2d>(Conv2dOptions{.name = "c1", .in = 4, .out = 6, .max_pool = true}, 1)
      .add<Conv2d>(Conv2dOptions{.name = "c2", .in = 6, .out = 4, .bias = false}, 1)
      .add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 4, .activation = Activation::relu})
      .add<Linear>(LinearOptions{.name = "output", .in = 24, .out = 2}, 1);
  return model;
}

void expect_equal_layer_sums(Probe& probe) {
  double first = 0;
  for (const Parameter* W : probe.trainer.parameters()) {
    if (!W->prunable()) continue;
    const Numbers scores = probe.scores("synflow", *W);
    EXPECT_TRUE(std::ranges::all_of(scores, [](double s) { return std::isfinite(s) && s >= 0; })) << W->name();
    if (first == 0) first = sum_of(scores);
    EXPECT_GT(first, 0);
    EXPECT_NEAR(sum_of(scores) / first, 1, 1e-4) << W->name();
  }
}

TEST(SynFlow, IsConservedFromLayerToLayer) {
  const auto linear = mlp({12, 20, 15, 3});
  Probe of_linear(*linear, blobs(40), 20, 1);
  expect_equal_layer_sums(of_linear);
  const auto convolutions = convolutional();
  for (Index b = 0; b < 3; ++b) {  // statistics and scales that are not neutral
    Probe of_convolutions(*convolutions, images(30), 10, 1);
    of_convolutions.trainer.step(of_convolutions.loader, b, 0.1);
    expect_equal_layer_sums(of_convolutions);
  }
}

// 9^60 is too much for float32.
TEST(SynFlow, NeitherOverflowsNorVanishesInADeepNetwork) {
  std::vector<Index> extents(61, 64);
  extents.back() = 3;
  for (const double factor : {1.0, 1e-3}) {
    const auto model = mlp(extents);
    Probe probe(*model, blobs(4, 64), 4, 1);
    for (Parameter* W : probe.trainer.parameters())
      for (Real& w : W->value()) w *= static_cast<Real>(factor);
    expect_equal_layer_sums(probe);
  }
}

// R = sum over o, i of |v_oi| (1 + sum over j of |w_ij|) with a shortcut around w: what a factor for w would upset.
TEST(SynFlow, CountsThePathsThroughAShortcutToo) {
  Sequential model;
  model
      .add<Residual>("block", std::make_unique<Linear>(LinearOptions{.name = "w", .in = 3, .out = 3, .bias = false}, 1),
                     nullptr, Activation::relu)
      .add<Linear>(LinearOptions{.name = "v", .in = 3, .out = 2}, 1);
  Probe probe(model, blobs(4, 3), 4, 1);
  const Parameter &W = *probe.trainer.parameters()[0], &V = *probe.trainer.parameters()[1];
  Numbers through_w(9), through_v(6);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t o = 0; o < 2; ++o) {
      double reaching = 1;
      const double v = std::abs(static_cast<double>(V.value()[o * 3 + i]));
      for (std::size_t j = 0; j < 3; ++j) {
        const double w = std::abs(static_cast<double>(W.value()[i * 3 + j]));
        through_w[i * 3 + j] += w * v;
        reaching += w;
      }
      through_v[o * 3 + i] = v * reaching;
    }
  expect_near(through_w, probe.scores("synflow", W), 1e-5, "w");
  expect_near(through_v, probe.scores("synflow", V), 1e-5, "v");
}

TEST(SynFlow, LeavesEveryLayerItsPathsAtExtremeDensity) {
  const auto model = mlp({40, 60, 60, 60, 5});
  Probe probe(*model, blobs(4, 40, 5), 4, 1);
  const double density = 12.0 / (40 * 60 + 60 * 60 * 2 + 60 * 5);  // three weights a layer
  // In a single round all of them lie in the small layer of the outputs and the wide ones are emptied.
  EXPECT_THROW(Pruner(probe.trainer.parameters(), criterion_named("synflow", {{"rounds", 1}}), {}, &probe.evidence)
                   .prune_to(density, 0),
               UsageError);
  Pruner pruner(probe.trainer.parameters(), criterion_named("synflow"), {}, &probe.evidence);
  for (const PruneEvent& event : pruner.prune_to(density, 0)) EXPECT_GE(event.kept, 1) << event.layer;
  probe.evidence.begin(0);
  expect_equal_layer_sums(probe);  // and what is left leads from inputs to outputs
}

// --- input statistics ------------------------------------------------------------------------------------------------

// The mean of squares of what the j-th weight reads is that of the output, if the layer copies its j-th input.
TEST(InputSquares, OfAConvolutionAreThoseOfItsPatchesByGroup) {
  const DatasetPtr data = images(21);
  for (const Window& window : {Window{.kernel_height = 3, .kernel_width = 2, .padding_height = 1, .padding_width = 1},
                               Window{.kernel_height = 2, .kernel_width = 3, .stride = 2, .groups = 2}}) {
    Sequential model;
    model.add<Conv2d>(Conv2dOptions{.name = "c", .in = 4, .out = 2, .window = window, .bias = false}, 1);
    Probe probe(model, data, 21, 1);
    Parameter& W = *probe.trainer.parameters()[0];
    const auto squares = probe.evidence.input_squares(W);
    ASSERT_EQ(static_cast<Index>(squares.size()), window.groups * W.cols());
    for (Index row = 0; row < W.rows(); ++row)
      for (Index j = 0; j < W.cols(); ++j) {
        std::ranges::fill(W.value(), Real{0});
        W.value()[row * W.cols() + j] = 1;
        double sum = 0;
        probe.trainer.examine(probe.loader, 0, [&](const Tape& tape) {
          const Tensor& y = tape.node(1).value;
          for (Index i = 0; i < y.features(); ++i)
            for (Index lane = 0; lane < y.valid(); ++lane) sum += std::pow(static_cast<double>(y.row(i)[lane]), 2);
        });
        const Index group = row * window.groups / W.rows();
        EXPECT_NEAR(sum / 21, squares[group * W.cols() + j], 1e-4 * sum) << row << ' ' << j;
      }
  }
}

TEST(Wanda, LeavesEveryUnitOfTheNetworkEquallyManyInputs) {
  const auto model = mlp({12, 20, 15, 3});
  Probe probe(*model, blobs(60), 20, 3);
  Pruner pruner(probe.trainer.parameters(), criterion_named("wanda"), {}, &probe.evidence);
  pruner.prune_to(38.0 * 4 / (12 * 20 + 20 * 15 + 15 * 3), 0);
  for (const Parameter* W : pruner.layers())
    for (Index row = 0; row < W->rows(); ++row) EXPECT_EQ(W->pattern()->row(row).size(), 4u) << W->name() << row;
}

// --- obs -------------------------------------------------------------------------------------------------------------

// `samples` samples of 6 inputs, the last of which is x0 + 2 x1 if `dependent`.
DatasetPtr six_inputs(bool dependent) {
  std::vector<std::vector<Real>> x, y;
  for (std::uint64_t s = 0; s < 50; ++s) {
    const Random random(4, "six", 0, s);
    x.emplace_back();
    const auto common = random.normal(9);  // so that inputs are correlated
    for (std::uint64_t j = 0; j < 6; ++j) x.back().push_back(static_cast<Real>(random.normal(j) + 2 * common));
    if (dependent) x.back()[5] = x.back()[0] + 2 * x.back()[1];
    y.push_back({0});
  }
  return std::make_shared<Written>(Shape{6}, x, y);
}

// mean over samples of ((w - v) x)^2 of each row, and what damping adds
Numbers errors(const DatasetPtr& data, std::span<const Real> w, std::span<const Real> v, double damping) {
  Numbers error(w.size() / 6, 0);
  double squares = 0;
  std::vector<Real> x(6);
  for (Index s = 0; s < data->samples(); ++s) {
    data->read(s, x);
    for (const Real value : x)
      squares += std::pow(static_cast<double>(value), 2) / static_cast<double>(data->samples());
    for (std::size_t r = 0; r < error.size(); ++r) {
      double e = 0;
      for (std::size_t j = 0; j < 6; ++j)
        e += (static_cast<double>(w[r * 6 + j]) - static_cast<double>(v[r * 6 + j])) * static_cast<double>(x[j]);
      error[r] += e * e / static_cast<double>(data->samples());
    }
  }
  for (std::size_t n = 0; n < w.size(); ++n)
    error[n / 6] += damping * squares / 6 * std::pow(static_cast<double>(w[n]) - static_cast<double>(v[n]), 2);
  return error;
}

struct ObsLayer {
  DatasetPtr data;
  Sequential model;
  Probe probe;
  Parameter& W;
  std::vector<Real> before;
  explicit ObsLayer(bool dependent)
      : data(six_inputs(dependent)),
        probe(model.add<Linear>(LinearOptions{.name = "fc", .in = 6, .out = 5, .bias = false}, 1), data, 25, 2),
        W(*probe.trainer.parameters()[0]),
        before(W.value().begin(), W.value().end()) {}
  // Prunes, and returns the weights, zero where pruned.
  std::vector<Real> pruned(const Criterion& criterion, std::span<const std::uint32_t> kept) {
    criterion.compensate(W, kept, probe.context());
    W.become(keep_live(W, kept), Storage::csr);
    return testing::dense_values(W);
  }
};

TEST(Obs, ScoresByWhatIsLostAfterTheOthersHaveMadeUpForAWeight) {
  ObsLayer layer(false);
  const auto obs = criterion_named("obs");
  const Numbers scores = layer.probe.scores("obs", layer.W);
  Numbers lost;
  for (std::uint32_t j = 0; j < 6; ++j) {  // of the first row only
    ObsLayer fresh(false);
    std::vector<std::uint32_t> kept;
    for (std::uint32_t n = 0; n < 30; ++n)
      if (n != j) kept.push_back(n);
    lost.push_back(errors(fresh.data, fresh.before, fresh.pruned(*obs, kept), 0.1)[0]);
  }
  expect_near(lost, Numbers(scores.begin(), scores.begin() + 6), 1e-4, "obs");
}

TEST(Obs, LeavesTheKeptWeightsWhereNoneCanMoveForTheBetter) {
  ObsLayer layer(false);
  const std::vector<std::uint32_t> kept{0, 2, 5, 6, 9, 12, 13, 14, 15, 16, 17, 20, 22};  // row 2 whole, row 4 empty
  const std::vector<Real> after = layer.pruned(*criterion_named("obs"), kept);
  const Numbers best = errors(layer.data, layer.before, after, 0.1);
  for (const std::uint32_t n : kept)
    for (const Real step : {Real{-0.05}, Real{0.05}}) {
      std::vector<Real> moved = after;
      moved[n] += step;
      EXPECT_GT(errors(layer.data, layer.before, moved, 0.1)[n / 6], best[n / 6]) << n;
    }
  EXPECT_TRUE(testing::same_bits(std::span(after).subspan(12, 6), std::span<const Real>(layer.before).subspan(12, 6)));
}

TEST(Obs, LosesNothingWhereRemovedInputsAreCombinationsOfKeptOnes) {
  ObsLayer layer(true);
  std::vector<std::uint32_t> kept;
  for (std::uint32_t n = 0; n < 30; ++n)
    if (n % 6 != 5) kept.push_back(n);
  const std::vector<Real> after = layer.pruned(*criterion_named("obs", {{"damping", 1e-6}}), kept);
  for (std::size_t n = 0; n < 30; ++n) {
    const double extra = n % 6 == 0 ? 1 : n % 6 == 1 ? 2 : 0;
    const double expected =
        n % 6 == 5 ? 0
                   : static_cast<double>(layer.before[n]) + extra * static_cast<double>(layer.before[n / 6 * 6 + 5]);
    EXPECT_NEAR(static_cast<double>(after[n]), expected, 1e-3) << n;
  }
}

// And less still in rounds: a score speaks of the next weight to go.
TEST(Obs, DistortsTheOutputsLessThanMagnitudeDoes) {
  const auto distortion = [](const char* method, double density, std::map<std::string, double> settings = {}) {
    ObsLayer layer(false);
    Pruner pruner(layer.probe.trainer.parameters(), criterion_named(method, settings), {}, &layer.probe.evidence);
    pruner.prune_to(density, 0);
    return sum_of(errors(layer.data, layer.before, testing::dense_values(layer.W), 0));
  };
  EXPECT_LT(distortion("obs", 0.9), 0.6 * distortion("magnitude", 0.9));
  EXPECT_LT(distortion("obs", 0.4), 0.6 * distortion("magnitude", 0.4));
  EXPECT_LT(distortion("obs", 0.5, {{"rounds", 18}}), 0.95 * distortion("obs", 0.5));
}

TEST(Obs, DoesNotMoveTheWeightsOfConvolutionsNorOfWideLayers) {
  const auto model = convolutional();
  Probe probe(*model, images(20), 20, 1);
  const auto before = bits_of(probe.trainer.parameters());
  const auto obs = criterion_named("obs", {{"widest", 23}});
  for (Parameter* W : probe.trainer.parameters())
    if (W->prunable()) obs->compensate(*W, std::vector<std::uint32_t>{0, 1}, probe.context());
  EXPECT_TRUE(before == bits_of(probe.trainer.parameters()));
}

// --- all of them -----------------------------------------------------------------------------------------------------

TEST(EvidenceBasedCriteria, SayThatTheyNeedANetworkInTraining) {
  for (const char* name : criteria) {
    Parameter W("W", 3, 4);
    std::vector<Real> scores(12);
    try {
      criterion_named(name)->score(W, {}, scores);
      FAIL() << name << ": expected an error";
    } catch (const UsageError& error) {
      EXPECT_PRED2(testing::contains, error.what(), "[" + std::string(name) + "]");
    }
  }
}

TEST(EvidenceBasedCriteria, LeaveTheNetworkAsItWasToTheBit) {
  const auto model = convolutional();
  Probe probe(*model, images(40), 20, 2);
  for (Index b = 0; b < 2; ++b) probe.trainer.step(probe.loader, b, 0.05);
  const auto before = bits_of(probe.trainer.parameters());
  const auto state = state_of_bits(*model);
  for (const char* name : criteria) {
    for (const Parameter* W : probe.trainer.parameters())
      if (W->prunable()) {
        const Numbers scores = probe.scores(name, *W);
        EXPECT_TRUE(std::ranges::all_of(scores, [](double s) { return std::isfinite(s); })) << name;
      }
    EXPECT_TRUE(before == bits_of(probe.trainer.parameters())) << name;
    EXPECT_TRUE(state == state_of_bits(*model)) << name;
  }
}

TEST(EvidenceBasedCriteria, PruneToTheSameBitsOnAnyNumberOfThreads) {
  for (const char* name : criteria) {
    std::vector<std::vector<Real>> bits[2];
    for (const int i : {0, 1}) {
      const auto model = convolutional();
      Probe probe(*model, images(150), 70, 2, i == 0 ? 1 : 3);
      Pruner pruner(probe.trainer.parameters(), criterion_named(name), {.allocation = Allocation::uniform},
                    &probe.evidence);
      pruner.prune_to(0.5, 0);
      pruner.prune_to(0.2, 0);
      bits[i] = bits_of(probe.trainer.parameters());
    }
    EXPECT_TRUE(bits[0] == bits[1]) << name;
  }
}

// Dead weights are not part of the network, however it is stored.
TEST(EvidenceBasedCriteria, ScoreLiveWeightsTheSameInEveryStorage) {
  for (const char* name : criteria) {
    std::vector<Numbers> scores[2];
    for (const int i : {0, 1}) {
      const auto model = mlp({12, 20, 15, 3});
      Probe probe(*model, blobs(60), 20, 3);
      for (Parameter* W : probe.trainer.parameters())
        if (W->prunable())
          W->become(Pattern::random(W->rows(), W->cols(), W->positions() / 2, Random(1, W->name())),
                    i == 0 ? Storage::masked : Storage::csr);
      for (const Parameter* W : probe.trainer.parameters())
        if (W->prunable()) scores[i].push_back(probe.scores(name, *W));
    }
    for (std::size_t l = 0; l < scores[0].size(); ++l) expect_near(scores[0][l], scores[1][l], 0.01, name);
  }
}

}  // namespace
}  // namespace espalier
