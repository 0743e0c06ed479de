#include "espalier/layers/narrow_inputs.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/layers/widths.h"

namespace espalier {
namespace {

// Whether every node that has the sample as an input multiplies it by a matrix, feature by feature.
bool only_matrices_read_it(const Tape& tape) {
  for (std::size_t n = 1; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    for (int i = 0; i < std::ssize(node.inputs); ++i)
      if (node.inputs[i] == 0 && !std::ranges::any_of(node.reads, [&](const Reads& reads) {
            return reads.input == i && std::holds_alternative<Features>(reads.kind) && !reads.transposed;
          }))
        return false;
  }
  return true;
}

}  // namespace

bool narrow_inputs(Module& model, Index features, const std::vector<Index>& kept) {
  require(!kept.empty() && std::ranges::is_sorted(kept) && kept.front() >= 0 && kept.back() < features,
          "[narrow] expected ascending features below {} to keep, got {}", features, fmt::join(kept, ", "));
  Tile tile;
  tile.input = Tensor({features}, {1, 1});
  Tape tape;
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  if (!only_matrices_read_it(tape)) return false;
  const std::vector<Width> widths = recorded_widths(model, tape);
  const auto inputs = std::ranges::find_if(widths, [](const Width& width) {
    return std::ranges::any_of(width.places,
                               [](const Place& place) { return place.of == Place::Of::units && place.node == 0; });
  });
  if (inputs == widths.end() || inputs->groups != features) return false;
  Width free = *inputs;
  free.fixed.clear();
  narrow(model, {free}, {kept});
  return true;
}

}  // namespace espalier
