// The convolution over time: Y = f(W * X + b), dense, masked or csr.
//
//   y_t = f(sum over k of W_k x_{t S - P + k} + b)      x: [T, F]   ->   [T', out],  T' = (T + 2 P - K) / S + 1
//
// W: [out, K F], column k F + f. With time in front the K steps that y_t looks at are K F rows in one piece, a patch
// that need not be gathered: a convolution over time is a linear layer, slid. (Waibel et al., "Phoneme recognition
// using time-delay neural networks", 1989, slid one first.)
#pragma once

#include "espalier/core/window.h"
#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

// x: [T, F]   W: [out, kernel * F]   b: [out, 1] or null   ->   [T', out]
Var conv1d(const Var& x, const Parameter& W, const Parameter* b, const TimeWindow& window,
           Activation f = Activation::none);

struct Conv1dOptions {
  std::string name = "conv1d";
  Index in = 0, out = 0;  // features of a step
  TimeWindow window = {.kernel = 3, .stride = 1, .padding = 1};
  Activation activation = Activation::none;
  bool bias = true;
  Initialiser initialiser = Initialiser::kaiming;
  PatternPtr pattern = nullptr;  // if given, the layer is born csr
};

class Conv1d final : public Module {
 public:
  Conv1d(const Conv1dOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
  TimeWindow window_;
  Activation activation_;
  Parameter weight_;
  std::unique_ptr<Parameter> bias_;
};

}  // namespace espalier
