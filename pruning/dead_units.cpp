#include "espalier/pruning/dead_units.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace espalier {
namespace {

// A unit is a channel of an image, a feature, or a feature of a sequence at whatever step. A flattened image has a
// feature for each pixel of each channel.
Index units_of(const Shape& shape) {
  return shape.rank() == 2 ? shape[1] : shape[0];
}

using Units = std::vector<std::uint8_t>;  // 0 or 1 for each unit of a node

double attribute(const Node& node, std::string_view name) {
  const auto found = std::ranges::find_if(node.attributes, [&](const Attribute& a) { return a.name == name; });
  return found == node.attributes.end() ? 0 : found->value;
}

// Says which unit of its input each weight of a linear layer or convolution reads.
struct Reader {
  Index pixels = 1;                                     // linear, of an image: columns per channel
  Index taps = 1, in_per_group = 0, out_per_group = 0;  // convolution
  Index of_step = 0;                                    // of steps in a row, time in front: features of each
  Index unit(Index row, Index column) const {
    if (of_step) return column % of_step;
    return out_per_group ? row / out_per_group * in_per_group + column / taps : column / pixels;
  }
};

bool has_weights(const Node& node) {
  return !node.parameters.empty() && node.parameters[0]->prunable();
}

// Calls edge(unit of the node, unit of its input) for whatever connects them. False if the operation is not understood.
template <typename Edge>
bool for_each_edge(const Node& node, const Node& input, Edge&& edge) {
  const Index out = units_of(node.value.shape()), in = units_of(input.value.shape());
  if (!has_weights(node)) {  // element-wise, pooling, normalisation: a unit stays what it was; flattening splits it
    if (out % in != 0) return false;
    for (Index u = 0; u < out; ++u) edge(u, u / (out / in));
    return true;
  }
  const Parameter& W = *node.parameters[0];
  Reader reader;
  const std::string_view operation = node.operation;
  if ((operation == "conv1d" || operation == "linear") && input.value.shape().rank() == 2) {
    reader.of_step = in;
  } else if (const double groups = attribute(node, "groups"); groups > 0) {
    reader.in_per_group = in / static_cast<Index>(groups);
    reader.out_per_group = out / static_cast<Index>(groups);
    reader.taps = W.cols() / reader.in_per_group;
  } else if (operation == "linear") {
    reader.pixels = input.value.features() / in;
  } else {
    return false;  // a recurrent layer: its units read each other
  }
  W.for_each_weight([&](Index row, Index column, Index) { edge(row, reader.unit(row, column)); });
  return true;
}

}  // namespace

Index effective_nonzeros(const Module& model, const Shape& input) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;  // what leads where is found on a recorded tape, so that no module has to know of this
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));

  // reached[n][u]: an input reaches unit u of node n; leads[n][u]: it leads on to an output.
  std::vector<Units> reached, leads;
  for (std::size_t n = 0; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    const auto units = static_cast<std::size_t>(units_of(node.value.shape()));
    leads.emplace_back(units, n + 1 == tape.nodes());
    Units& here = reached.emplace_back(units, n == 0);
    for (const int i : node.inputs)
      if (!for_each_edge(node, tape.node(static_cast<std::size_t>(i)),
                         [&](Index u, Index v) { here[u] |= reached[static_cast<std::size_t>(i)][v]; }))
        return census_of(model).nonzeros();
  }
  for (std::size_t n = tape.nodes(); n-- > 1;)
    for (const int i : tape.node(n).inputs)
      for_each_edge(tape.node(n), tape.node(static_cast<std::size_t>(i)),
                    [&](Index u, Index v) { leads[static_cast<std::size_t>(i)][v] |= leads[n][u]; });

  Index effective = 0;
  for (std::size_t n = 1; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    if (has_weights(node)) {
      const auto i = static_cast<std::size_t>(node.inputs[0]);
      for_each_edge(node, tape.node(i), [&](Index u, Index v) { effective += reached[i][v] && leads[n][u]; });
    }
    for (const Parameter* parameter : node.parameters)  // biases, scales: one for each unit
      if (!parameter->prunable()) effective += std::ranges::count(leads[n], 1);
  }
  return effective;
}

}  // namespace espalier
