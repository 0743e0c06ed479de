#include "espalier/layers/fold_norm.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "espalier/core/random.h"
#include "espalier/core/reads.h"

namespace espalier {
namespace {

constexpr std::string_view mean_suffix = ".running_mean", variance_suffix = ".running_variance",
                           scale_suffix = ".gamma";

// A normalisation with running statistics, on a tape.
struct NormOnTape {
  std::string name;
  std::size_t node = 0;
};

std::vector<NormOnTape> norms_on(const Module& model, const Tape& tape) {
  std::map<const Real*, std::string> names;
  for (const ConstNamedNumbers& state : state_of(model))
    if (state.name.ends_with(mean_suffix))
      names.emplace(state.numbers.data(), state.name.substr(0, state.name.size() - mean_suffix.size()));
  std::vector<NormOnTape> norms;
  for (std::size_t n = 1; n < tape.nodes(); ++n)
    if (const Node& node = tape.node(n); node.state.size() == 2 && names.contains(node.state[0].data()))
      norms.push_back({names[node.state[0].data()], n});
  return norms;
}

const Parameter* bias_among(const Node& node) {
  for (const Parameter* b : node.parameters)
    if (b->role() == Role::bias) return b;
  return nullptr;
}

// Whether the node's value is W x + b, of both signs: then it is not cut off, squeezed or pooled behind the product.
bool is_plain_product(const Tape& tape, const Node& node, const Reads& reads) {
  const Parameter &W = *reads.W, *b = bias_among(node);
  const Index positions = node.value.features() / W.rows();
  const auto* patches = std::get_if<Patches>(&reads.kind);
  const Index rows_of_group = W.rows() / (patches ? patches->window.groups : 1);
  if (positions * W.rows() != node.value.features() || positions != operands_of(tape, node, reads)) return false;
  bool equal = true, below = false;
  for_each_operand(tape, node, reads, [&](const Operand& operand) {
    for (Index lane = 0; lane < node.value.valid(); ++lane) {
      std::vector<double> z(static_cast<std::size_t>(W.rows()), 0), size = z;
      W.for_each_weight([&](Index row, Index column, Index at) {
        const double term = static_cast<double>(W.value()[at]) * static_cast<double>(operand.x.row(column)[lane]);
        z[row] += term, size[row] += std::abs(term);
      });
      for (Index row = operand.group * rows_of_group; row < (operand.group + 1) * rows_of_group; ++row) {
        const double bias = b ? static_cast<double>(b->value()[row]) : 0;
        const double y = static_cast<double>(node.value.row(row * positions + operand.position)[lane]);
        constexpr double relative = 1e-4;
        const double rounding = relative * (size[row] + std::abs(bias));
        equal &= std::abs(z[row] + bias - y) <= rounding;
        below |= y < -rounding;
      }
    }
  });
  return equal && below;
}

// Why a normalisation has to stay; empty: it can go.
std::string why_it_stays(const Tape& tape, const NormOnTape& norm) {
  const auto made = static_cast<std::size_t>(tape.node(norm.node).inputs[0]);
  const Node& before = tape.node(made);
  std::size_t readers = 0;
  for (std::size_t n = 1; n < tape.nodes(); ++n)
    readers += static_cast<std::size_t>(std::ranges::count(tape.node(n).inputs, static_cast<int>(made)));
  if (before.reads.size() != 1) return "no matrix makes what it normalises";
  const Reads& reads = before.reads[0];
  const bool known = std::holds_alternative<Features>(reads.kind) || std::holds_alternative<Patches>(reads.kind);
  if (!known || reads.transposed || reads.inside() || !reads.W->prunable())
    return "the rows of no matrix make what it normalises";
  if (readers != 1) return "what it normalises is read elsewhere as well";
  std::size_t uses = 0;
  tape.for_each_matrix([&](const Node&, const Reads& other) { uses += other.W == reads.W; });
  if (uses != 1) return "the matrix before it is used elsewhere as well";
  if (!is_plain_product(tape, before, reads)) return "something else stands between it and the matrix before";
  return "";
}

// A few samples of noise.
Tile noise_of(const Shape& input) {
  const Index lanes = input.rank() == 3 ? 1 : lane_quantum;
  Tile tile;
  tile.input = Tensor(input, {lanes, lanes});
  const Random random(1, "fold-norm");
  std::uint64_t n = 0;
  for (Index i = 0; i < input.features(); ++i)
    for (Index lane = 0; lane < lanes; ++lane) tile.input.row(i)[lane] = static_cast<Real>(2 * random.uniform(n++) - 1);
  return tile;
}

struct Fold {
  std::string name, weight, bias;  // bias: empty if there is none
};

void clear_statistics(Module& model, const std::string& name) {
  model.visit_state([&](const std::string& state, std::vector<Real>& numbers) {
    if (state == name + std::string(mean_suffix) || state == name + std::string(variance_suffix)) numbers.clear();
  });
}

void fold(Module& model, const Fold& f) {
  clear_statistics(model, f.name);  // the layer has its scale in gamma now
  std::map<std::string, Parameter*> parameters;
  for (Parameter* W : parameters_of(model)) parameters.emplace(W->name(), W);
  const auto scale = parameters.find(f.name + std::string(scale_suffix));
  if (scale == parameters.end()) return;  // it is 1 everywhere
  const std::span<Real> s = scale->second->value();
  Parameter& W = *parameters.at(f.weight);
  const std::span<Real> w = W.value();
  W.for_each_weight([&](Index row, Index, Index at) { w[at] *= s[row]; });
  if (!f.bias.empty()) {
    const std::span<Real> b = parameters.at(f.bias)->value();
    for (std::size_t row = 0; row < b.size(); ++row) b[row] *= s[row];
  }
  std::ranges::fill(s, Real{1});
}

}  // namespace

FoldedNorms fold_norms(Module& model, const Shape& input) {
  FoldedNorms norms;
  if (state_of(model).empty()) return norms;
  const Tile tile = noise_of(input);
  Tape tape;
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  std::vector<Fold> folds;
  for (const NormOnTape& norm : norms_on(model, tape)) {
    if (std::string why = why_it_stays(tape, norm); !why.empty()) {
      norms.stay.push_back({norm.name, std::move(why)});
      continue;
    }
    const Node& before = tape.node(static_cast<std::size_t>(tape.node(norm.node).inputs[0]));
    const Parameter* b = bias_among(before);
    folds.push_back({norm.name, before.reads[0].W->name(), b ? b->name() : ""});
    norms.folded.push_back(norm.name);
  }
  for (const Fold& f : folds) fold(model, f);
  return norms;
}

void forget_norms(Module& model, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    clear_statistics(model, name);
    for (Parameter* gamma : parameters_of(model))
      if (gamma->name() == name + std::string(scale_suffix)) std::ranges::fill(gamma->value(), Real{1});
  }
}

}  // namespace espalier
