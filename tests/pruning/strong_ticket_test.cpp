#include "espalier/pruning/strong_ticket.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "espalier/core/error.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/subset_sum.h"
#include "support/batch_pass.h"
#include "support/patterns.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

using namespace espalier::testing;

// An mlp whose biases are not 0 either.
ModulePtr mlp(const std::string& extents, Index in, Index out, double density = 1) {
  ModulePtr model = make_model("mlp:" + extents, {.input = {in}, .outputs = out, .seed = 3, .density = density});
  model->visit_parameters([](Parameter& p) {
    if (p.role() != Role::bias) return;
    for (std::size_t i = 0; i < p.value().size(); ++i) p.value()[i] = static_cast<Real>(Random(4, p.name()).normal(i));
  });
  return model;
}

std::map<std::string, Parameter*> by_name(Module& model) {
  std::map<std::string, Parameter*> parameters;
  model.visit_parameters([&](Parameter& p) { parameters[p.name()] = &p; });
  return parameters;
}

// [sample][output]
std::vector<std::vector<Real>> outputs(const Module& model, const Tile& tile) {
  std::vector<std::vector<Real>> samples;
  Tape tape;
  append_samples(model.forward(tape.begin(tile, {.mode = Mode::inference})).value(), samples);
  return samples;
}

// A matrix [rows][cols] in double, whatever the storage.
using Matrix = std::vector<std::vector<double>>;
Matrix zeros(Index rows, Index cols) {
  return Matrix(static_cast<std::size_t>(rows), std::vector<double>(static_cast<std::size_t>(cols), 0));
}
Matrix matrix_of(const Parameter& W) {
  Matrix M = zeros(W.rows(), W.cols());
  W.for_each_weight([&](Index r, Index c, Index at) { M[r][c] = static_cast<double>(W.value()[at]); });
  return M;
}

// The weights that a layer's two random matrices amount to, for x > 0 and for x < 0; the bias is the last column.
struct Realised {
  Matrix positive, negative;
};
Realised realised(Module& net, const std::string& layer) {
  const auto parameters = by_name(net);
  const Parameter &A = *parameters.at(layer + ".a.weight"), &B = *parameters.at(layer + ".b.weight");
  const Matrix a = matrix_of(A);
  Realised W{zeros(B.rows(), A.cols() + 1), zeros(B.rows(), A.cols() + 1)};
  const auto bias = parameters.find(layer + ".a.bias");
  B.for_each_weight([&](Index j, Index u, Index at) {
    const auto b = static_cast<double>(B.value()[at]);
    for (Index i = 0; i < A.cols(); ++i) (a[u][i] > 0 ? W.positive : W.negative)[j][i] += a[u][i] * b;
    if (bias != parameters.end()) W.positive[j].back() += static_cast<double>(bias->second->value()[u]) * b;
  });
  return W;
}

// The target's weights in the same form.
Matrix wanted(Module& target, const std::string& layer) {
  const auto parameters = by_name(target);
  Matrix W = matrix_of(*parameters.at(layer + ".weight"));
  const auto bias = parameters.find(layer + ".bias");
  for (std::size_t j = 0; j < W.size(); ++j)
    W[j].push_back(bias == parameters.end() ? 0 : static_cast<double>(bias->second->value()[j]));
  return W;
}

double worst_difference(const Matrix& a, const Matrix& b) {
  double worst = 0;
  for (std::size_t j = 0; j < a.size(); ++j)
    for (std::size_t i = 0; i < a[j].size(); ++i) worst = std::max(worst, std::abs(a[j][i] - b[j][i]));
  return worst;
}

TEST(StrongTicket, EveryLiveWeightIsTheRandomOneOfItsPosition) {
  const ModulePtr target = mlp("5-4-3", 5, 3);
  for (const Match match : {Match::subset, Match::single}) {
    const StrongTicket ticket = strong_ticket(*target, {.width = 6, .match = match, .seed = 17});
    Index live = 0;
    for (const auto& entry : by_name(*ticket.net)) {
      const std::string& name = entry.first;
      const auto& W = entry.second;
      const Random random(17, "strong-ticket/" + name);
      const StrongTicketLayer& layer = ticket.layers[name.starts_with("fc1") ? 0 : 1];
      const double scale = name.ends_with(".b.weight") ? layer.scale : 1;
      W->for_each_weight([&](Index r, Index c, Index at) {
        const Real value = W->value()[at];
        if (W->role() == Role::bias && value == 0) return;  // a bias is pruned to 0
        const auto position = static_cast<std::uint64_t>(r * W->cols() + c);
        EXPECT_EQ(value, static_cast<Real>(scale * (2 * random.uniform(position) - 1))) << name;
        ++live;
      });
    }
    EXPECT_EQ(live, ticket.kept());
  }
}

TEST(StrongTicket, HasNeuronsOfOneInputEachAndAsManyAsItSays) {
  const ModulePtr target = mlp("3-40-40", 3, 40);  // so many outputs that each neuron is wanted by one of them
  constexpr int width = 5;
  const StrongTicket ticket = strong_ticket(*target, {.width = width});
  const auto parameters = by_name(*ticket.net);
  EXPECT_EQ(parameters.size(), 6u);  // 2 x (a.weight, a.bias, b.weight)
  for (const std::string layer : {"fc1", "output"}) {
    const Parameter &A = *parameters.at(layer + ".a.weight"), &bias = *parameters.at(layer + ".a.bias");
    EXPECT_EQ(A.storage(), Storage::csr);
    EXPECT_EQ(parameters.at(layer + ".b.weight")->storage(), Storage::csr);
    EXPECT_EQ(A.rows(), strong_ticket_neurons(A.cols(), width));
    // Each part of an input found its five neurons: x+ and x- of the first layer's three, x+ of the second's forty, 1.
    EXPECT_EQ(A.nonzeros(), width * (layer == "fc1" ? 2 * 3 : 40)) << layer;
    EXPECT_EQ(bias.rows() - std::ranges::count(bias.value(), Real{0}), width) << layer;
    for (Index u = 0; u < A.rows(); ++u) {
      const auto kept = static_cast<Index>(A.pattern()->row(u).size()) + (bias.value()[u] != 0);
      EXPECT_LE(kept, 1);
      EXPECT_GE(bias.value()[u], 0);  // ReLU would shut one below 0 for good
    }
  }
}

TEST(StrongTicket, CountsWhatItKeepsAndOutOfHowMany) {
  const ModulePtr target = mlp("4-6-2", 4, 2);
  const StrongTicket ticket = strong_ticket(*target, {.width = 7});
  const auto parameters = by_name(*ticket.net);
  for (std::size_t l = 0; l < 2; ++l) {
    const StrongTicketLayer& layer = ticket.layers[l];
    const Parameter &A = *parameters.at(layer.name + ".a.weight"), &B = *parameters.at(layer.name + ".b.weight"),
                    &bias = *parameters.at(layer.name + ".a.bias");
    EXPECT_EQ(layer.random_weights, A.positions() + B.positions() + bias.positions());
    EXPECT_EQ(layer.kept, A.nonzeros() + B.nonzeros() + bias.positions() - std::ranges::count(bias.value(), Real{0}));
  }
  EXPECT_EQ(ticket.layers[0].targets, 4 * 6 + 6);
  EXPECT_EQ(ticket.random_weights(), ticket.layers[0].random_weights + ticket.layers[1].random_weights);
  EXPECT_EQ(ticket.kept(), ticket.layers[0].kept + ticket.layers[1].kept);
}

TEST(StrongTicket, SumsOfItsProductsAreTheTargetsWeightsWithinTheErrorItReports) {
  const ModulePtr target = mlp("5-4-3", 5, 3);
  for (const Match match : {Match::subset, Match::single}) {
    const StrongTicket ticket = strong_ticket(*target, {.width = 10, .match = match});
    for (const StrongTicketLayer& layer : ticket.layers) {
      const Realised got = realised(*ticket.net, layer.name);
      const Matrix W = wanted(*target, layer.name);
      double worst = worst_difference(got.positive, W);
      if (layer.name == "fc1") {
        Matrix without_bias = W;
        for (auto& row : without_bias) row.back() = 0;  // 1 is never negative
        worst = std::max(worst, worst_difference(got.negative, without_bias));
      } else {
        EXPECT_EQ(worst_difference(got.negative, zeros(3, 5)), 0);  // nor is what comes out of a ReLU
      }
      EXPECT_NEAR(worst, layer.worst_error, 1e-12) << layer.name;
      EXPECT_GT(worst, 0);
    }
  }
}

// |z~_j - z_j| <= sum_i |e_ji| |x~_i| + |w_ji| |x~_i - x_i|, e of the sign of x~_i; and ReLU moves no two
// values further apart.
TEST(StrongTicket, ComputesTheTargetWithinTheBoundThatFollowsFromItsWeights) {
  const ModulePtr target = mlp("5-8-6-3", 5, 3);
  for (const int width : {6, 20}) {
    const StrongTicket ticket = strong_ticket(*target, {.width = width});
    const Tile tile = make_tiles({5}, 48, 48).front();
    const auto y = outputs(*target, tile), got = outputs(*ticket.net, tile);
    for (std::size_t s = 0; s < y.size(); ++s) {
      std::vector<double> x, apart;
      for (Index i = 0; i < 5; ++i) x.push_back(static_cast<double>(tile.input.row(i)[s])), apart.push_back(0);
      double magnitude = 0;  // of what is summed: for rounding
      for (const StrongTicketLayer& layer : ticket.layers) {
        const Realised V = realised(*ticket.net, layer.name);
        const Matrix W = wanted(*target, layer.name);
        x.push_back(1), apart.push_back(0);
        std::vector<double> z(W.size(), 0), bound(W.size(), 0);
        for (std::size_t j = 0; j < W.size(); ++j)
          for (std::size_t i = 0; i < x.size(); ++i) {
            const double e = std::abs((x[i] < 0 ? V.negative : V.positive)[j][i] - W[j][i]);
            z[j] += W[j][i] * x[i];
            bound[j] += e * (std::abs(x[i]) + apart[i]) + std::abs(W[j][i]) * apart[i];
            magnitude += std::abs(W[j][i] * x[i]);
          }
        if (&layer != &ticket.layers.back())
          for (double& value : z) value = std::max(value, 0.0);
        x = z, apart = bound;
      }
      for (std::size_t j = 0; j < 3; ++j) {
        EXPECT_LE(std::abs(static_cast<double>(got[s][j] - y[s][j])), apart[j] + 20 * epsilon * magnitude);
        EXPECT_LT(apart[j], width == 20 ? 0.02 : 100);  // so that the bound says something
      }
    }
  }
}

// The first layer's inputs have both signs; here the two sums differ, and each must serve its own.
TEST(StrongTicket, OfOneLayerIsTheMapThatItsSumsSay) {
  Sequential target;
  target.add<Linear>(LinearOptions{.name = "fc", .in = 4, .out = 3}, 5);
  const StrongTicket ticket = strong_ticket(target, {.width = 3});
  ASSERT_EQ(ticket.layers.size(), 1u);
  const Realised V = realised(*ticket.net, "fc");
  EXPECT_GT(worst_difference(V.positive, V.negative), 0.01);
  const Tile tile = make_tiles({4}, 16, 16).front();
  const auto got = outputs(*ticket.net, tile);
  for (std::size_t s = 0; s < 16; ++s)
    for (std::size_t j = 0; j < 3; ++j) {
      double z = V.positive[j].back();
      for (std::size_t i = 0; i < 4; ++i) {
        const auto x = static_cast<double>(tile.input.row(static_cast<Index>(i))[s]);
        z += (x > 0 ? V.positive : V.negative)[j][i] * x;
      }
      EXPECT_NEAR(static_cast<double>(got[s][j]), z, 1e-5);
    }
}

TEST(StrongTicket, ComesNearerWithWidthAndSubsetsNearerThanSingleCandidates) {
  const ModulePtr target = mlp("6-5-3", 6, 3);
  double before = 1e9;
  for (const int width : {1, 8, 16, 24}) {
    const StrongTicket subset = strong_ticket(*target, {.width = width});
    const StrongTicket single = strong_ticket(*target, {.width = width, .match = Match::single});
    for (std::size_t l = 0; l < 2; ++l) EXPECT_LE(subset.layers[l].worst_error, single.layers[l].worst_error);
    EXPECT_LE(single.kept(), subset.kept());
    EXPECT_LT(subset.worst_error(), 0.6 * before) << width;
    before = subset.worst_error();
    if (width == 1) {  // one candidate, or none
      EXPECT_EQ(subset.worst_error(), single.worst_error());
    }
    if (width == 24) {
      EXPECT_LT(1000 * subset.worst_error(), single.worst_error());
    }
  }
}

TEST(StrongTicket, IsTheSameForEveryStorageOfTheTarget) {
  // The same weights: csr, masked, and dense with zeros. A zero, live or not, is met by keeping nothing.
  std::vector<ModulePtr> targets;
  for (int i = 0; i < 3; ++i) targets.push_back(mlp("6-5-3", 6, 3, 0.4));
  targets[1]->visit_parameters([](Parameter& p) {
    if (p.role() == Role::weight) p.become(p.pattern(), Storage::masked);
  });
  targets[2]->visit_parameters([](Parameter& p) {
    if (p.role() == Role::weight) p.become(nullptr, Storage::dense);
  });
  const StrongTicket first = strong_ticket(*targets[0], {.width = 4});
  EXPECT_EQ(first.layers[0].targets, 12 + 5);  // round(0.4 x 30), biases
  for (int i = 1; i < 3; ++i) {
    const StrongTicket other = strong_ticket(*targets[i], {.width = 4});
    const auto a = parameters_of(*first.net), b = parameters_of(*other.net);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t p = 0; p < a.size(); ++p) {
      if (a[p]->pattern()) {
        EXPECT_EQ(*a[p]->pattern(), *b[p]->pattern()) << a[p]->name();
      }
      EXPECT_TRUE(same_bits(a[p]->value(), b[p]->value())) << a[p]->name();
    }
  }
}

TEST(StrongTicket, OfNothingKeepsNothingAndOfBiasesOnlyTheConstant) {
  Sequential target;
  target.add<Linear>(LinearOptions{.name = "fc", .in = 3, .out = 2, .pattern = pattern_of(2, 3, Density::nothing)}, 1);
  const Tile tile = make_tiles({3}, 16, 16).front();
  const StrongTicket nothing = strong_ticket(target, {.width = 8});
  EXPECT_EQ(nothing.kept(), 0);
  EXPECT_EQ(nothing.worst_error(), 0);
  EXPECT_EQ(flat(outputs(*nothing.net, tile)), std::vector<Real>(32, 0));

  by_name(target).at("fc.bias")->value()[1] = Real{0.5};
  const StrongTicket constant = strong_ticket(target, {.width = 8});
  for (const auto& sample : outputs(*constant.net, tile)) {
    EXPECT_EQ(sample[0], 0);
    EXPECT_NEAR(static_cast<double>(sample[1]), 0.5, constant.worst_error() + 1e-6);
  }
  EXPECT_LT(constant.worst_error(), 0.1);
}

TEST(StrongTicket, WorksWithoutBiases) {
  Sequential target;
  target.add<Linear>(LinearOptions{.name = "h", .in = 3, .out = 4, .activation = Activation::relu, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "y", .in = 4, .out = 1, .bias = false}, 1);
  const StrongTicket ticket = strong_ticket(target, {.width = 20});
  EXPECT_EQ(by_name(*ticket.net).size(), 4u);  // nor has the ticket any
  const Tile tile = make_tiles({3}, 16, 16).front();
  const auto y = outputs(target, tile), got = outputs(*ticket.net, tile);
  for (std::size_t s = 0; s < 16; ++s) EXPECT_NEAR(static_cast<double>(got[s][0]), static_cast<double>(y[s][0]), 1e-2);
}

TEST(StrongTicket, DependsOnTheSeedAndNotOnThreads) {
  const ModulePtr target = mlp("6-5-3", 6, 3);
  const auto bits = [&](std::uint64_t seed, int threads) {
    const StrongTicket ticket = strong_ticket(*target, {.width = 8, .seed = seed, .threads = threads});
    return flat(outputs(*ticket.net, make_tiles({6}, 16, 16).front()));
  };
  EXPECT_TRUE(same_bits(bits(1, 1), bits(1, 3)));
  EXPECT_FALSE(same_bits(bits(1, 1), bits(2, 1)));
}

TEST(StrongTicket, GoesIntoAFileAndComesBackLikeAnyModel) {
  const ModulePtr target = mlp("4-3-2", 4, 2);
  const TemporaryFolder folder;
  const StrongTicket ticket = strong_ticket(*target, {.width = 6, .seed = 1});
  save_model(*ticket.net, {}, folder.path() / "ticket.safetensors");
  const StrongTicket another = strong_ticket(*target, {.width = 6, .seed = 2});
  load_model(*another.net, folder.path() / "ticket.safetensors");
  const Tile tile = make_tiles({4}, 16, 16).front();
  EXPECT_TRUE(same_bits(flat(outputs(*ticket.net, tile)), flat(outputs(*another.net, tile))));
}

TEST(StrongTicket, RefusesWhatIsNoReluNetwork) {
  const auto refuses = [](Module& target, const std::string& why) {
    try {
      strong_ticket(target, {.width = 4});
      FAIL() << "expected a UsageError about " << why;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  Sequential straight, rectified, nothing;
  straight.add<Linear>(LinearOptions{.name = "one", .in = 4, .out = 4}, 1)
      .add<Linear>(LinearOptions{.name = "two", .in = 4, .out = 2}, 1);
  rectified.add<Linear>(LinearOptions{.name = "one", .in = 4, .out = 4, .activation = Activation::relu}, 1);
  refuses(straight, "one.weight: expected a ReLU behind it");
  refuses(rectified, "one.weight: expected no activation behind the last layer");
  refuses(nothing, "expected linear layers");
  refuses(*make_model("lenet-5", {.input = {1, 28, 28}, .outputs = 10}), "expected an image");
  Sequential with_dropout;  // which passes through when nothing is trained
  with_dropout.add<Linear>(LinearOptions{.name = "one", .in = 4, .out = 4, .activation = Activation::relu}, 1)
      .add<Dropout>("drop", Real{0.5})
      .add<Linear>(LinearOptions{.name = "two", .in = 4, .out = 2}, 1);
  EXPECT_EQ(strong_ticket(with_dropout, {.width = 4}).layers.size(), 2u);
  for (const int width : {0, subset_sum_limit + 1})
    EXPECT_THROW(strong_ticket(with_dropout, {.width = width}), UsageError);
}

// y = (x, 1 - x) and z = (x, 0.3) on x = 0, 1/5, 2/5 ... 1
TEST(Agreement, SaysHowFarTwoModelsAreApart) {
  const auto model = [](Real w, Real c) {
    auto two = std::make_unique<Sequential>();
    two->add<Linear>(LinearOptions{.name = "fc", .in = 1, .out = 2}, 1);
    const auto parameters = parameters_of(*two);
    parameters[0]->value()[0] = 1, parameters[0]->value()[1] = w;
    parameters[1]->value()[1] = c;
    return two;
  };
  const auto data =
      std::make_shared<ByteSamples>("line", Shape{1}, 2, std::vector<std::uint8_t>{0, 51, 102, 153, 204, 255},
                                    std::vector<std::int32_t>{1, 1, 1, 0, 0, 1});
  for (const Index batch : {6, 4}) {
    const Agreement a =
        agreement_of(*model(-1, 1), *model(0, static_cast<Real>(0.3)), Loader(data, {.batch = batch, .lanes = 16}));
    EXPECT_EQ(a.samples, 6);
    EXPECT_NEAR(a.worst_error, 0.7, 1e-6);                                                      // at x = 0
    EXPECT_NEAR(a.rms_error, std::sqrt((0.49 + 0.25 + 0.09 + 0.01 + 0.01 + 0.09) / 12), 1e-6);  // (0.7 - x)^2
    EXPECT_NEAR(a.target_rms, std::sqrt(2 * (0.04 + 0.16 + 0.36 + 0.64 + 1) / 12), 1e-6);       // x^2, (1 - x)^2
    EXPECT_DOUBLE_EQ(a.same_class, 5.0 / 6);                                                    // but for 2/5
    EXPECT_DOUBLE_EQ(a.target_accuracy, 5.0 / 6);
    EXPECT_DOUBLE_EQ(a.ticket_accuracy, 4.0 / 6);
  }
}

}  // namespace
}  // namespace espalier
