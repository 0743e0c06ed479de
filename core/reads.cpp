#include "espalier/core/reads.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/tape.h"

namespace espalier {
namespace {

using Visit = std::function<void(const Operand&)>;

// x between `padding` zero steps on each side.
Tensor padded_in_time(const Tensor& x, Index padding) {
  const Index T = x.shape()[0], F = x.shape()[1];
  Tensor y({T + 2 * padding, F}, x.lane_counts());
  Tensor middle = y.slice(padding * F, x.shape());
  put(x, middle, Write::overwrite);
  return y;
}

// The rows of a tensor, `length` of them from first + n * stride on for n = 0 ... count - 1.
void visit_slices(const Tensor& x, Index count, Index length, Index stride, const Visit& visit) {
  for (Index n = 0; n < count; ++n) visit({.x = x.slice(n * stride, {length}), .position = n});
}

void visit_patches(const Window& w, const Sliding& sliding, const Tensor& image, const Visit& visit) {
  const Index in = image.shape()[0] / w.groups, taps = w.taps(), pixels = image.shape()[1] * image.shape()[2];
  for (Index group = 0; group < w.groups; ++group)
    for (Index y = 0; y < sliding.grid[1]; ++y)
      for (Index x = 0; x < sliding.grid[2]; ++x) {
        Tensor patch({in * taps}, image.lane_counts());
        for (Index tap = 0; tap < taps; ++tap) {
          const Index pixel = pixel_of_tap(w, sliding.image, y, x, tap);
          for (Index c = 0; pixel >= 0 && c < in; ++c)
            std::copy_n(image.row((group * in + c) * pixels + pixel), image.stride(), patch.row(c * taps + tap));
        }
        visit({.x = patch, .position = y * sliding.grid[2] + x, .group = group});
      }
}

// Each pixel, group by group: the other groups' channels are zeros.
void visit_pixels(const Tensor& image, Index groups, const Visit& visit) {
  const Index channels = image.shape()[0], of_group = channels / groups, pixels = image.shape()[1] * image.shape()[2];
  for (Index group = 0; group < groups; ++group)
    for (Index pixel = 0; pixel < pixels; ++pixel) {
      Tensor x({channels}, image.lane_counts());
      for (Index c = group * of_group; c < (group + 1) * of_group; ++c)
        std::copy_n(image.row(c * pixels + pixel), image.stride(), x.row(c));
      visit({.x = x, .position = pixel, .group = group});
    }
}

// A one-hot vector for each number of a sample.
void visit_tokens(const Tensor& tokens, Index vocabulary, const Visit& visit) {
  for (Index n = 0; n < tokens.features(); ++n) {
    Tensor x({vocabulary}, tokens.lane_counts());
    for (Index lane = 0; lane < tokens.valid(); ++lane) x.row(static_cast<Index>(tokens.row(n)[lane]))[lane] = 1;
    visit({.x = x, .position = n});
  }
}

Index steps_of(const TimeWindow& w, Index steps) {
  return (steps + 2 * w.padding - w.kernel) / w.stride + 1;
}

}  // namespace

Index units_of(const Shape& shape) {
  return shape.rank() == 2 ? shape[1] : shape[0];
}

Index unit_of(const Shape& shape, Index feature) {
  return shape.rank() == 2 ? feature % shape[1] : feature / (shape.features() / shape[0]);
}

const Tensor& operand_of(const Tape& tape, const Node& node, const Reads& reads) {
  if (reads.operand) return reads.operand;
  if (reads.inside()) return node.value;
  return tape.node(static_cast<std::size_t>(node.inputs[reads.input])).value;
}

Sliding sliding_of(const Tape& tape, const Node& node, const Reads& reads) {
  const Shape operand = operand_of(tape, node, reads).shape();
  if (reads.transposed) return {.grid = operand, .image = node.value.shape()};
  const Window& w = std::get<Patches>(reads.kind).window;
  return {.grid = output_shape(w, operand, reads.W->rows(), node.operation, reads.W->name()), .image = operand};
}

Index operands_of(const Tape& tape, const Node& node, const Reads& reads) {
  const Shape operand = operand_of(tape, node, reads).shape();
  if (std::holds_alternative<Features>(reads.kind)) return 1;
  if (std::holds_alternative<Tokens>(reads.kind)) return operand.features();
  if (std::holds_alternative<Patches>(reads.kind)) {
    const Shape grid = sliding_of(tape, node, reads).grid;
    return grid[1] * grid[2];
  }
  const Steps* steps = std::get_if<Steps>(&reads.kind);
  return steps && !reads.transposed ? steps_of(steps->window, operand[0]) : operand[0];
}

void for_each_operand(const Tape& tape, const Node& node, const Reads& reads, const Visit& visit) {
  const Tensor& operand = operand_of(tape, node, reads);
  const Index length = reads.transposed ? reads.W->rows() : reads.W->cols();
  if (const auto* patches = std::get_if<Patches>(&reads.kind)) {
    if (reads.transposed)
      visit_pixels(operand, patches->window.groups, visit);
    else
      visit_patches(patches->window, sliding_of(tape, node, reads), operand, visit);
    return;
  }
  if (std::holds_alternative<Tokens>(reads.kind)) return visit_tokens(operand, length, visit);
  Tensor flat = operand;
  if (!operand.halo().none()) {
    flat = Tensor(operand.shape(), operand.lane_counts());
    put(operand, flat, Write::overwrite);
  }
  const Index count = operands_of(tape, node, reads);
  if (std::holds_alternative<States>(reads.kind)) {
    visit({.x = Tensor({length}, operand.lane_counts())});
    for (Index t = 0; t + 1 < count; ++t) visit({.x = flat.slice(t * length, {length}), .position = t + 1});
    return;
  }
  const Steps* steps = std::get_if<Steps>(&reads.kind);
  if (!steps || reads.transposed) return visit_slices(flat, count, length, length, visit);
  visit_slices(padded_in_time(flat, steps->window.padding), count, length, steps->window.stride * operand.shape()[1],
               visit);
}

Edges::Edges(const Tape& tape, const Node& node, const Reads& reads)
    : reads_(reads), operand_(operand_of(tape, node, reads).shape()), value_(node.value.shape()) {
  if (const auto* patches = std::get_if<Patches>(&reads.kind)) {
    groups_ = patches->window.groups;
    taps_ = patches->window.taps();
  }
}

Edge Edges::operator()(Index row, Index column) const {
  const bool tokens = std::holds_alternative<Tokens>(reads_.kind);
  if (std::holds_alternative<Patches>(reads_.kind)) {
    // Columns count the channels of the row's own group.
    const Index channels = units_of(reads_.transposed ? value_ : operand_) / groups_;
    const Index column_unit = row / (reads_.W->rows() / groups_) * channels + column / taps_;
    return reads_.transposed ? Edge{.from = row, .to = column_unit} : Edge{.from = column_unit, .to = row};
  }
  const Index from = reads_.transposed ? row : column, to = reads_.transposed ? column : row;
  return {.from = tokens ? Edge::all : unit_of(operand_, from), .to = unit_of(value_, to)};
}

}  // namespace espalier
