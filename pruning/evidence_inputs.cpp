// Evidence of inputs: squares and products of what each matrix is multiplied by, as the tape says it.
#include <algorithm>

#include "espalier/core/kernels/dense.h"
#include "espalier/pruning/evidence.h"

namespace espalier {
namespace {

// x_i^2, summed over the valid lanes.     [x.features()]
std::vector<double> squares_of(const Tensor& x) {
  std::vector<double> squares(x.features(), 0);
  for (Index i = 0; i < x.features(); ++i)
    for (Index lane = 0; lane < x.valid(); ++lane)
      squares[i] += static_cast<double>(x.row(i)[lane]) * static_cast<double>(x.row(i)[lane]);
  return squares;
}

// sums[c * taps + tap] += x^2 of channel c where the tap meets the image, summed over the grid: the operand is the
// image, or the grid if the convolution is transposed.
void add_squares_of_taps(const Tape& tape, const Node& node, const Reads& reads, std::vector<double>& sums) {
  const Tensor& x = operand_of(tape, node, reads);
  const std::vector<double> squares = squares_of(x);
  const Window& w = std::get<Patches>(reads.kind).window;
  const Sliding sliding = sliding_of(tape, node, reads);
  const Index channels = x.shape()[0], pixels = x.shape()[1] * x.shape()[2];
  sums.resize(channels * w.taps());
  for (Index tap = 0; tap < w.taps(); ++tap)
    for (Index oy = 0; oy < sliding.grid[1]; ++oy)
      for (Index ox = 0; ox < sliding.grid[2]; ++ox) {
        const Index inside = pixel_of_tap(w, sliding.image, oy, ox, tap);
        if (inside < 0) continue;
        const Index pixel = reads.transposed ? oy * sliding.grid[2] + ox : inside;
        for (Index c = 0; c < channels; ++c) sums[c * w.taps() + tap] += squares[c * pixels + pixel];
      }
}

// sums[g * cols + j] += x_j^2 over everything that column j of the g-th row group was multiplied by. Each row of a
// transposed matrix reads a number of its own: it is a group.
void add_squares(const Tape& tape, const Node& node, const Reads& reads, std::vector<double>& sums) {
  const bool patches = std::holds_alternative<Patches>(reads.kind);
  if (patches && !reads.transposed) return add_squares_of_taps(tape, node, reads, sums);
  const Index rows = reads.W->rows(), cols = reads.W->cols();
  sums.resize(reads.transposed ? rows * cols : cols);
  if (patches) {
    std::vector<double> of_taps;  // of each channel: a row's columns are (channel of the result, tap)
    add_squares_of_taps(tape, node, reads, of_taps);
    const Index taps = std::ssize(of_taps) / rows;
    for (Index i = 0; i < rows * cols; ++i) sums[i] += of_taps[i / cols * taps + i % taps];
    return;
  }
  for_each_operand(tape, node, reads, [&](const Operand& operand) {
    const std::vector<double> squares = squares_of(operand.x);
    for (Index i = 0; i < std::ssize(sums); ++i) sums[i] += squares[reads.transposed ? i / cols : i];
  });
}

std::vector<Index> led_to_of(const Tape& tape, const Node& node, const Reads& reads) {
  std::vector<Index> units;
  const Edges edges(tape, node, reads);
  reads.W->for_each_weight([&](Index row, Index column, Index) {
    units.push_back(reads.transposed && !reads.inside() ? edges(row, column).to : row);
  });
  return units;
}

}  // namespace

void Evidence::examine_inputs(const std::function<void(const Tape&, const Node&, const Reads&)>& look) {
  for (Index i = 0; i < batches_; ++i)
    trainer_.examine(data_, batch(i), [&](const Tape& tape) {
      tape.for_each_matrix([&](const Node& node, const Reads& reads) { look(tape, node, reads); });
    });
}

std::span<const double> Evidence::input_squares(const Parameter& W) {
  index_of(W);
  if (input_squares_.empty()) {
    double samples = 0;
    for (Index i = 0; i < batches_; ++i) samples += static_cast<double>(data_.batch_samples(batch(i)));
    examine_inputs([&](const Tape& tape, const Node& node, const Reads& reads) {
      add_squares(tape, node, reads, input_squares_[reads.W]);
      if (std::vector<Index>& units = led_to_[reads.W]; units.empty()) units = led_to_of(tape, node, reads);
    });
    for (auto& [V, squares] : input_squares_)
      for (double& s : squares) s /= samples;
  }
  return input_squares_[&W];
}

std::span<const Index> Evidence::led_to(const Parameter& W) {
  input_squares(W);
  return led_to_[&W];
}

std::span<const Real> Evidence::input_products(const Parameter& W) {
  index_of(W);
  if (const auto known = input_products_.find(&W); known != input_products_.end()) return known->second;
  AlignedVector<Real>& H = input_products_[&W];
  Index operands = 0;
  examine_inputs([&](const Tape& tape, const Node& node, const Reads& reads) {
    if (reads.W != &W || reads.transposed || std::holds_alternative<Patches>(reads.kind)) return;
    H.resize(W.cols() * W.cols());
    for_each_operand(tape, node, reads, [&](const Operand& operand) {
      const Tensor& x = operand.x;
      // H += x x'
      kernels::dense_outer(x.data(), W.cols(), x.data(), W.cols(), x.stride(), x.valid(), /*add=*/true, H.data());
      operands += x.valid();
    });
  });
  for (Real& h : H) h /= static_cast<Real>(operands);
  return H;
}

}  // namespace espalier
