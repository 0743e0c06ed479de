// A module: a function on tapes that may own parameters. Forward is const and re-entrant: many tiles pass through one
// module at the same time, each with a tape of its own.
//
// A new layer is one header, one source, and one row in the table of layers (tests/layers/all_layers.h),
// which then gives it gradient checks, dense = masked = csr, thread invariance, padding, FLOP counts and files.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/tape.h"

namespace espalier {

class OnnxGraph;
struct OnnxValue;

class Module {
 public:
  virtual ~Module() = default;
  virtual Var forward(const Var& x) const = 0;
  // The shape of one output sample; throws UsageError, naming the layer, if the input does not fit. Called once when a
  // model is built, so that forward meets no surprises.
  virtual Shape output_shape(const Shape& input) const = 0;
  // In the order in which forward uses them. The walk itself changes nothing: only the visitor may.
  virtual void visit_parameters(const std::function<void(Parameter&)>& /*visit*/) {}
  // What is learnt but not trained, such as running statistics: named arrays that belong into the model's file. The
  // walk itself changes nothing; only physical removal (layers/widths.h) changes how long they are.
  virtual void visit_state(const std::function<void(const std::string& name, std::vector<Real>&)>& /*visit*/) {}
  // The same walks for readers.
  void visit_parameters(const std::function<void(const Parameter&)>& visit) const;
  void visit_state(const std::function<void(const std::string& name, std::span<const Real>)>& visit) const;
  // After a training step: learns what forward observed of the batch, from the tapes in the order of their tiles (a
  // container passes it on). weight: that of this batch beside what was learnt before; none: the layer's own.
  virtual void merge_state(std::span<Tape* const> /*tapes*/, std::optional<double> /*weight*/) {}
  virtual std::string name() const = 0;

  // Zero borders, so that no convolution tests for edges. Both are wishes that save a copy: a layer that wants a halo
  // says so when the model is built, and the layer that writes the image is told; a module must still take inputs with
  // any halo or none.
  virtual Halo input_halo() const { return {}; }
  virtual void set_output_halo(Halo /*halo*/) {}

  // Adds to the graph the operators of ONNX that compute from x what forward does in evaluation, and returns their
  // result (layers/onnx_graph.h). Throws UsageError, naming the layer, unless it says how.
  virtual OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const;
};

using ModulePtr = std::unique_ptr<Module>;

std::vector<Parameter*> parameters_of(Module& module);
std::vector<const Parameter*> parameters_of(const Module& module);

// State to read.
struct ConstNamedNumbers {
  std::string name;
  std::span<const Real> numbers;
};
std::vector<NamedNumbers> state_of(Module& module);
std::vector<ConstNamedNumbers> state_of(const Module& module);

// Totals over a model, for tables: weights are prunable, biases and the like are not.
struct Census {
  Index positions = 0;   // weights if nothing were pruned
  Index live = 0;        // weights in the pattern
  Index unprunable = 0;  // biases, normalisation
  Index parameters() const { return positions + unprunable; }
  Index nonzeros() const { return live + unprunable; }
  double density() const { return positions ? static_cast<double>(live) / static_cast<double>(positions) : 1; }
};
Census census_of(const Module& module);

// Packs every parameter that can be multiplied faster so when samples come one at a time (Parameter::pack_for_latency);
// training, or anything else that may change a weight, unpacks it.
void prepare_for_latency(Module& module);

}  // namespace espalier
