// A model as a graph of ONNX's operators (opset 17, https://onnx.ai/onnx/operators): what Module::to_onnx adds to.
//
//   OnnxValue Linear::to_onnx(OnnxGraph& graph, const OnnxValue& x) const       y = graph.add("Gemm", ...)
//
// The graph is plain data, and knows nothing of files; layers/onnx.h writes it into one. Three rules:
//
//   1. A value is a batch of samples, and the batch stands in front: a sample [C, H, W] is [batch, C, H, W].
//   2. Values and nodes are named after layer and operator, "fc1.Gemm", and initialisers after their parameter,
//      "fc1.weight": also where ONNX wants the weights of a matrix in another order. No two have the same name.
//   3. With sparse initialisers a pruned matrix is kept as its live weights and their positions, if that takes less
//      room than all of it: 12 bytes for each instead of 4, so below a density of a third.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "espalier/core/activation.h"
#include "espalier/core/parameter.h"
#include "espalier/core/tensor.h"

namespace espalier {

// What flows from operator to operator.
struct OnnxValue {
  std::string name;
  Shape shape;  // of a sample
};

using OnnxAttribute = std::variant<std::int64_t, float, std::vector<std::int64_t>>;
using OnnxAttributes = std::map<std::string, OnnxAttribute>;

struct OnnxNode {
  std::string name, operation;
  std::vector<std::string> inputs;
  std::string output;
  OnnxAttributes attributes;
};

// Numbers that the model brings along.
struct OnnxInitialiser {
  std::string name;
  std::vector<std::int64_t> extents;
  std::variant<std::vector<float>, std::vector<std::int64_t>> numbers;  // row-major; if sparse the live ones
  bool sparse = false;
  std::vector<std::int64_t> positions = {};  // of the live ones, row-major and ascending
};

enum class OnnxInitialisers { dense, sparse };

class OnnxGraph {
 public:
  // input: the shape of a sample
  OnnxGraph(const Shape& input, OnnxInitialisers initialisers)
      : input_{"input", input}, initialisers_as_(initialisers) {}

  const OnnxValue& input() const { return input_; }
  const std::vector<OnnxNode>& nodes() const { return nodes_; }
  const std::vector<OnnxInitialiser>& initialisers() const { return initialisers_; }
  // Whether samples are whole numbers: all that is done with the input is looking up tokens.
  bool input_is_tokens() const { return input_is_tokens_; }

  // A node of a layer; its value has samples of this shape.
  OnnxValue add(const std::string& operation, const std::string& layer, std::vector<std::string> inputs,
                const Shape& shape, OnnxAttributes attributes = {});

  // --- what several layers need ---
  OnnxValue activate(const std::string& layer, Activation f, const OnnxValue& x);
  // [C, H, W] -> [C H W]
  OnnxValue flatten(const std::string& layer, const OnnxValue& x);
  OnnxValue reshape(const std::string& layer, const OnnxValue& x, const Shape& shape);
  // axes: of the batch and the sample's, [0, 2, 1] for [T, F] -> [F, T]. The batch stays in front.
  OnnxValue transpose(const std::string& layer, const OnnxValue& x, const std::vector<std::int64_t>& axes);
  // W x_t + b at every step: [T, F] -> [T, W.rows()]
  OnnxValue at_every_step(const std::string& layer, const OnnxValue& x, const Parameter& W, const Parameter* b);
  // x as whole numbers
  OnnxValue tokens(const std::string& layer, const OnnxValue& x);

  // --- initialisers, by name ---
  // Where the weight of a row and a column stands in the initialiser; by default row-major.
  using Place = std::function<Index(Index row, Index column)>;
  std::string weights(const Parameter& W, std::vector<std::int64_t> extents, const Place& place = nullptr);
  std::string numbers(const std::string& name, std::vector<std::int64_t> extents, std::span<const Real> numbers);
  std::string number(const std::string& name, Real number) { return numbers(name, {}, {&number, 1}); }
  std::string whole_numbers(const std::string& name, std::vector<std::int64_t> extents,
                            std::vector<std::int64_t> numbers);
  // The operands of a product: x, the weights, and the bias if there is one.
  std::vector<std::string> operands(const OnnxValue& x, const std::string& weights, const Parameter* b);

  // The names of what body adds begin with the prefix: of a member of an average, whose layers are called as those of
  // the others. Parameters have it already.
  template <typename Body>
  OnnxValue with_prefix(const std::string& prefix, Body&& body) {
    const std::string outer = std::exchange(prefix_, prefix_ + prefix);
    OnnxValue y = body();
    prefix_ = outer;
    return y;
  }

  // The last thing: y is called "output", and an input that only serves to look up tokens becomes whole numbers.
  OnnxValue finish(const OnnxValue& y);

 private:
  std::string unique(const std::string& name);

  OnnxValue input_;
  OnnxInitialisers initialisers_as_;
  bool input_is_tokens_ = false;
  std::string prefix_;
  std::set<std::string> names_{"input", "output"};
  std::vector<OnnxNode> nodes_;
  std::vector<OnnxInitialiser> initialisers_;
};

}  // namespace espalier
