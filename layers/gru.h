// The gated recurrent unit (Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014), dense,
// masked or csr. Two matrices of three gates each: W for what comes in, U for what is remembered.
//
//   r_t = sigmoid(W_r x_t + b_r + U_r h + c_r)           reset: how much of the past the candidate sees
//   z_t = sigmoid(W_z x_t + b_z + U_z h + c_z)           update: how much of the past stays
//   n_t = tanh(W_n x_t + b_n + r_t * (U_n h + c_n))      the candidate
//   h_t = (1 - z_t) * n_t + z_t * h                      h = h_{t-1}, h_0 = 0; * is element-wise
//
// The reset gate acts behind the product U_n h, as in cuDNN and PyTorch, whose names for W, U, b, c are weight_ih,
// weight_hh, bias_ih, bias_hh. Cho et al. put it before, U_n (r * h); then the three gates would not be one product.
//
// On the tape a layer is two nodes. W x + b needs no past: it is conv1d with a kernel of one step. The rest is `gru`.
#pragma once

#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

// All states.    a: [T, 3 H] = W x + b, the rows r, z, n   U: [3 H, H]   c: [3 H, 1] or null   ->   [T, H]
Var gru(const Var& a, const Parameter& U, const Parameter* c);

struct GruOptions {
  std::string name = "gru";
  Index in = 0, units = 0;  // F, H
  Initialiser initialiser = Initialiser::lecun_uniform;
  PatternPtr input_pattern = nullptr, hidden_pattern = nullptr;  // if given, that matrix is born csr
};

// [T, F] -> [T, H], all states; LastStep and MeanOverTime (layers/sequence.h) make one of them.
class Gru final : public Module {
 public:
  Gru(const GruOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Parameter input_weight_, input_bias_, hidden_weight_, hidden_bias_;
};

}  // namespace espalier
