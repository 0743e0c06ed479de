// Sequences: samples of shape [T, F], T steps of F features, time in front. A tile of them is [T, F, lanes], so a step
// is a contiguous [F, lanes], K neighbouring steps are a contiguous [K F, lanes], and a layer over time is the three
// products of a linear layer once per step, each on a slice that needs no copy.
#pragma once

#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

// Throws UsageError, "[operation] layer: ...", unless the shape is that of a sequence, of so many features if given.
void require_sequence(const Shape& shape, const char* operation, const std::string& layer, Index features = 0);

// x_T, the last of T steps.      x: [T, F]   ->   [F]
Var last_step(const Var& x);
// sum over t of x_t, divided by T      x: [T, F]   ->   [F]
Var mean_over_time(const Var& x);

// dW = sum over steps of dY_t X_t', summed by this tile and then owed, like a convolution's: T pairs kept until all
// tiles are through would be larger than W, and a single thread would have to settle them all.
//   dY_of(t), X_of(t): the tensors of step t, [rows, lanes] and [cols, lanes]
template <typename Result, typename Operand>
void owe_over_time(Tape& tape, const Parameter& W, Index steps, Result&& dY_of, Operand&& X_of) {
  thread_local std::vector<Tensor> slices;  // they keep their capacity, so that the second step allocates nothing
  thread_local std::vector<OuterPair> pairs;
  slices.clear(), pairs.clear();
  for (Index t = 0; t < steps; ++t) {
    slices.push_back(dY_of(t));
    slices.push_back(X_of(t));
  }
  for (std::size_t n = 0; n < slices.size(); n += 2) pairs.push_back({&slices[n], &slices[n + 1]});
  Tensor dW = tape.make_numbers(static_cast<Index>(W.value().size()));
  for (std::size_t b = 0; b < W.blocks().size(); ++b)
    outer(W, b, pairs, {dW.data() + W.blocks()[b].first, static_cast<std::size_t>(W.blocks()[b].weights())});
  slices.clear();  // the buffers go back to the pool
  tape.owe(std::move(dW), W);
}

class LastStep final : public Module {
 public:
  explicit LastStep(std::string name = "last_step") : name_(std::move(name)) {}
  Var forward(const Var& x) const override { return last_step(x); }
  Shape output_shape(const Shape& input) const override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
};

class MeanOverTime final : public Module {
 public:
  explicit MeanOverTime(std::string name = "mean_over_time") : name_(std::move(name)) {}
  Var forward(const Var& x) const override { return mean_over_time(x); }
  Shape output_shape(const Shape& input) const override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
};

}  // namespace espalier
