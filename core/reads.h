// What a prunable matrix reads. Every recorded node says, for each of its prunable matrices, what it was multiplied by:
// as a type, so that criteria, counting, tuning and export treat every layer alike and know none by name.
//
//                y = W x                                             x: [W.cols()]
//   Features     the whole operand, whatever its shape
//   Patches      every patch of an image [C, H, W]                   [C / groups * taps]
//   Steps        every K neighbouring steps of a sequence [T, F]     [K F]
//   States       the node's own states: h_0 = 0, h_1 ... h_(T-1)     [H]
//   Tokens       for each of the operand's numbers n, e_n            [vocabulary]
//
// e_n is 1 at place n and 0 elsewhere. A matrix may also be used *transposed*, y = W' x with x: [W.rows()]: a lookup
// table with a row for each token, or the transposed convolution, in which every pixel of the operand is an x, and y is
// the patch of the result that it adds to.
//
// The operand is the value of one of the node's inputs, or a tensor that the entry brings along: something that the
// node computed itself, as the output projection of attention reads what was attended to.
//
// A *unit* is what a row or a column of a matrix stands for: a feature, a channel of an image, a feature of a sequence
// at whatever step.
#pragma once

#include <functional>
#include <variant>

#include "espalier/core/parameter.h"
#include "espalier/core/tensor.h"
#include "espalier/core/window.h"

namespace espalier {

class Tape;
struct Node;

struct Features {};
struct Patches {
  Window window;  // transposed: of the convolution whose transpose this is
};
struct Steps {
  TimeWindow window;  // transposed: likewise
};
struct States {};
struct Tokens {};

struct Reads {
  static constexpr int own = -1;

  const Parameter* W = nullptr;
  std::variant<Features, Patches, Steps, States, Tokens> kind = Features{};
  bool transposed = false;
  int input = 0;        // which of the node's inputs; own: none, but what the node computed itself
  Tensor operand = {};  // empty: the value of that input; of States the node's value

  // Whether what is read is not an input of the node: then rows and columns need not stand for units of input and
  // value.
  bool inside() const { return input == own || std::holds_alternative<States>(kind); }
};

// How many units a value of this shape has, and which of them its i-th feature belongs to.
Index units_of(const Shape& shape);
Index unit_of(const Shape& shape, Index feature);

const Tensor& operand_of(const Tape& tape, const Node& node, const Reads& reads);

// How many x there are in one sample.
Index operands_of(const Tape& tape, const Node& node, const Reads& reads);

// One x: a vector that the matrix was multiplied by.
struct Operand {
  Tensor x;            // [W.cols()], of a transposed matrix [W.rows()], without a halo
  Index position = 0;  // which one of the sample's: the step, the token, or the pixel, line by line
  Index group = 0;  // only the rows of this group of channels are multiplied by it; transposed: it has zeros elsewhere
};
// Shows visit every x. Those of Features, Steps and States are parts of the operand, all others are put together.
void for_each_operand(const Tape& tape, const Node& node, const Reads& reads,
                      const std::function<void(const Operand&)>& visit);

// Where tap `tap` of the patch that belongs to pixel (y, x) of the grid lies in the image [C, H, W]: H W is the number
// of pixels; -1 if it lies in the padding.
inline Index pixel_of_tap(const Window& w, const Shape& image, Index y, Index x, Index tap) {
  const Index row = y * w.stride + tap / w.kernel_width - w.padding_height;
  const Index column = x * w.stride + tap % w.kernel_width - w.padding_width;
  const bool inside = row >= 0 && row < image[1] && column >= 0 && column < image[2];
  return inside ? row * image[2] + column : -1;
}
// The grid [., H', W'] whose pixels the window is centred on, and the image [C, H, W] on which it slides: the result of
// the convolution and its operand, or the other way round for a transposed one.
struct Sliding {
  Shape grid, image;
};
Sliding sliding_of(const Tape& tape, const Node& node, const Reads& reads);  // Patches only

// Between which units a weight leads. Only in nodes without an entry that is inside(): rows of others may be no units.
struct Edge {
  static constexpr Index all = -1;
  Index from = 0;  // unit of the node's input; all: of each (a token is not a unit)
  Index to = 0;    // unit of the node's value
};
class Edges {
 public:
  Edges(const Tape& tape, const Node& node, const Reads& reads);
  Edge operator()(Index row, Index column) const;

 private:
  const Reads& reads_;
  Shape operand_, value_;
  Index groups_ = 1, taps_ = 1;  // of Patches
};

}  // namespace espalier
