// A layer of two matrices in one node: y = U (W x). The second reads what the first has made, which is not an input.
#pragma once

#include <string>

#include "espalier/core/error.h"
#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier::testing {

// x: [in]   W: [between, in]   U: [out, between]   ->   [out]
inline Var two_matrices(const Var& x, const Parameter& W, const Parameter& U) {
  Tape& tape = x.tape();
  const Tensor X = tape.with_halo(x.value(), {});
  Tensor h = tape.make({W.rows()}), y = tape.make({U.rows()});
  multiply(W, X, h);
  multiply(U, h, y);
  return tape.record({.operation = "two_matrices",
                      .inputs = {x},
                      .parameters = {&W, &U},
                      .reads = {{&W, Features{}}, {.W = &U, .input = Reads::own, .operand = h}},
                      .ties = {{tied_rows(W), tied_columns(U)}, {tied_rows(U), tied_value()}}},
                     y, [x, X, h, &W, &U](Tape& t, Tensor& dY) {
                       // dh = U' dY;  dX = W' dh;  dU = dY h',  dW = dh X'
                       Tensor dh = t.make(h.shape());
                       multiply_transposed(U, dY, dh);
                       if (const auto dX = t.gradient_of(x)) multiply_transposed(W, dh, *dX->tensor, dX->write);
                       t.owe_outer(std::move(dh), X, W);
                       t.owe_outer(std::move(dY), h, U);
                     });
}

class TwoMatrices final : public Module {
 public:
  TwoMatrices(Index in, Index between, Index out, std::uint64_t seed) : W_("W", between, in), U_("U", out, between) {
    initialise(W_, Initialiser::kaiming, seed);
    initialise(U_, Initialiser::kaiming, seed);
  }
  Var forward(const Var& x) const override { return two_matrices(x, W_, U_); }
  Shape output_shape(const Shape& input) const override {
    require(input.features() == W_.cols(), "[two matrices] expected {} inputs, got {}", W_.cols(), input.text());
    return {U_.rows()};
  }
  void visit_parameters(const std::function<void(Parameter&)>& visit) override {
    visit(W_);
    visit(U_);
  }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override {
    OnnxValue y = graph.flatten(name(), x);
    for (const Parameter* W : {&W_, &U_})
      y = graph.add("Gemm", name(), {y.name, graph.weights(*W, {W->rows(), W->cols()})}, {W->rows()}, {{"transB", 1}});
    return y;
  }
  std::string name() const override { return "two_matrices"; }

 private:
  Parameter W_, U_;
};

}  // namespace espalier::testing
