// Attention (Vaswani et al., "Attention is all you need", 2017): each step of a sequence asks all steps what they have
// to say, and how much of it concerns it.
//
//   q_t = W_q x_t + b_q      k_t = W_k x_t + b_k      v_t = W_v x_t + b_v      of a head: d = D / heads features
//   P_ts = softmax over s of  q_t . k_s / sqrt(d)                               of each head; causal: s <= t only
//   o_t = sum over s of P_ts v_s                                                of each head
//   y_t = W_o o_t + b_o
//
// On the tape a layer is five nodes. The four matrices look at one step at a time: they are conv1d with a kernel of one
// step, dense, masked or csr as ever. What is between them has no weights: `attention`.
#pragma once

#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

struct AttentionForm {
  Index heads = 1;
  bool causal = false;  // a step sees itself and those before it
};

// o of q, k, v: [T, D] each, D divided by the heads   ->   [T, D]
Var attention(const Var& q, const Var& k, const Var& v, const AttentionForm& form);

struct MultiHeadAttentionOptions {
  std::string name = "attention";
  Index features = 0;  // D
  AttentionForm form;
  Initialiser initialiser = Initialiser::xavier;
  // If given, that matrix is born csr.
  PatternPtr query_pattern = nullptr, key_pattern = nullptr, value_pattern = nullptr, output_pattern = nullptr;
};

// [T, D] -> [T, D]
class MultiHeadAttention final : public Module {
 public:
  MultiHeadAttention(const MultiHeadAttentionOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  // W x_t + b at every step.
  struct Projection {
    Projection(const std::string& name, Index features, const PatternPtr& pattern);
    Parameter weight, bias;
  };
  std::string unseen(OnnxGraph& graph, Index steps) const;

  std::string name_;
  Index head_features_;  // d; heads may go, and the others stay as wide
  bool causal_;
  Projection query_, key_, value_, output_;
};

}  // namespace espalier
