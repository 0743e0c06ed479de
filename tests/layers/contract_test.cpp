// The universal layer contract: what every layer owes. A new layer is one row in this table, and nothing else here.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/layers/activations.h"
#include "espalier/layers/attention.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/conv_transpose2d.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/embedding.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/layer_norm.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/positions.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"
#include "support/batch_pass.h"
#include "support/narrowing.h"
#include "support/patterns.h"
#include "support/steady_state.h"
#include "support/temporary_folder.h"
#include "support/two_matrices.h"

namespace espalier {
namespace {

struct LayerCase {
  std::string name;                                   // of the row, in test names: letters, digits, _
  std::function<ModulePtr(std::uint64_t seed)> make;  // keep it small: every weight and input is varied in turn
  Shape input;                                        // of one sample
  std::optional<Shape> misfit = std::nullopt;         // an input that output_shape must refuse; none: takes any
  // In training a sample's output depends on the samples that share its tile. Whether tiles of other sizes give the
  // same is then asked in evaluation.
  bool per_tile = false;
  Mode mode_of_any_tile() const { return per_tile ? Mode::evaluation : Mode::training; }
};

std::ostream& operator<<(std::ostream& out, const LayerCase& row) {
  return out << row.name;
}

ModulePtr linear_layer(Activation f, bool bias, std::uint64_t seed);
ModulePtr several_layers(std::uint64_t seed);
ModulePtr conv(Conv2dOptions options, std::uint64_t seed);
ModulePtr convolutional_net(std::uint64_t seed);
ModulePtr conv1d_layer(Conv1dOptions options, std::uint64_t seed);
ModulePtr gru_layer(Index in, Index units, std::uint64_t seed);
ModulePtr net_over_time(std::uint64_t seed);
ModulePtr conv_transpose(ConvTranspose2dOptions options, std::uint64_t seed);
ModulePtr decoder(std::uint64_t seed);
ModulePtr attention_layer(Index features, AttentionForm form, std::uint64_t seed);
ModulePtr embedded_tokens(std::uint64_t seed);
ModulePtr attention_block(std::uint64_t seed);
ModulePtr attention_of_tokens(std::uint64_t seed);
ModulePtr linear_and_batch_norm(std::uint64_t seed);
ModulePtr residual_linear(ModulePtr shortcut, std::uint64_t seed);
ModulePtr residual_batch_norm(std::uint64_t seed);

// --- THE TABLE: add your layer here ----------------------------------------------------------------------------------

const std::vector<LayerCase> all_layers{
    {.name = "Linear",
     .make = [](auto seed) { return linear_layer(Activation::none, true, seed); },
     .input = {11},
     .misfit = Shape{12}},
    {.name = "LinearWithoutBias",
     .make = [](auto seed) { return linear_layer(Activation::none, false, seed); },
     .input = {11},
     .misfit = Shape{10}},
    {.name = "LinearRelu",
     .make = [](auto seed) { return linear_layer(Activation::relu, true, seed); },
     .input = {11},
     .misfit = Shape{1}},
    {.name = "LinearTanh",
     .make = [](auto seed) { return linear_layer(Activation::tanh, true, seed); },
     .input = {11},
     .misfit = Shape{22}},
    {.name = "LinearSigmoid",
     .make = [](auto seed) { return linear_layer(Activation::sigmoid, true, seed); },
     .input = {11},
     .misfit = Shape{11, 2}},
    {.name = "LinearOfAnImage",
     .make =
         [](auto seed) { return std::make_unique<Linear>(LinearOptions{.name = "flat", .in = 12, .out = 5}, seed); },
     .input = {2, 3, 2},
     .misfit = Shape{2, 3, 3}},
    {.name = "Relu", .make = [](auto) { return std::make_unique<Activate>(Activation::relu); }, .input = {2, 3, 2}},
    {.name = "Tanh", .make = [](auto) { return std::make_unique<Activate>(Activation::tanh); }, .input = {7}},
    {.name = "Sigmoid", .make = [](auto) { return std::make_unique<Activate>(Activation::sigmoid); }, .input = {7}},
    {.name = "Gelu", .make = [](auto) { return std::make_unique<Gelu>(); }, .input = {7}},
    {.name = "Dropout", .make = [](auto) { return std::make_unique<Dropout>("drop", Real{0.3}); }, .input = {9}},
    {.name = "MaxPool",
     .make = [](auto) { return std::make_unique<MaxPool>(PoolOptions{}); },
     .input = {3, 4, 6},
     .misfit = Shape{3, 1, 6}},
    {.name = "MaxPoolOfOddExtents",
     .make = [](auto) { return std::make_unique<MaxPool>(PoolOptions{}); },
     .input = {1, 5, 37},
     .misfit = Shape{37}},
    {.name = "MaxPoolThatOverlaps",
     .make = [](auto) { return std::make_unique<MaxPool>(PoolOptions{.kernel = 3, .stride = 2, .padding = 1}); },
     .input = {2, 6, 5},
     .misfit = Shape{2, 6}},
    {.name = "AveragePool",
     .make = [](auto) { return std::make_unique<AveragePool>(PoolOptions{}); },
     .input = {3, 5, 4},
     .misfit = Shape{3, 5, 1}},
    {.name = "AveragePoolThatOverlaps",
     .make = [](auto) { return std::make_unique<AveragePool>(PoolOptions{.kernel = 3, .stride = 2, .padding = 1}); },
     .input = {1, 4, 7},
     .misfit = Shape{28}},
    {.name = "GlobalAveragePool",
     .make = [](auto) { return std::make_unique<GlobalAveragePool>(); },
     .input = {3, 3, 5},
     .misfit = Shape{45}},
    {.name = "BatchNorm",
     .make = [](auto) { return std::make_unique<BatchNorm>(BatchNormOptions{.channels = 3}); },
     .input = {3, 2, 3},
     .misfit = Shape{2, 3, 3},
     .per_tile = true},
    {.name = "BatchNormOfOneChannelRelu",
     .make =
         [](auto) {
           return std::make_unique<BatchNorm>(BatchNormOptions{.channels = 1, .activation = Activation::relu});
         },
     .input = {1, 3, 5},
     .misfit = Shape{2, 3, 5},
     .per_tile = true},
    {.name = "BatchNormOfFeaturesTanh",
     .make =
         [](auto) {
           return std::make_unique<BatchNorm>(BatchNormOptions{.channels = 7, .activation = Activation::tanh});
         },
     .input = {7},
     .misfit = Shape{8},
     .per_tile = true},
    {.name = "BatchNormSigmoid",
     .make =
         [](auto) {
           return std::make_unique<BatchNorm>(BatchNormOptions{.channels = 2, .activation = Activation::sigmoid});
         },
     .input = {2, 3, 1},
     .misfit = Shape{2, 3},
     .per_tile = true},
    {.name = "LinearAndBatchNorm", .make = linear_and_batch_norm, .input = {11}, .misfit = Shape{12}, .per_tile = true},
    {.name = "Residual",
     .make = [](auto seed) { return residual_linear(nullptr, seed); },
     .input = {6},
     .misfit = Shape{2, 3}},
    {.name = "ResidualWithShortcut",
     .make =
         [](auto seed) {
           return residual_linear(
               std::make_unique<Linear>(LinearOptions{.name = "shortcut", .in = 12, .out = 6, .bias = false}, seed),
               seed);
         },
     .input = {12},
     .misfit = Shape{6}},
    {.name = "Average",
     .make = [](auto seed) { return make_model("average:3xtabular:5", {.input = {6}, .outputs = 2, .seed = seed}); },
     .input = {6},
     .misfit = Shape{7}},
    {.name = "ResidualOfAnImage",
     .make = residual_batch_norm,
     .input = {2, 3, 3},
     .misfit = Shape{3, 3, 3},
     .per_tile = true},
    {.name = "Sequential", .make = several_layers, .input = {11}, .misfit = Shape{7}},
    {.name = "Mlp",
     .make = [](auto seed) { return make_model("mlp:12-9-7-5", {.input = {12}, .outputs = 5, .seed = seed}); },
     .input = {12},
     .misfit = Shape{13}},
    {.name = "TabularWithDropout",
     .make =
         [](auto seed) { return make_model("tabular:9-7+dropout=0.3", {.input = {8}, .outputs = 3, .seed = seed}); },
     .input = {8},
     .misfit = Shape{9}},
    {.name = "TabularWithNormAndDropout",
     .make =
         [](auto seed) {
           return make_model("tabular:7-6+norm+dropout=0.2", {.input = {8}, .outputs = 3, .seed = seed});
         },
     .input = {8},
     .misfit = Shape{7},
     .per_tile = true},
    {.name = "TabularResnet",
     .make = [](auto seed) { return make_model("tabular-resnet:4x2", {.input = {5}, .outputs = 2, .seed = seed}); },
     .input = {5},
     .misfit = Shape{4},
     .per_tile = true},
    {.name = "Conv2d",
     .make = [](auto seed) { return conv({.in = 2, .out = 3, .activation = Activation::relu}, seed); },
     .input = {2, 4, 5},
     .misfit = Shape{3, 4, 5}},
    {.name = "Conv2dOneChannelStrideThatDoesNotDivide",
     .make =
         [](auto seed) {
           return conv({.in = 1,
                        .out = 3,
                        .window = {.kernel_height = 3, .kernel_width = 2, .stride = 2},
                        .activation = Activation::tanh},
                       seed);
         },
     .input = {1, 6, 7},
     .misfit = Shape{1, 2, 7}},
    {.name = "Conv2dKernelLargerThanTheInput",
     .make =
         [](auto seed) {
           return conv({.in = 2,
                        .out = 2,
                        .window = {.kernel_height = 5, .kernel_width = 5, .padding_height = 2, .padding_width = 2}},
                       seed);
         },
     .input = {2, 3, 2},
     .misfit = Shape{2, 3}},
    {.name = "Conv2dGroups",
     .make =
         [](auto seed) {
           return conv({.in = 4,
                        .out = 6,
                        .window = {.kernel_height = 3,
                                   .kernel_width = 3,
                                   .stride = 2,
                                   .padding_height = 1,
                                   .padding_width = 1,
                                   .groups = 2},
                        .activation = Activation::sigmoid,
                        .bias = false},
                       seed);
         },
     .input = {4, 4, 4},
     .misfit = Shape{2, 4, 4}},
    {.name = "Conv2dOneByOneStrided",
     .make = [](auto seed) { return conv({.in = 3, .out = 2, .window = {.stride = 2}}, seed); },
     .input = {3, 5, 4},
     .misfit = Shape{2, 5, 4}},
    {.name = "Conv2dMaxPool",
     .make =
         [](auto seed) { return conv({.in = 2, .out = 3, .activation = Activation::relu, .max_pool = true}, seed); },
     .input = {2, 6, 4},
     .misfit = Shape{2, 1, 4}},
    {.name = "Conv2dMaxPoolOddExtents",
     .make =
         [](auto seed) {
           return conv({.in = 2,
                        .out = 2,
                        .window = {.kernel_height = 2, .kernel_width = 2},
                        .activation = Activation::tanh,
                        .max_pool = true},
                       seed);
         },
     .input = {2, 6, 4},
     .misfit = Shape{2, 2, 4}},
    {.name = "Conv1d",
     .make = [](auto seed) { return conv1d_layer({.in = 3, .out = 4, .activation = Activation::relu}, seed); },
     .input = {6, 3},
     .misfit = Shape{6, 4}},
    {.name = "Conv1dOneFeatureStrideThatDoesNotDivide",
     .make =
         [](auto seed) {
           return conv1d_layer(
               {.in = 1, .out = 5, .window = {.kernel = 4, .stride = 3}, .activation = Activation::tanh}, seed);
         },
     .input = {12, 1},
     .misfit = Shape{3, 1}},
    {.name = "Conv1dKernelLargerThanTheInput",
     .make =
         [](auto seed) {
           return conv1d_layer({.in = 2, .out = 3, .window = {.kernel = 7, .padding = 3}, .bias = false}, seed);
         },
     .input = {2, 2},
     .misfit = Shape{4}},
    {.name = "Conv1dStrideBeyondTheKernel",
     .make =
         [](auto seed) {
           return conv1d_layer(
               {.in = 4, .out = 3, .window = {.kernel = 2, .stride = 3}, .activation = Activation::sigmoid}, seed);
         },
     .input = {7, 4},
     .misfit = Shape{7, 2, 2}},
    {.name = "Gru", .make = [](auto seed) { return gru_layer(3, 4, seed); }, .input = {5, 3}, .misfit = Shape{5, 4}},
    {.name = "GruOneFeature",
     .make = [](auto seed) { return gru_layer(1, 5, seed); },
     .input = {4, 1},
     .misfit = Shape{4}},
    {.name = "GruOneStep",
     .make = [](auto seed) { return gru_layer(3, 5, seed); },
     .input = {1, 3},
     .misfit = Shape{3, 1}},
    {.name = "LastStep",
     .make = [](auto) { return std::make_unique<LastStep>(); },
     .input = {4, 3},
     .misfit = Shape{12}},
    {.name = "MeanOverTime",
     .make = [](auto) { return std::make_unique<MeanOverTime>(); },
     .input = {4, 3},
     .misfit = Shape{3, 2, 2}},
    {.name = "NetOverTime", .make = net_over_time, .input = {9, 2}, .misfit = Shape{9, 3}},
    {.name = "LayerNorm",
     .make = [](auto) { return std::make_unique<LayerNorm>(LayerNormOptions{.features = 7}); },
     .input = {7},
     .misfit = Shape{8}},
    {.name = "LayerNormOverTime",
     .make = [](auto) { return std::make_unique<LayerNorm>(LayerNormOptions{.features = 5}); },
     .input = {4, 5},
     .misfit = Shape{5, 4}},
    {.name = "ConvTranspose2d",
     .make = [](auto seed) { return conv_transpose({.in = 3, .out = 2, .activation = Activation::relu}, seed); },
     .input = {3, 3, 4},
     .misfit = Shape{2, 3, 4}},
    {.name = "ConvTranspose2dStrideOne",
     .make =
         [](auto seed) {
           return conv_transpose({.in = 2,
                                  .out = 3,
                                  .window = {.kernel_height = 3, .kernel_width = 2, .padding_height = 1},
                                  .activation = Activation::tanh,
                                  .bias = false},
                                 seed);
         },
     .input = {2, 4, 3},
     .misfit = Shape{24}},
    {.name = "ConvTranspose2dGroupsOutputPadding",
     .make =
         [](auto seed) {
           return conv_transpose({.in = 4,
                                  .out = 6,
                                  .window = {.kernel_height = 3,
                                             .kernel_width = 3,
                                             .stride = 2,
                                             .padding_height = 1,
                                             .padding_width = 1,
                                             .groups = 2},
                                  .output_padding = 1,
                                  .activation = Activation::sigmoid},
                                 seed);
         },
     .input = {4, 2, 3},
     .misfit = Shape{6, 2, 3}},
    {.name = "ConvTranspose2dStrideBeyondTheKernel",
     .make =
         [](auto seed) {
           return conv_transpose(
               {.in = 2, .out = 3, .window = {.kernel_height = 2, .kernel_width = 1, .stride = 3}, .output_padding = 2},
               seed);
         },
     .input = {2, 3, 2},
     .misfit = Shape{2, 3}},
    {.name = "ConvTranspose2dPaddedAway",
     .make =
         [](auto seed) {
           return conv_transpose(
               {.in = 3,
                .out = 3,
                .window = {.kernel_height = 2, .kernel_width = 2, .padding_height = 1, .padding_width = 1}},
               seed);
         },
     .input = {3, 4, 5},
     .misfit = Shape{3, 1, 5}},
    {.name = "Decoder", .make = decoder, .input = {2, 6, 4}, .misfit = Shape{1, 6, 4}},
    {.name = "MultiHeadAttention",
     .make = [](auto seed) { return attention_layer(12, {.heads = 3}, seed); },
     .input = {3, 12},
     .misfit = Shape{3, 11}},
    {.name = "MultiHeadAttentionCausal",
     .make = [](auto seed) { return attention_layer(12, {.heads = 2, .causal = true}, seed); },
     .input = {5, 12},
     .misfit = Shape{60}},
    {.name = "MultiHeadAttentionOneFeatureAHead",
     .make = [](auto seed) { return attention_layer(6, {.heads = 6}, seed); },
     .input = {2, 6},
     .misfit = Shape{6, 2}},
    {.name = "EmbeddedTokens", .make = embedded_tokens, .input = {4}, .misfit = Shape{4, 1}},
    {.name = "PositionsLearnt",
     .make = [](auto) { return std::make_unique<Positions>(PositionsOptions{.steps = 3, .features = 5}); },
     .input = {3, 5},
     .misfit = Shape{4, 5}},
    {.name = "PositionsSinusoidal",
     .make =
         [](auto) {
           return std::make_unique<Positions>(
               PositionsOptions{.steps = 4, .features = 5, .kind = PositionKind::sinusoidal});
         },
     .input = {4, 5},
     .misfit = Shape{20}},
    {.name = "AttentionBlock", .make = attention_block, .input = {3, 4}, .misfit = Shape{3, 5}},
    {.name = "AttentionModel",
     .make =
         [](auto seed) {
           return make_model("attention:6x2x1", {.input = {2, 4}, .outputs = 3, .seed = seed});
         },
     .input = {2, 4},
     .misfit = Shape{2, 5}},
    {.name = "AttentionModelOfTokens", .make = attention_of_tokens, .input = {3}, .misfit = Shape{3, 1}},
    {.name = "TwoMatricesInOneNode",
     .make = [](auto seed) { return std::make_unique<testing::TwoMatrices>(7, 5, 4, seed); },
     .input = {7},
     .misfit = Shape{6}},
    {.name = "ConvolutionalNet", .make = convolutional_net, .input = {2, 8, 8}, .misfit = Shape{3, 8, 8}},
};

// --- the layers of the table that take more than a line --------------------------------------------------------------

// Biases start at zero, running statistics at 0 and 1; here they get numbers, so that a forgotten one shows.
ModulePtr with_biases(ModulePtr module) {
  for (Parameter* parameter : parameters_of(*module))
    if (!parameter->prunable()) testing::fill_normal(parameter->value(), *parameter, parameter->name());
  module->visit_state([](const std::string& name, std::span<Real> numbers) {
    const Random random(1, name);
    for (std::size_t n = 0; n < numbers.size(); ++n) numbers[n] = static_cast<Real>(0.5 + random.uniform(n));
  });
  return module;
}

ModulePtr linear_layer(Activation f, bool bias, std::uint64_t seed) {
  return std::make_unique<Linear>(LinearOptions{.name = "linear", .in = 11, .out = 6, .activation = f, .bias = bias},
                                  seed);
}

ModulePtr several_layers(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("several");
  model->add<Linear>(LinearOptions{.name = "fc1", .in = 11, .out = 8}, seed)
      .add<Gelu>()
      .add<Dropout>("drop", Real{0.25})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 8, .out = 6, .activation = Activation::tanh}, seed)
      .add<Activate>(Activation::sigmoid)
      .add<Linear>(LinearOptions{.name = "fc3", .in = 6, .out = 3, .bias = false}, seed);
  return model;
}

ModulePtr linear_and_batch_norm(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("normalised");
  model->add<Linear>(LinearOptions{.name = "fc1", .in = 11, .out = 5}, seed)
      .add<BatchNorm>(BatchNormOptions{.name = "norm1", .channels = 5, .activation = Activation::tanh})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 5, .out = 3, .bias = false}, seed)
      .add<BatchNorm>(BatchNormOptions{.name = "norm2", .channels = 3});
  return model;
}

ModulePtr residual_linear(ModulePtr shortcut, std::uint64_t seed) {
  const Index in = shortcut ? 12 : 6;
  auto body = std::make_unique<Sequential>("body");
  body->add<Linear>(LinearOptions{.name = "fc1", .in = in, .out = 8, .activation = Activation::tanh}, seed)
      .add<Linear>(LinearOptions{.name = "fc2", .in = 8, .out = 6}, seed);
  return std::make_unique<Residual>("residual", std::move(body), std::move(shortcut), Activation::relu);
}

ModulePtr residual_batch_norm(std::uint64_t) {
  return std::make_unique<Residual>(
      "residual", std::make_unique<BatchNorm>(BatchNormOptions{.name = "body", .channels = 2}),
      std::make_unique<BatchNorm>(BatchNormOptions{.name = "shortcut", .channels = 2, .activation = Activation::tanh}));
}

ModulePtr conv(Conv2dOptions options, std::uint64_t seed) {
  options.name = "conv";
  return std::make_unique<Conv2d>(options, seed);
}

ModulePtr conv1d_layer(Conv1dOptions options, std::uint64_t seed) {
  options.name = "conv";
  return std::make_unique<Conv1d>(options, seed);
}

ModulePtr gru_layer(Index in, Index units, std::uint64_t seed) {
  return std::make_unique<Gru>(GruOptions{.name = "gru", .in = in, .units = units}, seed);
}

// A convolution before a recurrent layer, another recurrent layer that reads all its states, its last state.
ModulePtr net_over_time(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("over_time");
  model
      ->add<Conv1d>(Conv1dOptions{.name = "c1",
                                  .in = 2,
                                  .out = 3,
                                  .window = {.kernel = 3, .stride = 2, .padding = 1},
                                  .activation = Activation::tanh},
                    seed)
      .add<Gru>(GruOptions{.name = "g1", .in = 3, .units = 3}, seed)
      .add<Gru>(GruOptions{.name = "g2", .in = 3, .units = 4}, seed)
      .add<LastStep>()
      .add<Linear>(LinearOptions{.name = "fc", .in = 4, .out = 3}, seed);
  return model;
}

ModulePtr conv_transpose(ConvTranspose2dOptions options, std::uint64_t seed) {
  options.name = "up";
  return std::make_unique<ConvTranspose2d>(options, seed);
}

// Down, up, and once more over what came up: each of the two is asked for a halo, and asks for one.
ModulePtr decoder(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("decoder");
  model
      ->add<Conv2d>(
          Conv2dOptions{
              .name = "down",
              .in = 2,
              .out = 3,
              .window = {.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1},
              .activation = Activation::tanh},
          seed)
      .add<ConvTranspose2d>(
          ConvTranspose2dOptions{
              .name = "up",
              .in = 3,
              .out = 2,
              .window = {.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1},
              .output_padding = 1,
              .activation = Activation::tanh},
          seed)
      .add<ConvTranspose2d>(
          ConvTranspose2dOptions{
              .name = "again",
              .in = 2,
              .out = 2,
              .window = {.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1}},
          seed);
  return model;
}

ModulePtr attention_layer(Index features, AttentionForm form, std::uint64_t seed) {
  return std::make_unique<MultiHeadAttention>(
      MultiHeadAttentionOptions{.name = "attention", .features = features, .form = form}, seed);
}

// Any number as a token below `vocabulary`; steps have no slope.
class Tokens final : public Module {
 public:
  explicit Tokens(Index vocabulary) : last_(static_cast<Real>(vocabulary - 1)) {}
  Var forward(const Var& x) const override {
    Tensor y = x.tape().make(x.shape());
    for (Index i = 0; i < y.features(); ++i)
      for (Index lane = 0; lane < y.lanes(); ++lane)
        y.row(i)[lane] = std::min(std::floor(std::abs(4 * x.value().row(i)[lane])), last_);
    return x.tape().record({.operation = "tokens", .inputs = {x}}, y, [](Tape&, Tensor&) {});
  }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string name() const override { return "tokens"; }

 private:
  Real last_;
};

// A lookup has no FLOPs, so something is multiplied behind it.
ModulePtr embedded_tokens(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("embedded");
  model->add<Tokens>(9)
      .add<Embedding>(EmbeddingOptions{.name = "embedding", .vocabulary = 9, .features = 5}, seed)
      .add<Linear>(LinearOptions{.name = "fc", .in = 20, .out = 3}, seed);
  return model;
}

ModulePtr attention_of_tokens(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("of_tokens");
  model->add<Tokens>(7).add(make_model("attention:6x2x1+tokens=7", {.input = {3}, .outputs = 2, .seed = seed}));
  return model;
}

// What transformers are made of: positions, and two residual bodies that begin with a layer norm.
ModulePtr attention_block(std::uint64_t seed) {
  auto mixing = std::make_unique<Sequential>("mixing"), thinking = std::make_unique<Sequential>("thinking");
  mixing->add<LayerNorm>(LayerNormOptions{.name = "norm1", .features = 8})
      .add<MultiHeadAttention>(MultiHeadAttentionOptions{.features = 8, .form = {.heads = 2, .causal = true}}, seed);
  const TimeWindow one_step;
  thinking->add<LayerNorm>(LayerNormOptions{.name = "norm2", .features = 8})
      .add<Conv1d>(Conv1dOptions{.name = "fc1", .in = 8, .out = 12, .window = one_step}, seed)
      .add<Gelu>()
      .add<Conv1d>(Conv1dOptions{.name = "fc2", .in = 12, .out = 8, .window = one_step}, seed);
  auto model = std::make_unique<Sequential>("block");
  model->add<Conv1d>(Conv1dOptions{.name = "input", .in = 4, .out = 8, .window = one_step}, seed)
      .add<Positions>(PositionsOptions{.steps = 3, .features = 8})
      .add<Residual>("block.mixing", std::move(mixing))
      .add<Residual>("block.thinking", std::move(thinking))
      .add<MeanOverTime>();
  return model;
}

// Every way in which one convolution follows another: directly, fused with a maximum, with a stride, into a flat layer.
ModulePtr convolutional_net(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("convolutional");
  model->add<Conv2d>(Conv2dOptions{.name = "c1", .in = 2, .out = 3, .activation = Activation::tanh}, seed)
      .add<Conv2d>(Conv2dOptions{.name = "c2", .in = 3, .out = 4, .activation = Activation::tanh, .max_pool = true},
                   seed)
      .add<Conv2d>(
          Conv2dOptions{
              .name = "c3",
              .in = 4,
              .out = 3,
              .window = {.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1},
              .activation = Activation::sigmoid},
          seed)
      .add<Linear>(LinearOptions{.name = "fc", .in = 12, .out = 3}, seed);
  return model;
}

// --- what every row goes through -------------------------------------------------------------------------------------

using testing::Density;
using testing::epsilon;
using testing::expect_close;
using testing::expect_identical;
using testing::make_tiles;
using testing::nan;
using testing::Pass;
using testing::PassOptions;
using testing::pattern_of;
using testing::run_batch;
using testing::same_bits;

// Sums over a few dozen terms in another order, relative to the largest of the results.
constexpr Real close = 32 * epsilon;

class LayerContract : public ::testing::TestWithParam<LayerCase> {
 protected:
  const LayerCase& row() const { return GetParam(); }
  ModulePtr make(std::uint64_t seed = 1) const { return with_biases(row().make(seed)); }
  std::vector<Tile> tiles(Index samples, Index lanes, Real padding = 0) const {
    return make_tiles(row().input, samples, lanes, padding);
  }
};

INSTANTIATE_TEST_SUITE_P(EveryLayer, LayerContract, ::testing::ValuesIn(all_layers),
                         [](const auto& of) { return of.param.name; });

// Gives every prunable parameter a pattern of this density, and a storage; dense: the pruned weights are zeros.
void prune(Module& module, Density density, Storage storage) {
  for (Parameter* W : parameters_of(module)) {
    if (!W->prunable()) continue;
    W->become(pattern_of(W->rows(), W->cols(), density), Storage::masked);
    if (storage == Storage::dense)
      W->become(nullptr, Storage::dense);
    else
      W->become(W->pattern(), storage);
  }
}

// The gradient of every weight that lives in `by`, in row-major order.
std::vector<Real> live_gradients(Module& module, const Pass& pass, const Module& by) {
  std::vector<Real> live;
  const std::vector<Parameter*> parameters = parameters_of(module);
  const std::vector<const Parameter*> patterns = parameters_of(by);
  for (std::size_t p = 0; p < parameters.size(); ++p)
    parameters[p]->for_each_weight([&](Index r, Index c, Index at) {
      if (!patterns[p]->pattern() || patterns[p]->pattern()->live(r, c)) live.push_back(pass.gradient[p][at]);
    });
  return live;
}

// Between a linear layer in front and one behind, or the like, so that what it reads and what it gives can be narrower.
ModulePtr in_a_network(const LayerCase& row) {
  auto model = std::make_unique<Sequential>("network");
  if (row.input.rank() == 1)
    model->add<Linear>(LinearOptions{.name = "front", .in = row.input[0], .out = row.input[0]}, 1);
  else if (row.input.rank() == 2)
    model->add<Conv1d>(Conv1dOptions{.name = "front", .in = row.input[1], .out = row.input[1], .window = {}}, 1);
  else
    model->add<Conv2d>(Conv2dOptions{.name = "front", .in = row.input[0], .out = row.input[0], .window = {}}, 1);
  model->add(row.make(1));
  model->add<Linear>(LinearOptions{.name = "behind", .in = model->output_shape(row.input).features(), .out = 3}, 1);
  return with_biases(std::move(model));
}

TEST_P(LayerContract, ComputesWithoutUnitsWhatItComputesWithThemMasked) {
  const std::vector<Tile> tiles = testing::make_tiles(GetParam().input, 5, 16);
  for (const std::uint64_t seed : {1, 2, 3})
    testing::expect_masked_equals_narrow([&] { return in_a_network(GetParam()); }, GetParam().input, tiles,
                                         Mode::evaluation, /*most=*/static_cast<Index>(seed), Random(seed, "units"),
                                         static_cast<Real>(1e-5));
}

TEST_P(LayerContract, OutputShapeIsTheShapeThatForwardMakes) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(16, 16);
  Tape tape;
  const Var y = module->forward(tape.begin(batch[0], {}));
  EXPECT_EQ(y.shape(), module->output_shape(row().input));
  EXPECT_EQ(y.value().lane_counts(), batch[0].input.lane_counts());
  EXPECT_TRUE(y.value().halo().none());
}

TEST_P(LayerContract, AnInputThatDoesNotFitIsAUsageErrorThatNamesWhatCame) {
  if (!row().misfit) return;
  const ModulePtr module = make();
  try {
    module->output_shape(*row().misfit);
    ADD_FAILURE() << "expected a UsageError";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find(row().misfit->text()), std::string::npos) << error.what();
  }
}

TEST_P(LayerContract, ParametersHaveNamesOfTheirOwn) {
  const ModulePtr module = make();
  std::set<std::string> names;
  for (const Parameter* parameter : parameters_of(*module)) {
    EXPECT_FALSE(parameter->name().empty());
    EXPECT_TRUE(names.insert(parameter->name()).second) << parameter->name();
  }
  EXPECT_FALSE(module->name().empty());
}

TEST_P(LayerContract, TheSeedAloneDecidesTheWeights) {
  const ModulePtr a = make(1), b = make(1), other = make(2);
  const auto pa = parameters_of(*a), pb = parameters_of(*b), po = parameters_of(*other);
  ASSERT_EQ(pa.size(), pb.size());
  for (std::size_t p = 0; p < pa.size(); ++p) {
    EXPECT_TRUE(same_bits(pa[p]->value(), pb[p]->value()));
    EXPECT_EQ(same_bits(pa[p]->value(), po[p]->value()), !pa[p]->prunable()) << pa[p]->name();
  }
}

TEST_P(LayerContract, AFileBringsBackEveryBit) {
  const testing::TemporaryFolder folder;
  const auto file_of = [&](const Module& module) {
    save_model(module, {}, folder.path() / "model");
    return read_file(folder.path() / "model", std::uintmax_t{1} << 30);
  };
  for (const Density density : testing::all_densities)
    for (const Storage storage : {Storage::masked, Storage::csr}) {
      const ModulePtr saved = make(1), loaded = make(2);
      prune(*saved, density, storage);
      saved->visit_state([](const std::string&, std::span<Real> n) { std::iota(n.begin(), n.end(), Real{0.5}); });
      const std::string file = file_of(*saved);
      load_model(*loaded, folder.path() / "model");
      EXPECT_EQ(file_of(*loaded), file) << density << " " << name_of(storage);
    }
}

#ifdef ESPALIER_REAL_DOUBLE
// d(sum of the losses / samples) by central differences; rounding and curvature both stay below 1e-9.
constexpr Real difference = 1e-5, difference_tolerance = 1e-8;

Real total_loss(Module& module, const std::vector<Tile>& tiles) {
  Real total = 0;
  for (const Tile& tile : tiles) {
    Tape tape;
    const Var loss = testing::linear_functional(module.forward(tape.begin(tile, {.seed = 5, .step = 3})));
    for (Index lane = 0; lane < loss.value().valid(); ++lane) total += loss.value().row(0)[lane] / tile.denominator;
  }
  return total;
}

Real slope(Module& module, const std::vector<Tile>& tiles, Real& number) {
  const Real centre = number;
  number = centre + difference;
  const Real above = total_loss(module, tiles);
  number = centre - difference;
  const Real below = total_loss(module, tiles);
  number = centre;
  return (above - below) / (2 * difference);
}

void expect_finite_differences(Module& module, std::vector<Tile> tiles) {
  const Pass pass = run_batch(module, tiles);
  const bool passed_on = !pass.input_gradient.empty();  // else it is 0: tokens have no slope
  std::size_t sample = 0;
  for (Tile& tile : tiles)
    for (Index lane = 0; lane < tile.valid(); ++lane, ++sample)
      for (Index i = 0; i < tile.input.features(); ++i)
        EXPECT_NEAR(passed_on ? pass.input_gradient[sample][i] : 0, slope(module, tiles, tile.input.row(i)[lane]),
                    difference_tolerance)
            << "input " << i << " of sample " << sample;
  const std::vector<Parameter*> parameters = parameters_of(module);
  for (std::size_t p = 0; p < parameters.size(); ++p)
    parameters[p]->for_each_weight([&](Index r, Index c, Index at) {
      const auto n = static_cast<std::size_t>(at);
      EXPECT_NEAR(pass.gradient[p][n], slope(module, tiles, parameters[p]->value()[n]), difference_tolerance)
          << parameters[p]->name() << " " << r << ", " << c;
    });
}

TEST_P(LayerContract, GradientsAreThoseOfFiniteDifferences) {
  const ModulePtr module = make();
  expect_finite_differences(*module, tiles(21, 16));
}

TEST_P(LayerContract, GradientsOfASparseLayerAreThoseOfFiniteDifferences) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    expect_finite_differences(*module, tiles(5, 16));
  }
}
#endif

TEST_P(LayerContract, DenseMaskedAndCsrAreTheSameFunctionWithTheSameGradients) {
  for (const Density density : {Density::half, Density::tenth, Density::empty_row, Density::nothing}) {
    SCOPED_TRACE(density);
    const ModulePtr dense = make(), masked = make(), csr = make();
    prune(*dense, density, Storage::dense);
    prune(*masked, density, Storage::masked);
    prune(*csr, density, Storage::csr);
    const std::vector<Tile> batch = tiles(37, 16);
    const Pass a = run_batch(*dense, batch), b = run_batch(*masked, batch), c = run_batch(*csr, batch);
    expect_close(testing::flat(a.output), testing::flat(b.output), close, "dense and masked output");
    expect_close(testing::flat(a.output), testing::flat(c.output), close, "dense and csr output");
    expect_close(testing::flat(a.input_gradient), testing::flat(b.input_gradient), close, "input gradients, masked");
    expect_close(testing::flat(a.input_gradient), testing::flat(c.input_gradient), close, "input gradients, csr");
    const std::vector<Real> expected = live_gradients(*dense, a, *masked);
    expect_close(expected, live_gradients(*masked, b, *masked), close, "weight gradients, masked");
    expect_close(expected, live_gradients(*csr, c, *masked), close, "weight gradients, csr");
  }
}

TEST_P(LayerContract, APrunedWeightOfAMaskedLayerHasNoGradient) {
  const ModulePtr module = make();
  prune(*module, Density::half, Storage::masked);
  const Pass pass = run_batch(*module, tiles(37, 16));
  const std::vector<Parameter*> parameters = parameters_of(*module);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    if (!parameters[p]->pattern()) continue;
    const std::vector<std::uint8_t> mask = parameters[p]->pattern()->mask();
    for (std::size_t n = 0; n < mask.size(); ++n) EXPECT_TRUE(mask[n] || pass.gradient[p][n] == 0);
  }
}

TEST_P(LayerContract, WhatStandsInThePaddingChangesNoBit) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    for (const Index lanes : {16, 48}) {
      const Pass zeros = run_batch(*module, tiles(37, lanes, 0));
      expect_identical(zeros, run_batch(*module, tiles(37, lanes, nan)));
      expect_identical(zeros, run_batch(*module, tiles(37, lanes, Real{1e30f})));
    }
  }
}

TEST_P(LayerContract, ARaggedTileIsItsSamplesInAFullTile) {
  const ModulePtr module = make();
  for (const Index valid : {1, 15, 16}) {
    const PassOptions options{.mode = row().mode_of_any_tile()};
    const Pass full = run_batch(*module, tiles(valid, 1), options);
    const Pass ragged = run_batch(*module, tiles(valid, 64), options);
    expect_close(full, ragged, close);
  }
}

TEST_P(LayerContract, LanesDoNotChangeTheResultBeyondRounding) {
  for (const Storage storage : {Storage::dense, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    const PassOptions options{.mode = row().mode_of_any_tile()};
    const Pass sixteen = run_batch(*module, tiles(128, 16), options);
    for (const Index lanes : {1, 48, 64, 128}) {
      SCOPED_TRACE(lanes);
      expect_close(sixteen, run_batch(*module, tiles(128, lanes), options), close);
    }
  }
}

TEST_P(LayerContract, ThreadsDoNotChangeABit) {
  for (const Storage storage : {Storage::dense, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    const Pass one = run_batch(*module, tiles(125, 16), {.threads = 1});
    for (int repeat = 0; repeat < 5; ++repeat)
      expect_identical(one, run_batch(*module, tiles(125, 16), {.threads = 4}));
  }
}

TEST_P(LayerContract, WhatABufferHeldBeforeChangesNoBit) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    expect_identical(run_batch(*module, tiles(37, 16), {.poison = false}),
                     run_batch(*module, tiles(37, 16), {.poison = true}));
  }
}

TEST_P(LayerContract, TwoUsesOfTheInputAddTheirGradients) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    const Pass once = run_batch(*module, tiles(21, 16));
    const Pass twice =
        run_batch(*module, tiles(21, 16),
                  {.forward = [](const Module& m, const Var& x) { return testing::sum(m.forward(x), m.forward(x)); }});
    const auto doubled = [](std::vector<Real> numbers) {
      for (Real& number : numbers) number *= 2;
      return numbers;
    };
    expect_close(doubled(testing::flat(once.output)), testing::flat(twice.output), close, "output");
    expect_close(doubled(testing::flat(once.input_gradient)), testing::flat(twice.input_gradient), close, "input");
    for (std::size_t p = 0; p < once.gradient.size(); ++p)
      expect_close(doubled(once.gradient[p]), twice.gradient[p], close, "parameter");
  }
}

// An image comes with any halo, and goes with the one that was asked for, whose border is zero; what is inside does not
// change, nor do the gradients.
TEST_P(LayerContract, HalosChangeNoBitInside) {
  if (row().input.rank() != 3) return;
  const ModulePtr plain = make(), bordered = make();
  const bool image = plain->output_shape(row().input).rank() == 3;
  const Halo wish = image ? Halo{1, 2} : Halo{};
  bordered->set_output_halo(wish);
  std::vector<Tile> batch = tiles(21, 16);
  const Pass expected = run_batch(*plain, batch);
  for (Tile& tile : batch) {
    Tensor inside(row().input, tile.input.lane_counts(), {2, 1});
    put(tile.input, inside, Write::overwrite);
    tile.input = inside;
  }
  Tape tape(/*poison=*/true);
  EXPECT_EQ(bordered->forward(tape.begin(batch[0], {.seed = 5, .step = 3})).value().halo(), wish);
  const Pass got = run_batch(*bordered, batch, {.poison = true});
  expect_close(expected, got, close);
}

TEST_P(LayerContract, EvaluationIsDeterministicAndInferenceGivesItsBits) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(16, 16);
  Tape first, second, inference(/*poison=*/true);
  const Var a = module->forward(first.begin(batch[0], {.mode = Mode::evaluation, .seed = 1, .step = 1}));
  const Var b = module->forward(second.begin(batch[0], {.mode = Mode::evaluation, .seed = 2, .step = 9}));
  const Var c = module->forward(inference.begin(batch[0], {.mode = Mode::inference}));
  EXPECT_TRUE(same_bits(testing::valid_numbers(a.value()), testing::valid_numbers(b.value())));
  EXPECT_TRUE(same_bits(testing::valid_numbers(a.value()), testing::valid_numbers(c.value())));
  EXPECT_EQ(inference.nodes(), 0u);
}

TEST_P(LayerContract, ForwardLeavesItsInputAlone) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(16, 16), untouched = tiles(16, 16);
  run_batch(*module, batch);
  EXPECT_TRUE(same_bits(testing::valid_numbers(batch[0].input), testing::valid_numbers(untouched[0].input)));
}

TEST_P(LayerContract, FlopsAreCountedWhereThereAreWeightsAndShrinkWithThem) {
  const ModulePtr dense = make(), masked = make(), csr = make();
  bool has_weights = false;
  for (const Parameter* parameter : parameters_of(*dense)) has_weights |= parameter->prunable();
  prune(*masked, Density::tenth, Storage::masked);
  prune(*csr, Density::tenth, Storage::csr);
  const std::vector<Tile> batch = tiles(37, 16);
  const Flops full = run_batch(*dense, batch).forward, hidden = run_batch(*masked, batch).forward,
              sparse = run_batch(*csr, batch).forward;
  EXPECT_EQ(full.useful > 0, has_weights);
  for (const Flops& flops : {full, hidden, sparse}) EXPECT_GE(flops.executed, flops.useful);
  EXPECT_EQ(hidden.executed, full.executed) << "a mask hides weights, it does not skip them";
  EXPECT_EQ(hidden.useful, sparse.useful);
  if (has_weights) {
    EXPECT_LT(sparse.executed, full.executed / 4);
    EXPECT_LT(sparse.useful, full.useful / 4);
  }
}

// --- what a matrix reads ---------------------------------------------------------------------------------------------

// Row groups that read different channels of an image.
Index groups_of(const Reads& reads) {
  const auto* patches = std::get_if<Patches>(&reads.kind);
  return patches ? patches->window.groups : 1;
}

TEST_P(LayerContract, EveryPrunableMatrixSaysWhatItReads) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(5, 16);
  Tape tape;
  module->forward(tape.begin(batch[0], {.mode = Mode::evaluation}));
  std::set<const Parameter*> said;
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    SCOPED_TRACE(reads.W->name());
    said.insert(reads.W);
    const Index operands = operands_of(tape, node, reads);
    Index seen = 0;
    for_each_operand(tape, node, reads, [&](const Operand& operand) {
      EXPECT_EQ(operand.x.shape(), (Shape{reads.transposed ? reads.W->rows() : reads.W->cols()}));
      EXPECT_EQ(operand.x.lane_counts(), tape.lanes());
      EXPECT_EQ(operand.position, seen % operands);
      EXPECT_EQ(operand.group, seen / operands);
      ++seen;
    });
    EXPECT_EQ(seen, operands * groups_of(reads));
    if (std::ranges::any_of(node.reads, &Reads::inside)) return;
    const Index from_units = units_of(tape.node(node.inputs[reads.input]).value.shape());
    const Edges edges(tape, node, reads);
    std::set<Index> reached;
    reads.W->for_each_weight([&](Index row, Index column, Index) {
      const Edge edge = edges(row, column);
      EXPECT_TRUE(edge.from == Edge::all || (edge.from >= 0 && edge.from < from_units)) << edge.from;
      reached.insert(edge.to);
    });
    EXPECT_EQ(std::ssize(reached), units_of(node.value.shape())) << "a dense matrix leads to every unit";
    EXPECT_EQ(*reached.begin(), 0);
  });
  for (const Parameter* parameter : parameters_of(*module))
    EXPECT_TRUE(!parameter->prunable() || said.contains(parameter)) << parameter->name();
}

// z = W x + b of every operand, next to the y that the node made of it: [position][row][lane]. Empty where the node's
// value is not as many numbers: where something else follows in the same node, or W is used transposed.
std::vector<std::pair<double, double>> products_and_values(const Tape& tape, const Node& node, const Reads& reads) {
  const Parameter& W = *reads.W;
  const Index pixels = operands_of(tape, node, reads), rows = W.rows();
  if (reads.transposed || reads.inside() || node.value.features() != rows * pixels) return {};
  const auto bias = std::ranges::find_if(node.parameters, [](const Parameter* p) { return p->role() == Role::bias; });
  std::vector<std::pair<double, double>> all;
  for_each_operand(tape, node, reads, [&](const Operand& operand) {
    for (Index row = 0; row < rows; ++row) {
      if (row * groups_of(reads) / rows != operand.group) continue;
      const bool sequence = node.value.shape().rank() == 2;  // time in front, channels of an image in front
      const Real* y = node.value.row(sequence ? operand.position * rows + row : row * pixels + operand.position);
      for (Index lane = 0; lane < tape.lanes().valid; ++lane) {
        double z = bias == node.parameters.end() ? 0 : static_cast<double>((*bias)->value()[row]);
        for (Index column = 0; column < W.cols(); ++column)
          z += static_cast<double>(W.value()[row * W.cols() + column]) *
               static_cast<double>(operand.x.row(column)[lane]);
        all.emplace_back(z, static_cast<double>(y[lane]));
      }
    }
  });
  return all;
}

// Whatever activation follows, it never falls where its input grows, so the values are in the order of the products.
TEST_P(LayerContract, WhatAMatrixReadsExplainsWhatItMakes) {
  const ModulePtr module = make();
  prune(*module, Density::half, Storage::dense);
  const std::vector<Tile> batch = tiles(21, 16);
  Tape tape;
  module->forward(tape.begin(batch[0], {.mode = Mode::evaluation}));
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    SCOPED_TRACE(reads.W->name());
    auto all = products_and_values(tape, node, reads);
    if (all.empty()) return;
    std::ranges::sort(all);
    double highest = all.front().second, size = 0;
    for (const auto& [z, y] : all) size = std::max(size, std::abs(z));
    for (const auto& [z, y] : all) {
      EXPECT_GE(y, highest - static_cast<double>(close) * size) << "z = " << z;
      highest = std::max(highest, y);
    }
    EXPECT_GT(highest, all.front().second);
  });
}

// x minus its part in the space of an orthonormal basis; returns the length of what is left.
double project_out(const std::vector<std::vector<double>>& basis, std::vector<double>& x) {
  for (int twice = 0; twice < 2; ++twice)  // the second time for what rounding left
    for (const std::vector<double>& b : basis) {
      const double part = std::inner_product(b.begin(), b.end(), x.begin(), 0.0);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] -= part * b[i];
    }
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

// An orthonormal basis of what the given rows of W were multiplied by (of the columns, if W is used transposed).
std::vector<std::vector<double>> basis_of_operands(const Tape& tape, const Node& node, const Reads& reads,
                                                   Index group) {
  std::vector<std::vector<double>> basis;
  for_each_operand(tape, node, reads, [&](const Operand& operand) {
    if (operand.group != group && !reads.transposed) return;  // a column of a transposed matrix belongs to all groups
    std::vector<double> x;
    for (Index i = 0; i < operand.x.features(); ++i) x.push_back(static_cast<double>(operand.x.row(i)[0]));
    if (const double left = project_out(basis, x); left > 1e-3) {
      for (double& v : x) v /= left;
      basis.push_back(x);
    }
  });
  return basis;
}

// Adds to each row of W (or column, if it is used transposed) a vector: of what it reads, or orthogonal to all of that.
// False if there is none.
bool move_along(Parameter& W, const Tape& tape, const Node& node, const Reads& reads, bool orthogonal) {
  const Index vectors = reads.transposed ? W.cols() : W.rows(), length = W.positions() / vectors;
  bool moved = false;
  for (Index n = 0; n < vectors; ++n) {
    const auto basis = basis_of_operands(tape, node, reads, n * groups_of(reads) / vectors);
    const Random random(3, "move", static_cast<std::uint64_t>(n));
    std::vector<double> v(length, 0);
    if (orthogonal) {
      for (Index i = 0; i < length; ++i) v[i] = random.normal(static_cast<std::uint64_t>(i));
      if (project_out(basis, v) < 1e-3) continue;
    } else {
      if (basis.empty()) continue;
      for (std::size_t k = 0; k < basis.size();
           ++k)  // by other parts for each vector: a shift of all is normalised away
        for (Index i = 0; i < length; ++i) v[i] += random.normal(k) * basis[k][i];
    }
    moved = true;
    for (Index i = 0; i < length; ++i)
      W.value()[reads.transposed ? i * vectors + n : n * length + i] += static_cast<Real>(v[i]);
  }
  return moved;
}

// The other way round, and for every kind of layer: it feels a change of W along what W reads, and no other.
TEST_P(LayerContract, AMatrixActsThroughWhatItReadsAndThroughNothingElse) {
  // A single sample of few numbers that are not 0, so that there are directions in which nothing lies.
  Tile tile = tiles(1, 1)[0];
  for (Index i = 1; i + 1 < tile.input.features(); ++i) *tile.input.row(i) = 0;
  const auto output = [&](const Module& module, Tape& tape) {
    const Var y = module.forward(tape.begin(tile, {.mode = Mode::evaluation}));
    return testing::valid_numbers(y.value());
  };
  const ModulePtr count = make();
  const std::size_t parameters = parameters_of(*count).size();
  for (std::size_t p = 0; p < parameters; ++p)
    for (const bool orthogonal : {true, false}) {
      const ModulePtr module = make();
      Parameter& W = *parameters_of(*module)[p];
      SCOPED_TRACE(W.name() + (orthogonal ? ", orthogonal" : ", along"));
      Tape tape, other;
      const std::vector<Real> before = output(*module, tape);
      bool moved = false;
      tape.for_each_matrix([&](const Node& node, const Reads& reads) {
        if (reads.W == &W) moved = move_along(W, tape, node, reads, orthogonal);
      });
      if (!moved) continue;
      const std::vector<Real> after = output(*module, other);
      if (orthogonal)
        expect_close(before, after, 16 * close, "output");
      else
        EXPECT_FALSE(same_bits(before, after));
    }
}

TEST_P(LayerContract, AStepThatHasRunOnceAllocatesNothing) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    testing::SteadyState training(*module, tiles(37, 16));
    training.step();
    const std::size_t bytes = training.bytes();
    EXPECT_EQ(training.step(), 0u);
    EXPECT_EQ(training.bytes(), bytes);
  }
}

}  // namespace
}  // namespace espalier
