#include "espalier/layers/gru.h"

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/gru.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/onnx_graph.h"
#include "espalier/layers/sequence.h"

namespace espalier {

Var gru(const Var& a, const Parameter& U, const Parameter* c) {
  Tape& tape = a.tape();
  const Index H = U.cols(), T = a.shape()[0], gates = 3 * H;
  require(U.rows() == gates, "[gru] {}: expected 3 gates of {} rows each, got {} x {}", U.name(), H, U.rows(), H);
  require_sequence(a.shape(), "gru", U.name(), gates);
  const Tensor A = tape.with_halo(a.value(), {});
  // h: h_0 = 0 to h_T      G: of each step r, z, m = U_n h + c_n, n; of one step at a time in inference
  const bool recorded = tape.options().mode != Mode::inference;
  Tensor h = tape.make({T + 1, H}), G = tape.make({recorded ? T : 1, 4 * H});
  const auto state = [H](const Tensor& of, Index t) { return of.slice(t * H, {H}); };
  const auto product = [H, gates](const Tensor& of, Index t) { return of.slice(t * 4 * H, {gates}); };
  state(h, 0).fill(0);
  for (Index t = 0; t < T; ++t) {
    Tensor Uh = product(G, recorded ? t : 0);
    multiply(U, state(h, t), Uh, {.bias = c});
    kernels::gru_step(A.row(t * gates), Uh.data(), h.row(t * H), h.row((t + 1) * H), H * h.stride());
  }
  return tape.record({.operation = "gru", .inputs = {a}, .parameters = {&U, c}, .reads = {{&U, States{}}}},
                     h.slice(H, {T, H}), [a, h, G, &U, c, H, T, gates, state, product](Tape& t, Tensor& dY) mutable {
                       // Back in time. dY_s is complete when step s + 1 has added z dh and U' d(U h) to it.
                       Tensor dA = t.make(a.shape()), step_dc = t.make_numbers(gates), dc = t.make_numbers(gates);
                       dc.fill(0);
                       for (Index s = T; s-- > 0;) {
                         Tensor dUh = product(G, s);  // in the place of r, z, m
                         Tensor dh = s > 0 ? state(dY, s - 1) : Tensor();
                         kernels::gru_step_backward(dUh.data(), h.row(s * H), dY.row(s * H), dA.row(s * gates),
                                                    dh ? dh.data() : nullptr, H * h.stride());
                         if (dh) multiply_transposed(U, dUh, dh, Write::add);
                         kernels::activate_backward(Activation::none, dUh.data(), dUh.data(), gates, dUh.stride(),
                                                    dUh.valid(), step_dc.data());
                         kernels::add(step_dc.data(), dc.data(), gates);
                       }
                       // dU = sum over steps of d(U h_{s-1}) h_{s-1}'
                       owe_over_time(
                           t, U, T, [&](Index s) { return product(G, s); }, [&](Index s) { return state(h, s); });
                       if (c) t.owe(std::move(dc), *c);
                       t.give_gradient(a, std::move(dA));
                     });
}

Gru::Gru(const GruOptions& o, std::uint64_t seed)
    : name_(o.name),
      input_weight_(o.input_pattern ? Parameter(o.name + ".input.weight", o.input_pattern)
                                    : Parameter(o.name + ".input.weight", 3 * o.units, o.in)),
      input_bias_(o.name + ".input.bias", 3 * o.units, 1, Role::bias),
      hidden_weight_(o.hidden_pattern ? Parameter(o.name + ".hidden.weight", o.hidden_pattern)
                                      : Parameter(o.name + ".hidden.weight", 3 * o.units, o.units)),
      hidden_bias_(o.name + ".hidden.bias", 3 * o.units, 1, Role::bias) {
  for (const auto& [W, cols] : {std::pair{&input_weight_, o.in}, {&hidden_weight_, o.units}})
    require(W->rows() == 3 * o.units && W->cols() == cols, "[gru] {}: expected a pattern of {} x {}, got {} x {}",
            W->name(), 3 * o.units, cols, W->rows(), W->cols());
  initialise(input_weight_, o.initialiser, seed);
  initialise(hidden_weight_, o.initialiser, seed);
}

Var Gru::forward(const Var& x) const {
  return gru(conv1d(x, input_weight_, &input_bias_, {}), hidden_weight_, &hidden_bias_);
}

Shape Gru::output_shape(const Shape& input) const {
  require_sequence(input, "gru", name_, input_weight_.cols());
  return {input[0], hidden_weight_.cols()};
}

// ONNX puts time in front of the batch, has the gates in the order z, r, n, and both biases in one; its reset gate may
// act behind the product, as here.
OnnxValue Gru::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Index T = x.shape[0], F = x.shape[1], H = hidden_weight_.cols();
  const auto gate_row = [H](Index row) { return row < H ? row + H : row < 2 * H ? row - H : row; };
  const std::string W = graph.weights(input_weight_, {1, 3 * H, F},
                                      [&](Index row, Index column) { return gate_row(row) * F + column; }),
                    U = graph.weights(hidden_weight_, {1, 3 * H, H},
                                      [&](Index row, Index column) { return gate_row(row) * H + column; });
  std::vector<Real> biases(static_cast<std::size_t>(6 * H));
  for (Index row = 0; row < 3 * H; ++row) {
    biases[gate_row(row)] = std::as_const(input_bias_).value()[row];
    biases[3 * H + gate_row(row)] = std::as_const(hidden_bias_).value()[row];
  }
  const std::string b = graph.numbers(name_ + ".bias", {1, 6 * H}, biases);
  const OnnxValue steps =
      graph.add("Transpose", name_, {x.name}, x.shape, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  // [T, directions, batch, H] -> [batch, T, directions, H], where there is one direction
  const OnnxValue states =
      graph.add("GRU", name_, {steps.name, W, U, b}, {1, T, H}, {{"hidden_size", H}, {"linear_before_reset", 1}});
  const OnnxValue y =
      graph.add("Transpose", name_, {states.name}, {T, 1, H}, {{"perm", std::vector<std::int64_t>{2, 0, 1, 3}}});
  return graph.reshape(name_, y, {T, H});
}

void Gru::visit_parameters(const std::function<void(Parameter&)>& visit) {
  visit(input_weight_);
  visit(input_bias_);
  visit(hidden_weight_);
  visit(hidden_bias_);
}

}  // namespace espalier
