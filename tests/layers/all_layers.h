// Every layer, small: the table that the tests of all layers go through. A new layer is one row in it.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

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
#include "espalier/layers/models.h"
#include "espalier/layers/onnx_graph.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/positions.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/two_matrices.h"

namespace espalier::testing {

struct LayerCase {
  std::string name;                                   // of the row, in test names: letters, digits, _
  std::function<ModulePtr(std::uint64_t seed)> make;  // keep it small: every weight and input is varied in turn
  Shape input;                                        // of one sample
  std::optional<Shape> misfit = std::nullopt;         // an input that output_shape must refuse; none: takes any
  // In training a sample's output depends on the samples that share its tile. Whether tiles of other sizes give the
  // same is then asked in evaluation.
  bool per_tile = false;
  std::string without_onnx = {};  // why to_onnx refuses, if it does
  Mode mode_of_any_tile() const { return per_tile ? Mode::evaluation : Mode::training; }
};

inline std::ostream& operator<<(std::ostream& out, const LayerCase& row) {
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
ModulePtr norm_without_statistics(const BatchNormOptions& options, bool scale);
ModulePtr residual_linear(ModulePtr shortcut, std::uint64_t seed);
ModulePtr residual_batch_norm(std::uint64_t seed);

// --- THE TABLE: add your layer here ----------------------------------------------------------------------------------

inline const std::vector<LayerCase> all_layers{
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
    {.name = "BatchNormWithoutStatistics",
     .make = [](auto) { return norm_without_statistics({.channels = 3, .activation = Activation::relu}, true); },
     .input = {3, 2, 3},
     .misfit = Shape{2, 3, 3}},
    {.name = "BatchNormOfFeaturesWithoutStatistics",
     .make = [](auto) { return norm_without_statistics({.channels = 7, .activation = Activation::tanh}, true); },
     .input = {7},
     .misfit = Shape{8}},
    {.name = "BatchNormWithoutScale",
     .make = [](auto) { return norm_without_statistics({.channels = 3, .activation = Activation::sigmoid}, false); },
     .input = {3, 2, 3},
     .misfit = Shape{2, 3, 3}},
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
     .make = [](auto seed) { return std::make_unique<TwoMatrices>(7, 5, 4, seed); },
     .input = {7},
     .misfit = Shape{6}},
    {.name = "ConvolutionalNet", .make = convolutional_net, .input = {2, 8, 8}, .misfit = Shape{3, 8, 8}},
};

// --- the layers of the table that take more than a line --------------------------------------------------------------

// Biases start at zero, running statistics at 0 and 1; here they get numbers, so that a forgotten one shows.
inline ModulePtr with_biases(ModulePtr module) {
  for (Parameter* parameter : parameters_of(*module))
    if (!parameter->prunable()) fill_normal(parameter->value(), *parameter, parameter->name());
  module->visit_state([](const std::string& name, std::span<Real> numbers) {
    const Random random(1, name);
    for (std::size_t n = 0; n < numbers.size(); ++n) numbers[n] = static_cast<Real>(0.5 + random.uniform(n));
  });
  return module;
}

// Gives every prunable parameter a pattern of this density, and a storage; dense: the pruned weights are zeros.
inline void prune(Module& module, Density density, Storage storage) {
  for (Parameter* W : parameters_of(module)) {
    if (!W->prunable()) continue;
    W->become(pattern_of(W->rows(), W->cols(), density), Storage::masked);
    if (storage == Storage::dense)
      W->become(nullptr, Storage::dense);
    else
      W->become(W->pattern(), storage);
  }
}

inline ModulePtr linear_layer(Activation f, bool bias, std::uint64_t seed) {
  return std::make_unique<Linear>(LinearOptions{.name = "linear", .in = 11, .out = 6, .activation = f, .bias = bias},
                                  seed);
}

inline ModulePtr several_layers(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("several");
  model->add<Linear>(LinearOptions{.name = "fc1", .in = 11, .out = 8}, seed)
      .add<Gelu>()
      .add<Dropout>("drop", Real{0.25})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 8, .out = 6, .activation = Activation::tanh}, seed)
      .add<Activate>(Activation::sigmoid)
      .add<Linear>(LinearOptions{.name = "fc3", .in = 6, .out = 3, .bias = false}, seed);
  return model;
}

inline ModulePtr linear_and_batch_norm(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("normalised");
  model->add<Linear>(LinearOptions{.name = "fc1", .in = 11, .out = 5}, seed)
      .add<BatchNorm>(BatchNormOptions{.name = "norm1", .channels = 5, .activation = Activation::tanh})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 5, .out = 3, .bias = false}, seed)
      .add<BatchNorm>(BatchNormOptions{.name = "norm2", .channels = 3});
  return model;
}

// As it is behind fold_norms, or before its scale is folded.
inline ModulePtr norm_without_statistics(const BatchNormOptions& options, bool scale) {
  auto norm = std::make_unique<BatchNorm>(options);
  norm->visit_state([](const std::string&, std::vector<Real>& numbers) { numbers.clear(); });
  for (Parameter* W : parameters_of(*norm))
    if (W->role() == Role::scale)
      for (std::size_t c = 0; c < W->value().size(); ++c)
        W->value()[c] = scale ? Real{1.5} - static_cast<Real>(c) : Real{1};
  return norm;
}

inline ModulePtr residual_linear(ModulePtr shortcut, std::uint64_t seed) {
  const Index in = shortcut ? 12 : 6;
  auto body = std::make_unique<Sequential>("body");
  body->add<Linear>(LinearOptions{.name = "fc1", .in = in, .out = 8, .activation = Activation::tanh}, seed)
      .add<Linear>(LinearOptions{.name = "fc2", .in = 8, .out = 6}, seed);
  return std::make_unique<Residual>("residual", std::move(body), std::move(shortcut), Activation::relu);
}

inline ModulePtr residual_batch_norm(std::uint64_t) {
  return std::make_unique<Residual>(
      "residual", std::make_unique<BatchNorm>(BatchNormOptions{.name = "body", .channels = 2}),
      std::make_unique<BatchNorm>(BatchNormOptions{.name = "shortcut", .channels = 2, .activation = Activation::tanh}));
}

inline ModulePtr conv(Conv2dOptions options, std::uint64_t seed) {
  options.name = "conv";
  return std::make_unique<Conv2d>(options, seed);
}

inline ModulePtr conv1d_layer(Conv1dOptions options, std::uint64_t seed) {
  options.name = "conv";
  return std::make_unique<Conv1d>(options, seed);
}

inline ModulePtr gru_layer(Index in, Index units, std::uint64_t seed) {
  return std::make_unique<Gru>(GruOptions{.name = "gru", .in = in, .units = units}, seed);
}

// A convolution before a recurrent layer, another recurrent layer that reads all its states, its last state.
inline ModulePtr net_over_time(std::uint64_t seed) {
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

inline ModulePtr conv_transpose(ConvTranspose2dOptions options, std::uint64_t seed) {
  options.name = "up";
  return std::make_unique<ConvTranspose2d>(options, seed);
}

// Down, up, and once more over what came up: each of the two is asked for a halo, and asks for one.
inline ModulePtr decoder(std::uint64_t seed) {
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

inline ModulePtr attention_layer(Index features, AttentionForm form, std::uint64_t seed) {
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
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override {
    const auto apply = [&](const char* operation, std::vector<std::string> to) {
      return graph.add(operation, name(), std::move(to), x.shape).name;
    };
    const std::string larger = apply("Abs", {apply("Mul", {x.name, graph.number("tokens.four", 4)})});
    return {apply("Min", {apply("Floor", {larger}), graph.number("tokens.last", last_)}), x.shape};
  }
  std::string name() const override { return "tokens"; }

 private:
  Real last_;
};

// A lookup has no FLOPs, so something is multiplied behind it.
inline ModulePtr embedded_tokens(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("embedded");
  model->add<Tokens>(9)
      .add<Embedding>(EmbeddingOptions{.name = "embedding", .vocabulary = 9, .features = 5}, seed)
      .add<Linear>(LinearOptions{.name = "fc", .in = 20, .out = 3}, seed);
  return model;
}

inline ModulePtr attention_of_tokens(std::uint64_t seed) {
  auto model = std::make_unique<Sequential>("of_tokens");
  model->add<Tokens>(7).add(make_model("attention:6x2x1+tokens=7", {.input = {3}, .outputs = 2, .seed = seed}));
  return model;
}

// What transformers are made of: positions, and two residual bodies that begin with a layer norm.
inline ModulePtr attention_block(std::uint64_t seed) {
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
inline ModulePtr convolutional_net(std::uint64_t seed) {
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

}  // namespace espalier::testing
