// Evidence of flow: what would pass through each weight if nothing but the weights' magnitudes counted.
#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/pruning/borrowed.h"
#include "espalier/pruning/evidence.h"

namespace espalier {
namespace {

// R: the sum of one sample's outputs.
Var sum_of_outputs(const Var& y) {
  Tape& tape = y.tape();
  Tensor R = tape.make({1});
  R.fill(0);
  for (Index o = 0; o < y.value().features(); ++o) *R.row(0) += *y.value().row(o);
  return tape.record({.operation = "sum", .inputs = {y}}, R, [y](Tape& t, Tensor& dR) {
    Tensor dy = t.make(y.shape());
    dy.fill(*dR.row(0));
    t.give_gradient(y, std::move(dy));
  });
}

bool is_chain(const Tape& tape) {
  for (std::size_t n = 1; n < tape.nodes(); ++n)
    if (tape.node(n).inputs != std::vector<int>{static_cast<int>(n) - 1}) return false;
  return true;
}

// The power of two that brings the largest sum over a row of |w| into [1/2, 1): then nothing that flows forward exceeds
// 1, and what flows back no more than the number of outputs. A power of two rounds nothing.
Real flow_scale(const Parameter& W) {
  std::vector<double> sum(W.rows(), 0);
  W.for_each_weight([&](Index row, Index, Index at) { sum[row] += std::abs(static_cast<double>(W.value()[at])); });
  const double largest = std::ranges::max(sum);
  return largest > 0 ? static_cast<Real>(std::ldexp(1.0, -std::ilogb(largest) - 1)) : Real{1};
}

}  // namespace

Evidence::Arrays Evidence::compute_flow() {
  const std::vector<Parameter*>& parameters = trainer_.parameters();
  std::deque<Borrowed> borrowed;
  for (Parameter* V : parameters) {
    borrowed.emplace_back(V->value());
    if (V->prunable())
      std::ranges::transform(V->value(), V->value().begin(), [](Real w) { return std::abs(w); });
    else
      std::ranges::fill(V->value(), V->role() == Role::scale ? Real{1} : Real{0});
  }
  Tile ones;
  ones.input = Tensor(data_.data().shape(), {1, 1});
  ones.input.fill(1);
  Tape tape;
  const auto forward = [&] {
    return trainer_.model().forward(tape.begin(ones, {.mode = Mode::evaluation, .flow = true}));
  };
  // In a chain of layers R is a product over layers, and any factor of one layer is a factor of all scores: each layer
  // gets the factor that keeps the flow near 1. Beside a shortcut that would favour one branch.
  forward();
  if (is_chain(tape))
    for (Parameter* V : parameters)
      if (V->prunable()) {
        const Real scale = flow_scale(*V);
        for (Real& w : V->value()) w *= scale;
      }
  const Var R = sum_of_outputs(forward());
  require(std::isfinite(*R.value().row(0)) && *R.value().row(0) > 0,
          "[evidence] expected a flow from inputs to outputs that is above 0 and that float32 can hold, got {}",
          *R.value().row(0));
  tape.backward(R, 1);
  Ledger ledger(parameters);
  ledger.collect(std::vector<Tape*>{&tape});
  Arrays flow(parameters.size());
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const Parameter& V = *parameters[p];
    flow[p].resize(V.value().size());
    for (std::size_t b = 0; b < V.blocks().size(); ++b)
      ledger.settle(p, b, of_block(std::span<Real>(flow[p]), V.blocks()[b]));
    for (std::size_t n = 0; n < flow[p].size(); ++n) flow[p][n] *= V.value()[n];
  }
  return flow;
}

std::span<const Real> Evidence::flow(const Parameter& W) {
  const std::size_t p = index_of(W);
  if (flow_.empty()) flow_ = compute_flow();
  return flow_[p];
}

}  // namespace espalier
