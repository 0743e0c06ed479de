// The embedding: a vector for each word. A sample is a sequence of tokens, whole numbers below the vocabulary's size.
//
//   y_t = W e_{x_t}        e_v = the v-th unit vector        W: [D, vocabulary], a column for each token
//
// So it is a linear layer at every step, whose product is a lookup: y_t is column x_t of W, and only the columns that
// occurred have a gradient. Tokens have none. (Bengio et al., "A neural probabilistic language model", 2003.)
#pragma once

#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

// x: [T] tokens   W: [D, vocabulary]   ->   [T, D].  Throws UsageError, "[embedding] layer: ...", where a sample has a
// number that is not a token.
Var embedding(const Var& x, const Parameter& W);

struct EmbeddingOptions {
  std::string name = "embedding";
  Index vocabulary = 0;  // at most 2^24: a float holds whole numbers up to there
  Index features = 0;    // D
  Initialiser initialiser = Initialiser::unit_normal;
  PatternPtr pattern = nullptr;  // if given, the layer is born csr
};

class Embedding final : public Module {
 public:
  Embedding(const EmbeddingOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override { return embedding(x, weight_); }
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override { visit(weight_); }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Parameter weight_;
};

}  // namespace espalier
