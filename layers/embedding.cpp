#include "espalier/layers/embedding.h"

#include <cmath>

#include "espalier/core/error.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {
namespace {

// The tokens of one step, 0 in the lanes that hold no sample. Valid until the next call of this thread.
std::span<const std::uint32_t> tokens_of(const Tensor& x, Index step, const Parameter& W) {
  thread_local std::vector<std::uint32_t> tokens;
  tokens.assign(x.lanes(), 0);
  for (Index lane = 0; lane < x.valid(); ++lane) {
    const Real number = x.row(step)[lane];
    const bool token = number >= 0 && number < static_cast<Real>(W.cols());  // no NaN, either
    require(token && number == std::floor(number), "[embedding] {}: expected tokens 0 to {}, got {} at step {}",
            W.name(), W.cols() - 1, number, step);
    tokens[lane] = static_cast<std::uint32_t>(number);
  }
  return tokens;
}

// With TapeOptions::flow: every token occurs at every step, x is all ones.
Var every_token(const Var& x, const Parameter& W) {
  Tape& tape = x.tape();
  const Index T = x.value().features(), D = W.rows();
  Tensor y = tape.make({T, D}), ones = tape.make({W.cols()});
  ones.fill(1);
  for (Index t = 0; t < T; ++t) {
    Tensor y_t = y.slice(t * D, {D});
    multiply(W, ones, y_t);
  }
  return tape.record({.operation = "embedding", .inputs = {x}, .parameters = {&W}, .reads = {{&W, Tokens{}}}}, y,
                     [ones, &W, T, D](Tape& t, Tensor& dY) {
                       for (Index s = 0; s < T; ++s) t.owe_outer(dY.slice(s * D, {D}), ones, W);
                     });
}

}  // namespace

Var embedding(const Var& x, const Parameter& W) {
  Tape& tape = x.tape();
  if (tape.options().flow) return every_token(x, W);
  const Index T = x.value().features(), D = W.rows();
  Tensor y = tape.make({T, D});
  for (Index t = 0; t < T; ++t) {
    Tensor y_t = y.slice(t * D, {D});
    look_up(W, tokens_of(x.value(), t, W), y_t);
  }
  return tape.record(
      {.operation = "embedding", .inputs = {x}, .parameters = {&W}, .reads = {{&W, Tokens{}}}}, y,
      [x, &W, T, D](Tape& t, Tensor& dY) {
        // dW[:, x_t] += dY_t;  no dX
        Tensor dW = t.make_numbers(static_cast<Index>(W.value().size()));
        dW.fill(0);
        for (Index s = 0; s < T; ++s)
          look_up_outer(W, tokens_of(x.value(), s, W), dY.slice(s * D, {D}), {dW.data(), W.value().size()});
        t.owe(std::move(dW), W);
      });
}

Embedding::Embedding(const EmbeddingOptions& o, std::uint64_t seed)
    : name_(o.name),
      weight_(o.pattern ? Parameter(o.name + ".weight", o.pattern)
                        : Parameter(o.name + ".weight", o.features, o.vocabulary)) {
  constexpr Index largest = Index{1} << 24;
  require(o.vocabulary <= largest, "[embedding] {}: expected at most {} tokens, got {}", name_, largest, o.vocabulary);
  require(weight_.rows() == o.features && weight_.cols() == o.vocabulary,
          "[embedding] {}: expected a pattern of {} x {}, got {} x {}", name_, o.features, o.vocabulary, weight_.rows(),
          weight_.cols());
  initialise(weight_, o.initialiser, seed);
}

Shape Embedding::output_shape(const Shape& input) const {
  require(input.rank() == 1, "[embedding] {}: expected a sequence of tokens [steps], got {}", name_, input.text());
  return {input[0], weight_.rows()};
}

// Rows of the transposed matrix [vocabulary, D]
OnnxValue Embedding::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Index D = weight_.rows();
  const std::string vectors =
      graph.weights(weight_, {weight_.cols(), D}, [D](Index row, Index column) { return column * D + row; });
  return graph.add("Gather", name_, {vectors, graph.tokens(name_, x).name}, output_shape(x.shape), {{"axis", 0}});
}

}  // namespace espalier
