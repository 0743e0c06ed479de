#include "espalier/pruning/dead_units.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace espalier {
namespace {

using Units = std::vector<std::uint8_t>;  // 0 or 1 for each unit of a node

bool any(const Units& units) {
  return std::ranges::count(units, 0) < std::ssize(units);
}

const Node& input_of(const Tape& tape, const Node& node, std::size_t input) {
  return tape.node(static_cast<std::size_t>(node.inputs[input]));
}

// Whether weights of the node read what it made itself: the units of a recurrent layer read each other.
bool reads_itself(const Node& node) {
  return std::ranges::any_of(node.reads, &Reads::inside);
}

// In how many groups the units of this input are mixed; 0: in none.
Index groups_mixed(const Node& node, std::size_t input) {
  if (reads_itself(node)) return 1;
  const auto found = std::ranges::find(node.mixes, static_cast<int>(input), &Mixing::input);
  return found == node.mixes.end() ? 0 : found->groups;
}

// edge(unit of the node, unit of the input) for every weight.
template <typename Visit>
void for_each_weight_edge(const Tape& tape, const Node& node, const Reads& reads, Index in, Visit&& edge) {
  const Edges edges(tape, node, reads);
  reads.W->for_each_weight([&](Index row, Index column, Index) {
    const auto [from, to] = edges(row, column);
    if (from != Edge::all) return edge(to, from);
    for (Index u = 0; u < in; ++u) edge(to, u);
  });
}

// edge(unit of the node, unit of its input) for whatever connects them. False if the shapes are not understood.
template <typename Visit>
bool for_each_edge(const Tape& tape, const Node& node, std::size_t input, Visit&& edge) {
  const Index out = units_of(node.value.shape()), in = units_of(input_of(tape, node, input).value.shape());
  if (const Index groups = groups_mixed(node, input); groups > 0) {
    if (out % groups != 0 || in % groups != 0) return false;
    for (Index u = 0; u < out; ++u)
      for (Index v = 0; v < in; ++v)
        if (u / (out / groups) == v / (in / groups)) edge(u, v);
    return true;
  }
  bool read = false;
  for (const Reads& reads : node.reads)
    if (reads.input == static_cast<int>(input)) {
      read = true;
      for_each_weight_edge(tape, node, reads, in, edge);
    }
  if (read) return true;
  // Element-wise, pooling, normalisation: a unit stays what it was; flattening splits it.
  if (out % in != 0) return false;
  for (Index u = 0; u < out; ++u) edge(u, u / (out / in));
  return true;
}

// What a model's nodes look like from both ends.
struct Paths {
  std::vector<Units> reached, leads;  // [n][u]: an input reaches unit u of node n; it leads on to an output

  // Those of the matrix's weights that lie on a path from an input to an output.
  Index effective(const Tape& tape, std::size_t n, const Reads& reads) const {
    const Node& node = tape.node(n);
    if (reads_itself(node)) return any(reached[n]) && any(leads[n]) ? reads.W->nonzeros() : 0;
    const Units& from_units = reached[node.inputs[reads.input]];
    const bool some = any(from_units);
    const Edges edges(tape, node, reads);
    Index count = 0;
    reads.W->for_each_weight([&](Index row, Index column, Index) {
      const auto [from, to] = edges(row, column);
      const bool read = from == Edge::all ? some : from_units[from] != 0;
      count += read && leads[n][to];
    });
    return count;
  }
};

// None if some shapes are not understood.
std::optional<Paths> paths_of(const Tape& tape) {
  Paths paths;
  for (std::size_t n = 0; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    const auto units = static_cast<std::size_t>(units_of(node.value.shape()));
    paths.leads.emplace_back(units, n + 1 == tape.nodes());
    Units& here = paths.reached.emplace_back(units, n == 0);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Units& there = paths.reached[node.inputs[i]];
      if (!for_each_edge(tape, node, i, [&](Index u, Index v) { here[u] |= there[v]; })) return std::nullopt;
    }
  }
  for (std::size_t n = tape.nodes(); n-- > 1;) {
    // Units that read each other lead on together.
    if (reads_itself(tape.node(n)) && any(paths.leads[n])) std::ranges::fill(paths.leads[n], 1);
    for (std::size_t i = 0; i < tape.node(n).inputs.size(); ++i) {
      Units& there = paths.leads[tape.node(n).inputs[i]];
      for_each_edge(tape, tape.node(n), i, [&](Index u, Index v) { there[v] |= paths.leads[n][u]; });
    }
  }
  return paths;
}

}  // namespace

Index effective_nonzeros(const Module& model, const Shape& input) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;  // what leads where is found on a recorded tape, so that no module has to know of this
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  const std::optional<Paths> paths = paths_of(tape);
  if (!paths) return census_of(model).nonzeros();

  Index effective = 0;
  for (std::size_t n = 1; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    for (const Reads& reads : node.reads)
      if (reads.W->prunable()) effective += paths->effective(tape, n, reads);
    // Biases, scales: equally many for each unit.
    const Units& leads = paths->leads[n];
    for (const Parameter* parameter : node.parameters)
      if (!parameter->prunable()) effective += std::ranges::count(leads, 1) * parameter->nonzeros() / std::ssize(leads);
  }
  return effective;
}

}  // namespace espalier
