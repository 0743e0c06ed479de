#include "espalier/layers/onnx.h"

#include <limits>
#include <string>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/version.h"

#if ESPALIER_ONNX
#include <onnx/onnx_pb.h>
#endif

namespace espalier {

OnnxGraph onnx_graph(const Module& model, const Shape& input, OnnxInitialisers initialisers) {
  model.output_shape(input);  // throws if samples do not fit
  OnnxGraph graph(input, initialisers);
  graph.finish(model.to_onnx(graph, graph.input()));
  return graph;
}

#if ESPALIER_ONNX
namespace {

constexpr int opset = 17, ir_version = 8;  // of ONNX 1.12, which has them together

template <typename Number>
void put_numbers(const std::vector<Number>& numbers, onnx::TensorProto& to) {
  constexpr auto type =
      std::is_same_v<Number, float> ? onnx::TensorProto_DataType_FLOAT : onnx::TensorProto_DataType_INT64;
  to.set_data_type(type);
  if (!numbers.empty()) to.set_raw_data(numbers.data(), numbers.size() * sizeof(Number));
}

void put_dense(const OnnxInitialiser& from, onnx::GraphProto& graph) {
  onnx::TensorProto& to = *graph.add_initializer();
  to.set_name(from.name);
  for (const std::int64_t extent : from.extents) to.add_dims(extent);
  std::visit([&](const auto& numbers) { put_numbers(numbers, to); }, from.numbers);
}

// As a node Constant: operators take dense tensors only, and what is in the list sparse_initializer is none to the
// inference of types (onnx.checker with full_check), but that node's value is.
void put_sparse(const OnnxInitialiser& from, onnx::GraphProto& graph) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_name(from.name);
  node.set_op_type("Constant");
  node.add_output(from.name);
  onnx::AttributeProto& value = *node.add_attribute();
  value.set_name("sparse_value");
  value.set_type(onnx::AttributeProto_AttributeType_SPARSE_TENSOR);
  onnx::SparseTensorProto& to = *value.mutable_sparse_tensor();
  for (const std::int64_t extent : from.extents) to.add_dims(extent);
  std::visit([&](const auto& numbers) { put_numbers(numbers, *to.mutable_values()); }, from.numbers);
  put_numbers(from.positions, *to.mutable_indices());
  for (onnx::TensorProto* list : {to.mutable_values(), to.mutable_indices()})
    list->add_dims(std::ssize(from.positions));
}

struct AttributeWriter {
  onnx::AttributeProto& to;
  void operator()(std::int64_t number) const {
    to.set_type(onnx::AttributeProto_AttributeType_INT);
    to.set_i(number);
  }
  void operator()(float number) const {
    to.set_type(onnx::AttributeProto_AttributeType_FLOAT);
    to.set_f(number);
  }
  void operator()(const std::vector<std::int64_t>& numbers) const {
    to.set_type(onnx::AttributeProto_AttributeType_INTS);
    for (const std::int64_t number : numbers) to.add_ints(number);
  }
};

void put_node(const OnnxNode& from, onnx::GraphProto& graph) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_name(from.name);
  node.set_op_type(from.operation);
  for (const std::string& input : from.inputs) node.add_input(input);
  node.add_output(from.output);
  for (const auto& [name, value] : from.attributes) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    std::visit(AttributeWriter{attribute}, value);
  }
}

// [batch, extents of a sample]
void put_value(const std::string& name, bool whole, const Shape& shape, const char* what, onnx::ValueInfoProto& to) {
  to.set_name(name);
  to.set_doc_string(what);
  onnx::TypeProto_Tensor& type = *to.mutable_type()->mutable_tensor_type();
  type.set_elem_type(whole ? onnx::TensorProto_DataType_INT64 : onnx::TensorProto_DataType_FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("batch");
  for (int axis = 0; axis < shape.rank(); ++axis) type.mutable_shape()->add_dim()->set_dim_value(shape[axis]);
}

onnx::ModelProto proto_of(const OnnxGraph& graph, const Shape& output, const ModelCard& card, const std::string& name) {
  onnx::ModelProto model;
  model.set_ir_version(ir_version);
  model.add_opset_import()->set_version(opset);
  model.set_producer_name("espalier");
  model.set_producer_version(std::string(version()));
  onnx::GraphProto& to = *model.mutable_graph();
  to.set_name(name);
  put_value(graph.input().name, graph.input_is_tokens(), graph.input().shape,
            graph.input_is_tokens() ? "tokens" : "features, which the metadata's preprocessing makes of samples",
            *to.add_input());
  put_value("output", /*whole=*/false, output, "what the last layer gives: of classes their scores before softmax",
            *to.add_output());
  for (const OnnxInitialiser& initialiser : graph.initialisers())
    (initialiser.sparse ? put_sparse : put_dense)(initialiser, to);
  for (const OnnxNode& node : graph.nodes()) put_node(node, to);
  for (const auto& [key, text] : text_of(card)) {
    onnx::StringStringEntryProto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(text);
  }
  return model;
}

// A message of protobuf's has less than 2 GB; what is no number takes little of it.
void require_room(const OnnxGraph& graph, const std::string& name) {
  constexpr std::size_t most = std::numeric_limits<std::int32_t>::max(), reserve = std::size_t{1} << 24;
  std::size_t bytes = 0;
  for (const OnnxInitialiser& initialiser : graph.initialisers()) {
    std::visit([&](const auto& numbers) { bytes += numbers.size() * sizeof(numbers[0]); }, initialiser.numbers);
    bytes += initialiser.positions.size() * sizeof(initialiser.positions[0]);
  }
  require(bytes < most - reserve, "[onnx] {}: expected numbers of less than 2 GB, got {:.1f} GB", name,
          static_cast<double>(bytes) * 1e-9);
}

}  // namespace

bool writes_onnx() {
  return true;
}

void export_onnx(const Module& model, const ModelCard& card, OnnxInitialisers initialisers,
                 const std::filesystem::path& path) {
  require(card.input.rank() > 0, "[onnx] {}: expected the shape of a sample, got none", model.name());
  require_finite(model);
  const OnnxGraph graph = onnx_graph(model, card.input, initialisers);
  require_room(graph, model.name());
  std::string bytes;
  require(proto_of(graph, model.output_shape(card.input), card, model.name()).SerializeToString(&bytes),
          "[onnx] {}: expected names in UTF-8 and less than 2 GB, got a model that protobuf refuses", model.name());
  write_file_atomically(path, bytes);
}

#else
bool writes_onnx() {
  return false;
}

void export_onnx(const Module& model, const ModelCard&, OnnxInitialisers, const std::filesystem::path&) {
  throw UsageError(
      fmt::format("[onnx] {}: expected a program that was built with ONNX, got one without: install libonnx-dev and "
                  "libprotobuf-dev, then run cmake and build again",
                  model.name()));
}
#endif

}  // namespace espalier
