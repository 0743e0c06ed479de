#include "pruning/dead_units.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace espalier {
namespace {

struct Layer {
  const Parameter* W;
  const Parameter* bias;  // or null
};

// The model's linear layers in order, or nothing if it is not a chain. Found on a recorded tape, so that no module has
// to know of this.
std::vector<Layer> chain_of(Module& model, const Shape& input) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  std::vector<Layer> chain;
  for (std::size_t n = 1; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    if (node.inputs.size() != 1 || node.inputs[0] != static_cast<int>(n) - 1) return {};
    if (node.parameters.empty()) continue;  // element-wise: a unit stays the unit it was
    if (std::string_view(node.operation) != "linear") return {};
    chain.push_back({node.parameters[0], node.parameters.size() > 1 ? node.parameters[1] : nullptr});
  }
  return chain;
}

}  // namespace

Index effective_nonzeros(Module& model, const Shape& input) {
  const std::vector<Layer> chain = chain_of(model, input);
  if (chain.empty()) return census_of(model).nonzeros();

  // reached[l][u]: an input reaches unit u before layer l; leads[l][u]: it leads on to an output.
  using Units = std::vector<std::uint8_t>;
  std::vector<Units> reached, leads(chain.size() + 1);
  reached.emplace_back(static_cast<std::size_t>(chain[0].W->cols()), 1);
  for (const auto& [W, bias] : chain) {
    Units next(static_cast<std::size_t>(W->rows()), 0);
    W->for_each_weight([&](Index r, Index c, Index) { next[r] |= reached.back()[c]; });
    reached.push_back(std::move(next));
  }
  leads.back().assign(reached.back().size(), 1);
  for (std::size_t l = chain.size(); l-- > 0;) {
    leads[l].assign(static_cast<std::size_t>(chain[l].W->cols()), 0);
    chain[l].W->for_each_weight([&](Index r, Index c, Index) { leads[l][c] |= leads[l + 1][r]; });
  }
  Index effective = 0;
  for (std::size_t l = 0; l < chain.size(); ++l) {
    chain[l].W->for_each_weight([&](Index r, Index c, Index) { effective += reached[l][c] && leads[l + 1][r]; });
    if (chain[l].bias) effective += std::ranges::count(leads[l + 1], 1);
  }
  return effective;
}

}  // namespace espalier
