#include "espalier/layers/linear.h"

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

Var linear(const Var& x, const Parameter& W, const Parameter* b, Activation f) {
  Tape& tape = x.tape();
  const Tensor X = tape.with_halo(x.value(), {});
  Tensor y = tape.make({W.rows()});
  multiply(W, X, y, {.bias = b, .activation = f});
  return tape.record({.operation = "linear", .inputs = {x}, .parameters = {&W, b}, .reads = {{&W, Features{}}}}, y,
                     [x, X, y, &W, b, f](Tape& t, Tensor& dY) {
                       // dZ = dY f'(Z), in place;  db = sum over samples of dZ
                       Tensor db = b ? t.make_numbers(W.rows()) : Tensor{};
                       kernels::activate_backward(f, y.data(), dY.data(), W.rows(), dY.stride(), dY.valid(),
                                                  b ? db.data() : nullptr);
                       if (b) t.owe(std::move(db), *b);
                       // dX = W' dZ;  dW = dZ X', settled later
                       if (const auto dX = t.gradient_of(x)) multiply_transposed(W, dY, *dX->tensor, dX->write);
                       t.owe_outer(std::move(dY), X, W);
                     });
}

Linear::Linear(const LinearOptions& options, std::uint64_t seed)
    : name_(options.name),
      weight_(options.pattern ? Parameter(options.name + ".weight", options.pattern)
                              : Parameter(options.name + ".weight", options.out, options.in)),
      bias_(options.bias ? std::make_unique<Parameter>(options.name + ".bias", options.out, 1, Role::bias) : nullptr),
      activation_(options.activation) {
  require(weight_.rows() == options.out && weight_.cols() == options.in,
          "[linear] {}: expected a pattern of {} x {}, got {} x {}", name_, options.out, options.in, weight_.rows(),
          weight_.cols());
  initialise(weight_, options.initialiser, seed);
}

Var Linear::forward(const Var& x) const {
  return linear(x, weight_, bias_.get(), activation_);
}

Shape Linear::output_shape(const Shape& input) const {
  require(input.features() == weight_.cols(), "[linear] {}: expected {} inputs, got {} = {}", name_, weight_.cols(),
          input.text(), input.features());
  return {weight_.rows()};
}

// Y = f(X W' + b), a row for each sample
OnnxValue Linear::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const std::string W = graph.weights(weight_, {weight_.rows(), weight_.cols()});
  const OnnxValue z = graph.add("Gemm", name_, graph.operands(graph.flatten(name_, x), W, bias_.get()),
                                {weight_.rows()}, {{"transB", 1}});
  return graph.activate(name_, activation_, z);
}

void Linear::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(weight_);
  if (bias_) visit(*bias_);
}

}  // namespace espalier
