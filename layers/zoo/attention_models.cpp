// Models that attend: blocks of attention and of a hidden layer at each step, each beside a shortcut.
//
//   x = W x_t + b, or the token's vector;  x += p_t
//   of each block:   x += attention(norm(x))      x += fc2(relu(fc1(norm(x))))        fc1 four times as wide as x
//   y = output(mean over time of norm(x)), of tokens output(norm(x) at the last step)
//
// Vaswani et al. 2017, with the normalisation in front of each part instead of behind each sum: nothing but sums stands
// between the first layer and the last, and no long warm-up is needed (Xiong et al., "On layer normalization in the
// transformer architecture", 2020).
#include <charconv>

#include "espalier/core/error.h"
#include "espalier/layers/attention.h"
#include "espalier/layers/builder.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/embedding.h"
#include "espalier/layers/layer_norm.h"
#include "espalier/layers/positions.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier::zoo {
namespace {

constexpr std::string_view attention_prefix = "attention:", tokens_suffix = "+tokens=";

struct AttentionName {
  Index features = 0, heads = 0, blocks = 0;
  Index tokens = 0;  // the vocabulary; 0: samples are sequences of features
};

AttentionName parsed(const std::string& name) {
  constexpr Index most_blocks = 1000, most_tokens = Index{1} << 24;
  const std::string_view text = behind(attention_prefix, name), extents = text.substr(0, text.find('+'));
  const std::vector<Index> n = extents_in(extents, name, "attention:64x4x2", 'x');
  require(n.size() == 3 && n[2] <= most_blocks && n[0] % n[1] == 0,
          "[model] {}: expected features, heads that divide them and 1 to {} blocks such as attention:64x4x2, got "
          "\"{}\"",
          name, most_blocks, extents);
  AttentionName model{.features = n[0], .heads = n[1], .blocks = n[2]};
  const std::string_view suffix = text.substr(extents.size());
  if (suffix.empty()) return model;
  require(suffix.starts_with(tokens_suffix), "[model] {}: expected nothing or +tokens=VOCABULARY, got \"{}\"", name,
          suffix);
  model.tokens = number_in(behind(tokens_suffix, suffix), name, most_tokens,
                           "a number of tokens from 1 to 2^24 such as +tokens=1000");
  return model;
}

// f(W x_t + b) at every step
void at_every_step(Builder& model, const std::string& name, Index out, Activation f = Activation::none) {
  const Index in = model.shape()[1];
  model.add(std::make_unique<Conv1d>(
      Conv1dOptions{
          .name = name, .in = in, .out = out, .window = {}, .activation = f, .pattern = model.born(name, out, in)},
      model.options().seed));
}

void norm(Builder& model, const std::string& name) {
  model.add(std::make_unique<LayerNorm>(LayerNormOptions{.name = name, .features = model.shape()[1]}));
}

void block(Builder& model, const std::string& name, Index heads) {
  const Index D = model.shape()[1];
  Builder mixing = model.branch(name + ".mixing"), thinking = model.branch(name + ".thinking");
  norm(mixing, name + ".norm1");
  const std::string attention = name + ".attention";
  const auto born = [&](const char* matrix) { return mixing.born(attention + matrix, D, D); };
  mixing.add(std::make_unique<MultiHeadAttention>(MultiHeadAttentionOptions{.name = attention,
                                                                            .features = D,
                                                                            .form = {.heads = heads},
                                                                            .query_pattern = born(".query"),
                                                                            .key_pattern = born(".key"),
                                                                            .value_pattern = born(".value"),
                                                                            .output_pattern = born(".output")},
                                                  model.options().seed));
  norm(thinking, name + ".norm2");
  at_every_step(thinking, name + ".fc1", 4 * D, Activation::relu);
  at_every_step(thinking, name + ".fc2", D);
  model.add(std::make_unique<Residual>(name + ".mixing", mixing.done()));
  model.add(std::make_unique<Residual>(name + ".thinking", thinking.done()));
}

ModulePtr attention(const std::string& name, const ModelOptions& options) {
  const AttentionName parts = parsed(name);
  Builder model(name, options);
  require(options.input.rank() == (parts.tokens ? 1 : 2), "[model] {}: expected samples of {}, got {}", name,
          parts.tokens ? "tokens [steps]" : "sequences [steps, features]", options.input.text());
  if (parts.tokens)
    model.add(
        std::make_unique<Embedding>(EmbeddingOptions{.name = "embedding",
                                                     .vocabulary = parts.tokens,
                                                     .features = parts.features,
                                                     .pattern = model.born("embedding", parts.features, parts.tokens)},
                                    options.seed));
  else
    at_every_step(model, "input", parts.features);
  model.require_bytes_at_birth(static_cast<double>(options.input[0]) * static_cast<double>(parts.features) *
                               sizeof(Real));
  model.add(std::make_unique<Positions>(
      PositionsOptions{.name = "positions", .steps = options.input[0], .features = parts.features}));
  for (Index b = 1; b <= parts.blocks; ++b) block(model, fmt::format("block{}", b), parts.heads);
  norm(model, "norm");
  // The next token follows from where the text stands; a sequence of measurements is taken as a whole.
  if (parts.tokens)
    model.add(std::make_unique<LastStep>());
  else
    model.mean_over_time();
  return model.linear("output", options.outputs).done();
}

ModelProfile attention_profile(const std::string& name) {
  const bool tokens = parsed(name).tokens > 0;
  return {.input = tokens ? Shape{64} : Shape{64, 3},
          .outputs = 8,
          .sequences = !tokens,
          .rate = 0.2,
          .warmup = 0.1,
          .clip_norm = 1};
}

}  // namespace

std::vector<ModelFamily> attention_models() {
  return {{.name = std::string(attention_prefix),
           .form = "attention:FEATURESxHEADSxBLOCKS[+tokens=VOCABULARY]",
           .line = "blocks of attention and a hidden layer beside shortcuts; the mean over time, of tokens the last "
                   "step; a linear layer",
           .profile = attention_profile,
           .make = attention}};
}

}  // namespace espalier::zoo
