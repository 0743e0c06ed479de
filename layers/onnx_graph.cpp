#include "espalier/layers/onnx_graph.h"

#include <fmt/format.h>

#include <algorithm>

namespace espalier {
namespace {

constexpr std::int64_t onnx_int64 = 7;  // TensorProto.DataType

std::vector<std::int64_t> extents_of(const Shape& shape) {
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < shape.rank(); ++axis) extents.push_back(shape[axis]);
  return extents;
}

// The live weights and where they stand, in the order of their positions.
void put_live(const Parameter& W, const OnnxGraph::Place& place, OnnxInitialiser& to) {
  std::vector<std::pair<std::int64_t, float>> live;
  W.for_each_weight(
      [&](Index r, Index c, Index at) { live.emplace_back(place(r, c), static_cast<float>(W.value()[at])); });
  std::ranges::sort(live);
  std::vector<float> values;
  for (const auto& [position, value] : live) {
    to.positions.push_back(position);
    values.push_back(value);
  }
  to.numbers = std::move(values);
}

void put_all(const Parameter& W, const OnnxGraph::Place& place, OnnxInitialiser& to) {
  std::vector<float> values(static_cast<std::size_t>(W.positions()), 0);
  W.for_each_weight([&](Index r, Index c, Index at) { values[place(r, c)] = static_cast<float>(W.value()[at]); });
  to.numbers = std::move(values);
}

}  // namespace

std::string OnnxGraph::unique(const std::string& name) {
  std::string own = name;
  for (int copy = 2; !names_.insert(own).second; ++copy) own = fmt::format("{}#{}", name, copy);
  return own;
}

OnnxValue OnnxGraph::add(const std::string& operation, const std::string& layer, std::vector<std::string> inputs,
                         const Shape& shape, OnnxAttributes attributes) {
  const std::string name = unique(fmt::format("{}{}.{}", prefix_, layer, operation));
  nodes_.push_back({.name = name,
                    .operation = operation,
                    .inputs = std::move(inputs),
                    .output = name,
                    .attributes = std::move(attributes)});
  return {name, shape};
}

OnnxValue OnnxGraph::activate(const std::string& layer, Activation f, const OnnxValue& x) {
  switch (f) {
    case Activation::relu:
      return add("Relu", layer, {x.name}, x.shape);
    case Activation::tanh:
      return add("Tanh", layer, {x.name}, x.shape);
    case Activation::sigmoid:
      return add("Sigmoid", layer, {x.name}, x.shape);
    case Activation::none:
      break;
  }
  return x;
}

OnnxValue OnnxGraph::flatten(const std::string& layer, const OnnxValue& x) {
  if (x.shape.rank() == 1) return x;
  return add("Flatten", layer, {x.name}, {x.shape.features()});
}

OnnxValue OnnxGraph::reshape(const std::string& layer, const OnnxValue& x, const Shape& shape) {
  std::vector<std::int64_t> extents = extents_of(shape);
  extents.insert(extents.begin(), 0);  // the batch's, whatever it is
  const auto rank = static_cast<std::int64_t>(extents.size());
  return add("Reshape", layer, {x.name, whole_numbers(layer + ".extents", {rank}, std::move(extents))}, shape);
}

OnnxValue OnnxGraph::transpose(const std::string& layer, const OnnxValue& x, const std::vector<std::int64_t>& axes) {
  std::vector<Index> extents;
  for (std::size_t axis = 1; axis < axes.size(); ++axis) extents.push_back(x.shape[static_cast<int>(axes[axis]) - 1]);
  return add("Transpose", layer, {x.name}, Shape(extents), {{"perm", axes}});
}

OnnxValue OnnxGraph::at_every_step(const std::string& layer, const OnnxValue& x, const Parameter& W,
                                   const Parameter* b) {
  const Index T = x.shape[0], in = W.cols(), out = W.rows();
  // [T, in] times the transposed matrix [in, out]
  const std::string transposed = weights(W, {in, out}, [out](Index row, Index column) { return column * out + row; });
  const OnnxValue y = add("MatMul", layer, {x.name, transposed}, {T, out});
  return b ? add("Add", layer, {y.name, weights(*b, {out})}, y.shape) : y;
}

OnnxValue OnnxGraph::tokens(const std::string& layer, const OnnxValue& x) {
  return add("Cast", layer, {x.name}, x.shape, {{"to", onnx_int64}});
}

std::string OnnxGraph::weights(const Parameter& W, std::vector<std::int64_t> extents, const Place& place) {
  OnnxInitialiser all{.name = unique(W.name()), .extents = std::move(extents), .numbers = {}};
  constexpr Index dense_bytes = sizeof(float), live_bytes = sizeof(float) + sizeof(std::int64_t);
  all.sparse = initialisers_as_ == OnnxInitialisers::sparse && W.prunable() &&
               live_bytes * W.nonzeros() < dense_bytes * W.positions();
  const Place row_major = [&W](Index row, Index column) { return row * W.cols() + column; };
  (all.sparse ? put_live : put_all)(W, place ? place : row_major, all);
  initialisers_.push_back(std::move(all));
  return initialisers_.back().name;
}

std::string OnnxGraph::numbers(const std::string& name, std::vector<std::int64_t> extents,
                               std::span<const Real> numbers) {
  std::vector<float> values;
  for (const Real number : numbers) values.push_back(static_cast<float>(number));
  initialisers_.push_back(
      {.name = unique(prefix_ + name), .extents = std::move(extents), .numbers = std::move(values)});
  return initialisers_.back().name;
}

std::string OnnxGraph::whole_numbers(const std::string& name, std::vector<std::int64_t> extents,
                                     std::vector<std::int64_t> numbers) {
  initialisers_.push_back(
      {.name = unique(prefix_ + name), .extents = std::move(extents), .numbers = std::move(numbers)});
  return initialisers_.back().name;
}

std::vector<std::string> OnnxGraph::operands(const OnnxValue& x, const std::string& weights_name, const Parameter* b) {
  std::vector<std::string> all{x.name, weights_name};
  if (b) all.push_back(weights(*b, {b->rows()}));
  return all;
}

OnnxValue OnnxGraph::finish(const OnnxValue& y) {
  const auto reads_input = [&](const OnnxNode& node) { return std::ranges::count(node.inputs, input_.name) > 0; };
  const auto looks_up = [&](const OnnxNode& node) { return node.operation == "Cast" && reads_input(node); };
  const auto renamed = [&](const std::string& from, const std::string& to) {
    for (OnnxNode& node : nodes_) {
      std::ranges::replace(node.inputs, from, to);
      if (node.output == from) node.output = to;
    }
  };
  // A model that hands a value on as it is has a node for it all the same.
  const bool made = std::ranges::any_of(nodes_, [&](const OnnxNode& node) { return node.output == y.name; });
  const std::string last = made ? y.name : add("Identity", "output", {y.name}, y.shape).name;
  renamed(last, "output");
  input_is_tokens_ = std::ranges::any_of(nodes_, looks_up) &&
                     std::ranges::all_of(nodes_, [&](const OnnxNode& n) { return !reads_input(n) || looks_up(n); });
  if (input_is_tokens_) {
    std::vector<std::string> casts;
    for (const OnnxNode& node : nodes_)
      if (looks_up(node)) casts.push_back(node.output);
    std::erase_if(nodes_, looks_up);
    for (const std::string& cast : casts) renamed(cast, input_.name);
  }
  return {"output", y.shape};
}

}  // namespace espalier
