#include "espalier/layers/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/core/kernels/lanewise.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/onnx_graph.h"
#include "espalier/layers/sequence.h"

namespace espalier {
namespace {

// Which rows and lanes a head's step t has to do with.
struct Geometry {
  Index T, D, heads, lanes;
  bool causal, flow;
  Index d() const { return D / heads; }
  Index row(Index head, Index t) const { return t * D + head * d(); }
  Index seen(Index t) const { return causal ? t + 1 : T; }
  // Of q_t . k_s in the scores; with TapeOptions::flow their mean takes the place of softmax.
  Real scale(Index t) const {
    return 1 / std::sqrt(static_cast<Real>(d())) / (flow ? static_cast<Real>(seen(t)) : Real{1});
  }
  kernels::Vectors steps(Index t) const { return {.count = seen(t), .length = d(), .step = D * lanes, .lanes = lanes}; }
  template <typename Body>
  void for_each(Body&& body) const {
    for (Index head = 0; head < heads; ++head)
      for (Index t = 0; t < T; ++t) body(head, t);
  }
};

// Two products of this many multiplications and additions per lane: scores and mixtures, or what goes back.
void count_flops(const Geometry& g, const Tensor& x, Index products) {
  Index pairs = 0;
  for (Index t = 0; t < g.T; ++t) pairs += g.seen(t);
  const Index flops = 2 * products * pairs * g.D;
  thread_flops() += {static_cast<std::uint64_t>(flops * x.lanes()), static_cast<std::uint64_t>(flops * x.valid())};
}

}  // namespace

Var attention(const Var& q, const Var& k, const Var& v, const AttentionForm& form) {
  Tape& tape = q.tape();
  require_sequence(q.shape(), "attention", "queries");
  require(k.shape() == q.shape() && v.shape() == q.shape(),
          "[attention] expected queries, keys and values of one shape, got {}, {} and {}", q.shape().text(),
          k.shape().text(), v.shape().text());
  const Tensor &Q = q.value(), &K = k.value(), &V = v.value();
  const Geometry g{q.shape()[0], q.shape()[1], form.heads, Q.lanes(), form.causal, tape.options().flow};
  // P: [heads * T, T], a row for each head and step; of one at a time if the tape will not go back
  const bool recorded = tape.options().mode != Mode::inference;
  Tensor o = tape.make(q.shape()), P = tape.make({recorded ? g.heads * g.T : 1, g.T});
  const auto row_of_P = [g](Index head, Index t) { return (head * g.T + t) * g.T; };
  g.for_each([&](Index head, Index t) {
    Real* p = P.row(recorded ? row_of_P(head, t) : 0);
    // P_ts = softmax over s of q_t . k_s / sqrt(d);  o_t = sum over s of P_ts v_s
    kernels::lane_dots(g.steps(t), Q.row(g.row(head, t)), K.row(g.row(head, 0)), g.scale(t), p);
    if (!g.flow) kernels::softmax(p, g.seen(t), g.lanes);
    kernels::lane_mix(g.steps(t), p, V.row(g.row(head, 0)), o.row(g.row(head, t)));
  });
  count_flops(g, o, 2);
  return tape.record({.operation = "attention",
                      .inputs = {q, k, v},
                      .mixes = {{.input = 0, .groups = g.heads}, {.input = 1, .groups = g.heads}}},
                     o, [q, k, v, P, g, row_of_P](Tape& t, Tensor& dO) {
                       Tensor dQ = t.make(q.shape()), dK = t.make(q.shape()), dV = t.make(q.shape());
                       Tensor dP = t.make({g.T});
                       dK.fill(0), dV.fill(0);
                       g.for_each([&](Index head, Index s) {
                         const kernels::Vectors steps = g.steps(s);
                         const Index at = g.row(head, s), first = g.row(head, 0);
                         const Real* p = P.row(row_of_P(head, s));
                         Real* dp = dP.data();
                         // dP_ts = do_t . v_s;  dV_s += P_ts do_t;  dS = P (dP - sum over s of P dP) / sqrt(d)
                         kernels::lane_dots(steps, dO.row(at), v.value().row(first), g.flow ? g.scale(s) : 1, dp);
                         kernels::lane_spread(steps, p, dO.row(at), dV.row(first));
                         if (!g.flow) kernels::softmax_backward(p, dp, steps.count, g.lanes, g.scale(s));
                         // dq_t = sum over s of dS_ts k_s;  dk_s += dS_ts q_t
                         kernels::lane_mix(steps, dp, k.value().row(first), dQ.row(at));
                         kernels::lane_spread(steps, dp, q.value().row(at), dK.row(first));
                       });
                       count_flops(g, dQ, 4);
                       t.give_gradient(q, std::move(dQ));
                       t.give_gradient(k, std::move(dK));
                       t.give_gradient(v, std::move(dV));
                     });
}

MultiHeadAttention::Projection::Projection(const std::string& name, Index features, const PatternPtr& pattern)
    : weight(pattern ? Parameter(name + ".weight", pattern) : Parameter(name + ".weight", features, features)),
      bias(name + ".bias", features, 1, Role::bias) {
  require(weight.rows() == features && weight.cols() == features,
          "[attention] {}: expected a pattern of {} x {}, got {} x {}", name, features, features, weight.rows(),
          weight.cols());
}

MultiHeadAttention::MultiHeadAttention(const MultiHeadAttentionOptions& o, std::uint64_t seed)
    : name_(o.name),
      head_features_(o.features / std::max<Index>(o.form.heads, 1)),
      causal_(o.form.causal),
      query_(o.name + ".query", o.features, o.query_pattern),
      key_(o.name + ".key", o.features, o.key_pattern),
      value_(o.name + ".value", o.features, o.value_pattern),
      output_(o.name + ".output", o.features, o.output_pattern) {
  require(o.form.heads >= 1 && o.features % o.form.heads == 0,
          "[attention] {}: expected features that the heads divide, got {} of {} heads", name_, o.features,
          o.form.heads);
  for (Projection* projection : {&query_, &key_, &value_, &output_})
    initialise(projection->weight, o.initialiser, seed);
}

Var MultiHeadAttention::forward(const Var& x) const {
  const auto project = [](const Var& of, const Projection& p) { return conv1d(of, p.weight, &p.bias, {}); };
  const AttentionForm form{.heads = query_.weight.rows() / head_features_, .causal = causal_};
  const Var q = project(x, query_), k = project(x, key_), v = project(x, value_);  // in this order, whatever compiler
  const Var o = attention(q, k, v, form);
  return project(o, output_);
}

Shape MultiHeadAttention::output_shape(const Shape& input) const {
  require_sequence(input, "attention", name_, query_.weight.cols());
  return input;
}

// The heads stand beside the batch: [T, D] -> [heads, T, d]. Some may have gone, and then heads * d < D.
OnnxValue MultiHeadAttention::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Index T = x.shape[0], d = head_features_, heads = query_.weight.rows() / d;
  const auto part = [&](const Projection& p, const char* which, const std::vector<std::int64_t>& axes) {
    const std::string layer = name_ + which;
    const OnnxValue y = graph.at_every_step(layer, x, p.weight, &p.bias);
    return graph.transpose(layer, graph.reshape(layer, y, {T, heads, d}), axes);
  };
  const OnnxValue q = part(query_, ".query", {0, 2, 1, 3}), k = part(key_, ".key", {0, 2, 3, 1}),
                  v = part(value_, ".value", {0, 2, 1, 3});
  // P_ts = softmax over s of q_t . k_s / sqrt(d);  o_t = sum over s of P_ts v_s
  const std::string scale = graph.number(name_ + ".scale", 1 / std::sqrt(static_cast<Real>(d)));
  const OnnxValue products = graph.add("MatMul", name_, {q.name, k.name}, {heads, T, T});
  OnnxValue scores = graph.add("Mul", name_, {products.name, scale}, products.shape);
  if (causal_) scores = graph.add("Add", name_, {scores.name, unseen(graph, T)}, scores.shape);
  const OnnxValue P = graph.add("Softmax", name_, {scores.name}, scores.shape, {{"axis", -1}});
  const OnnxValue o = graph.add("MatMul", name_, {P.name, v.name}, v.shape);
  const OnnxValue steps = graph.reshape(name_, graph.transpose(name_, o, {0, 2, 1, 3}), {T, heads * d});
  return graph.at_every_step(name_ + ".output", steps, output_.weight, &output_.bias);
}

// What is added to the scores, [T, T]: 0 for the steps that a step sees, -inf for those behind it.
std::string MultiHeadAttention::unseen(OnnxGraph& graph, Index steps) const {
  std::vector<Real> mask(static_cast<std::size_t>(steps * steps), 0);
  for (Index t = 0; t < steps; ++t)
    std::fill_n(mask.begin() + t * steps + t + 1, steps - t - 1, -std::numeric_limits<Real>::infinity());
  return graph.numbers(name_ + ".unseen", {steps, steps}, mask);
}

void MultiHeadAttention::visit_parameters(const std::function<void(Parameter&)>& visit) {
  for (Projection* projection : {&query_, &key_, &value_, &output_}) {
    visit(projection->weight);
    visit(projection->bias);
  }
}

}  // namespace espalier
