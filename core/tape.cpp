#include "espalier/core/tape.h"

#include <algorithm>
#include <cassert>

#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"

namespace espalier {
namespace {

// Since the first time that it was asked.
double seconds_now() {
  static const Stopwatch watch;
  return watch.seconds();
}

// Invariant 5.
void require_reads(const Node& node) {
  for (const Parameter* parameter : node.parameters)
    require(!parameter->prunable() || std::ranges::find(node.reads, parameter, &Reads::W) != node.reads.end(),
            "[tape] {}: expected an entry of what {} reads, got none", node.operation, parameter->name());
  for (const Reads& reads : node.reads)
    require(reads.inside() || reads.input < std::ssize(node.inputs),
            "[tape] {}: expected {} to read one of {} inputs, got input {}", node.operation, reads.W->name(),
            node.inputs.size(), reads.input);
}

}  // namespace

void put(const Tensor& x, Tensor& y, Write write) {
  const Index line = std::min(x.line(), y.line());
  for (Index i = 0; i < x.features(); i += line)
    if (write == Write::add)
      kernels::add(x.row(i), y.row(i), line * x.stride());
    else
      std::copy_n(x.row(i), line * x.stride(), y.row(i));
}

Var Tape::begin(const Tile& tile, TapeOptions options) {
  debts_.clear();
  observations_.clear();
  for (std::size_t i = 0; i < used_; ++i) {
    nodes_[i]->backward.reset();
    nodes_[i]->value = {};
    nodes_[i]->gradient = {};
    nodes_[i]->reads.clear();
  }
  used_ = 0;
  options_ = options;
  lanes_ = tile.input.lane_counts();
  first_sample_ = tile.first;
  flops_before_ = thread_flops();
  if (options_.timed) seconds_before_ = seconds_now();
  if (options_.mode == Mode::inference) return Var(*this, -1, tile.input);
  Node& node = next_node({"input", {}}, tile.input);
  node.needs_gradient = options_.input_gradient;
  return Var(*this, 0, tile.input);
}

Node& Tape::next_node(const Record& what, const Tensor& value) {
  if (used_ == nodes_.size()) nodes_.push_back(std::make_unique<Node>());
  Node& node = *nodes_[used_++];
  node.operation = what.operation;
  node.inputs.clear();
  node.parameters.clear();
  node.reads.clear();
  for (const Parameter* parameter : what.parameters)
    if (parameter) node.parameters.push_back(parameter);
  node.needs_gradient = !node.parameters.empty();
  for (const Var& input : what.inputs) {
    node.inputs.push_back(input.node());
    node.needs_gradient |= nodes_[input.node()]->needs_gradient;
  }
  for (const Reads& reads : what.reads)
    if (reads.W) node.reads.push_back(reads);
  require_reads(node);
  node.mixes.assign(what.mixes);
  node.ties.assign(what.ties);
  node.state.assign(what.state);
  node.gradient_halo = what.gradient_halo;
  node.value = value;
  node.forward_flops = thread_flops() - flops_before_;
  flops_before_ = thread_flops();
  if (options_.timed) {
    const double now = seconds_now();
    node.forward_seconds = now - seconds_before_;
    seconds_before_ = now;
  }
  return node;
}

Tensor Tape::with_halo(const Tensor& x, Halo halo) {
  if (x.halo() == halo) return x;
  Tensor y = make(x.shape(), halo);
  put(x, y, Write::overwrite);
  return y;
}

void Tape::backward(const Var& loss, Real denominator) {
  Node& last = *nodes_[loss.node()];
  if (!last.needs_gradient) return;
  last.gradient = make(loss.shape());
  for (Index i = 0; i < last.gradient.features(); ++i) {
    Real* row = last.gradient.row(i);
    std::fill_n(row, lanes_.valid, 1 / denominator);
    std::fill(row + lanes_.valid, row + lanes_.count, Real{0});
  }
  for (int i = loss.node(); i >= 0; --i) {
    Node& node = *nodes_[i];
    if (!node.gradient || !node.backward) continue;
    Tensor dY = std::move(node.gradient);
    node.gradient = {};
    node.backward(*this, dY);
  }
}

std::optional<Tape::Sink> Tape::sink(const Var& x, Halo halo) {
  Node& node = *nodes_[x.node()];
  if (!node.needs_gradient) return std::nullopt;
  const bool first = !node.gradient;
  if (first)
    node.gradient = make(x.shape(), halo);
  else
    node.gradient = with_halo(node.gradient, halo);
  return Sink{&node.gradient, first ? Write::overwrite : Write::add};
}

void Tape::give_gradient(const Var& x, Tensor gradient) {
  Node& node = *nodes_[x.node()];
  if (!node.needs_gradient) return;
  if (node.gradient) {
    put(gradient, node.gradient, Write::add);
  } else {
    assert(gradient.holders() <= 2 && "invariant 1: only the pool and the giver hold a gradient that is given away");
    node.gradient = gradient.halo() == node.gradient_halo ? std::move(gradient) : with_halo(gradient, {});
  }
}

}  // namespace espalier
