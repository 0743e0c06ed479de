#include "espalier/layers/fold_norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/activations.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/conv_transpose2d.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/narrow_inputs.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequential.h"
#include "espalier/layers/widths.h"
#include "support/batch_pass.h"
#include "support/narrowing.h"
#include "support/patterns.h"
#include "support/temporary_folder.h"
#include "support/two_matrices.h"

namespace espalier {
namespace {

using testing::make_tiles;
using testing::with_numbers_everywhere;
using Names = std::vector<std::string>;

// Statistics as of a trained network: no variance is 1, no mean 0, and some scales are negative.
ModulePtr as_trained(ModulePtr model) {
  model = with_numbers_everywhere(std::move(model));
  const Random random(1, "statistics");
  std::uint64_t n = 0;
  model->visit_state([&](const std::string& name, std::vector<Real>& numbers) {
    for (Real& x : numbers)
      x = static_cast<Real>(name.ends_with("variance") ? 0.3 + 2 * random.uniform(n++) : random.normal(n++));
  });
  for (Parameter* W : parameters_of(*model))
    for (Real& g : W->value())
      if (W->role() == Role::scale) g = static_cast<Real>(random.normal(n++));
  return model;
}

std::vector<std::vector<Real>> outputs(Module& model, const Shape& input, Index samples = 7) {
  return testing::run_batch(model, make_tiles(input, samples, 16), {.mode = Mode::evaluation}).output;
}

void expect_same_outputs(const std::vector<std::vector<Real>>& before, const std::vector<std::vector<Real>>& after) {
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t s = 0; s < before.size(); ++s) {
    Real largest = 1;
    for (const Real y : before[s]) largest = std::max(largest, std::abs(y));
    for (std::size_t i = 0; i < before[s].size(); ++i)
      EXPECT_NEAR(before[s][i], after[s][i], 2e-4 * static_cast<double>(largest)) << s << ' ' << i;
  }
}

struct Net {
  std::string name;
  std::function<ModulePtr()> make;
  Shape input;
  std::size_t folded, stay;
};

ModulePtr conv_and_norm(Conv2dOptions conv, Activation behind) {
  conv.name = "conv";
  auto net = std::make_unique<Sequential>("net");
  const Index out = conv.out;
  net->add<Conv2d>(conv, 1).add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = out, .activation = behind});
  return net;
}

ModulePtr linear_and_norm(Activation between) {
  auto net = std::make_unique<Sequential>("net");
  net->add<Linear>(LinearOptions{.name = "fc1", .in = 6, .out = 9}, 1);
  if (between != Activation::none) net->add<Activate>(between);
  net->add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 9, .activation = Activation::tanh})
      .add<Linear>(LinearOptions{.name = "output", .in = 9, .out = 3}, 1);
  return net;
}

// x + norm(x), x = fc x: what the matrix makes is read twice.
ModulePtr read_twice() {
  auto net = std::make_unique<Sequential>("net");
  net->add<Linear>(LinearOptions{.name = "fc", .in = 6, .out = 8}, 1)
      .add<Residual>("sum", std::make_unique<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 8}));
  return net;
}

ModulePtr zoo(const std::string& name, const Shape& input) {
  return make_model(name, {.input = input, .outputs = 4});
}

const std::vector<Net> nets{
    {"Conv", [] { return conv_and_norm({.in = 3, .out = 5}, Activation::relu); }, {3, 6, 5}, 1, 0},
    {"ConvGroupsWithoutBias",
     [] {
       return conv_and_norm({.in = 4,
                             .out = 6,
                             .window = {.kernel_height = 3,
                                        .kernel_width = 3,
                                        .stride = 2,
                                        .padding_height = 1,
                                        .padding_width = 1,
                                        .groups = 2},
                             .bias = false},
                            Activation::none);
     },
     {4, 7, 6},
     1,
     0},
    {"Linear", [] { return linear_and_norm(Activation::none); }, {6}, 1, 0},
    {"LinearRelu", [] { return linear_and_norm(Activation::relu); }, {6}, 0, 1},
    {"ConvRelu",
     [] { return conv_and_norm({.in = 2, .out = 4, .activation = Activation::relu}, Activation::none); },
     {2, 6, 6},
     0,
     1},
    {"ConvMaxPool",
     [] { return conv_and_norm({.in = 2, .out = 4, .max_pool = true}, Activation::none); },
     {2, 6, 6},
     0,
     1},
    {"ReadTwice", read_twice, {6}, 0, 1},
    {"NormOfInputs",
     [] {
       auto net = std::make_unique<Sequential>("net");
       net->add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 6})
           .add<Linear>(LinearOptions{.name = "fc", .in = 6, .out = 2}, 1);
       return net;
     },
     {6},
     0,
     1},
    {"Tabular", [] { return zoo("tabular:9-7+norm+dropout=0.2", {8}); }, {8}, 2, 0},
    {"TabularResnet", [] { return zoo("tabular-resnet:6x3+norm", {5}); }, {5}, 3, 4},
    {"Average", [] { return zoo("average:2xtabular:6-5+norm", {7}); }, {7}, 4, 0},
    {"VggSmall",
     [] {
       return zoo("vgg-small", {3, 8, 8});
     },
     {3, 8, 8},
     0,
     0},
    {"Resnet20",
     [] {
       return zoo("resnet-20", {3, 8, 8});
     },
     {3, 8, 8},
     0,
     0},
};

TEST(FoldNorm, TheNetworkComputesTheSameWithoutTheLayers) {
  for (const Net& net : nets) {
    SCOPED_TRACE(net.name);
    const ModulePtr model = as_trained(net.make());
    const std::size_t norms = state_of(*model).size() / 2;
    const auto before = outputs(*model, net.input);
    const FoldedNorms result = fold_norms(*model, net.input);
    expect_same_outputs(before, outputs(*model, net.input));
    EXPECT_EQ(result.folded.size() + result.stay.size(), norms);
    EXPECT_EQ(state_of(*model).size(), 2 * result.stay.size());
    if (net.folded + net.stay > 0) {
      EXPECT_EQ(result.folded.size(), net.folded);
      EXPECT_EQ(result.stay.size(), net.stay);
    } else {
      EXPECT_EQ(result.folded.size(), norms) << "every norm of this network stands behind a convolution";
      EXPECT_GT(norms, 0u);
    }
    for (const std::string& name : result.folded)
      for (const Parameter* W : parameters_of(*model)) EXPECT_NE(W->name(), name + ".gamma");
    EXPECT_TRUE(fold_norms(*model, net.input).folded.empty()) << "there is nothing left to fold";
  }
}

TEST(FoldNorm, SaysWhyALayerStays) {
  const auto reason = [](const std::string& name) {
    const auto net = std::ranges::find(nets, name, &Net::name);
    const ModulePtr model = as_trained(net->make());
    return fold_norms(*model, net->input).stay.at(0).why;
  };
  EXPECT_EQ(reason("LinearRelu"), "no matrix makes what it normalises");
  EXPECT_EQ(reason("ConvRelu"), "something else stands between it and the matrix before");
  EXPECT_EQ(reason("ConvMaxPool"), "something else stands between it and the matrix before");
  EXPECT_EQ(reason("ReadTwice"), "what it normalises is read elsewhere as well");
  EXPECT_EQ(reason("NormOfInputs"), "no matrix makes what it normalises");
}

TEST(FoldNorm, ByHand) {
  // z = 2 x + 1, mean 3, variance 4 - epsilon, gamma 6, beta 5:   y = 6 (z - 3) / 2 + 5 = 6 x - 1
  auto net = std::make_unique<Sequential>("net");
  net->add<Linear>(LinearOptions{.name = "fc", .in = 1, .out = 1}, 1)
      .add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 1, .epsilon = Real{0.5}});
  const std::vector<Parameter*> parameters = parameters_of(*net);
  for (const auto& [at, value] : {std::pair{0, 2}, {1, 1}, {2, 6}, {3, 5}})
    parameters[at]->value()[0] = static_cast<Real>(value);
  net->visit_state([](const std::string& name, std::vector<Real>& numbers) {
    numbers[0] = name.ends_with("mean") ? Real{3} : Real{3.5};
  });
  EXPECT_EQ(fold_norms(*net, {1}).folded, Names{"norm"});
  const std::vector<Parameter*> left = parameters_of(*net);
  ASSERT_EQ(left.size(), 3u);
  EXPECT_NEAR(left[0]->value()[0], 6, 1e-5) << "W' = s W, s = 3";
  EXPECT_NEAR(left[1]->value()[0], 3, 1e-5) << "b' = s b";
  EXPECT_EQ(left[2]->name(), "norm.beta");
  EXPECT_NEAR(left[2]->value()[0], -4, 1e-5) << "beta' = beta - s mean";
}

TEST(FoldNorm, ALayerWithoutStatisticsComputesWhatItDid) {
  for (const Shape& input : {Shape{5}, Shape{5, 3, 2}}) {
    const ModulePtr norm = as_trained(std::make_unique<BatchNorm>(
        BatchNormOptions{.name = "norm", .channels = 5, .activation = Activation::relu, .epsilon = Real{0.1}}));
    const auto before = outputs(*norm, input);
    norm->visit_state([](const std::string&, std::vector<Real>& numbers) { numbers.clear(); });
    EXPECT_EQ(parameters_of(*norm).size(), 2u) << "its scale and its shift";
    expect_same_outputs(before, outputs(*norm, input));
    EXPECT_TRUE(state_of(*norm).empty());
  }
}

TEST(FoldNorm, NoWeightThatWasPrunedComesBack) {
  const ModulePtr model = as_trained(zoo("resnet-20", {3, 8, 8}));
  std::vector<PatternPtr> patterns;
  for (Parameter* W : parameters_of(*model))
    if (W->prunable()) {
      W->become(Pattern::random(W->rows(), W->cols(), W->positions() / 3, Random(1, W->name())), Storage::csr);
      patterns.push_back(W->pattern());
    }
  const auto before = outputs(*model, {3, 8, 8});
  fold_norms(*model, {3, 8, 8});
  expect_same_outputs(before, outputs(*model, {3, 8, 8}));
  std::size_t n = 0;
  for (const Parameter* W : parameters_of(*model))
    if (W->prunable()) {
      EXPECT_EQ(W->pattern(), patterns[n++]) << W->name();
    }
}

TEST(FoldNorm, AFileHasTheNetworkAsItIs) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.safetensors";
  for (const auto& [name, input] : {std::pair<std::string, Shape>{"vgg-small", {3, 8, 8}},
                                    {"tabular-resnet:6x2+norm", {5}},
                                    {"average:2xtabular:6-5+norm", {7}}}) {
    SCOPED_TRACE(name);
    const ModulePtr model = as_trained(zoo(name, input));
    const ModelCard card{.model = name, .input = input, .outputs = 4};
    const std::uintmax_t bytes = save_model(*model, card, file).file_bytes;
    fold_norms(*model, input);
    EXPECT_LT(save_model(*model, card, file).file_bytes, bytes);
    const OpenedModel opened = open_model(file);
    EXPECT_EQ(outputs(*opened.model, input), outputs(*model, input)) << "to the bit";
    EXPECT_EQ(state_of(*opened.model).size(), state_of(*model).size());
    const ModulePtr other = zoo(name, input);
    EXPECT_THROW(load_model(*other, file), FileError) << "a network whose norms are layers is another one";
  }
}

TEST(FoldNorm, ANetworkCanBeNarrowedAndTrainedAfterwards) {
  const Shape input{3, 8, 8};
  const auto made = [&] {
    ModulePtr model = as_trained(zoo("vgg-small", input));
    fold_norms(*model, input);
    return model;
  };
  testing::expect_masked_equals_narrow(made, input, make_tiles(input, 13, 16), Mode::training, 20, Random(1, "groups"),
                                       static_cast<Real>(1e-5));
}

// --- inputs that nothing reads ---------------------------------------------------------------------------------------

TEST(NarrowInputs, OutputsAreThoseOfSamplesWithoutTheOtherFeatures) {
  const ModulePtr whole = as_trained(zoo("tabular:6-5", {7})), narrow_one = as_trained(zoo("tabular:6-5", {7}));
  const std::vector<Index> kept{0, 3, 6};
  ASSERT_TRUE(narrow_inputs(*narrow_one, 7, kept));
  EXPECT_EQ(parameters_of(*narrow_one)[0]->cols(), 3);
  std::vector<Tile> tiles = make_tiles({7}, 9, 16), fewer = make_tiles({3}, 9, 16);
  for (Index f = 0, n = 0; f < 7; ++f) {
    const bool stays = std::ranges::count(kept, f) > 0;
    for (Index lane = 0; lane < 16; ++lane)
      (stays ? fewer[0].input.row(n)[lane] : tiles[0].input.row(f)[lane]) = stays ? tiles[0].input.row(f)[lane] : 0;
    n += stays;
  }
  expect_same_outputs(testing::run_batch(*whole, tiles, {.mode = Mode::evaluation}).output,
                      testing::run_batch(*narrow_one, fewer, {.mode = Mode::evaluation}).output);
}

TEST(NarrowInputs, StayWhereSomethingElseReadsThem) {
  auto net = std::make_unique<Sequential>("net");
  net->add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 6})
      .add<Linear>(LinearOptions{.name = "fc", .in = 6, .out = 2}, 1);
  EXPECT_FALSE(narrow_inputs(*net, 6, {0, 1}));
  EXPECT_EQ(parameters_of(*net)[2]->cols(), 6);
  EXPECT_THROW(narrow_inputs(*net, 6, {}), UsageError);
  EXPECT_THROW(narrow_inputs(*net, 6, {1, 6}), UsageError);
}

}  // namespace
}  // namespace espalier
