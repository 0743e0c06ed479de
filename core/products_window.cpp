// The three products over the patches of an image: the sweep, the weights in its order, the kernel.
#include <algorithm>
#include <limits>
#include <utility>

#include "espalier/core/aligned.h"
#include "espalier/core/error.h"
#include "espalier/core/flops.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/window.h"
#include "espalier/core/layouts/sweeps.h"
#include "espalier/core/products.h"

namespace espalier {
namespace {

// Weights and offsets in the order in which a kernel reads them, kept by each thread from call to call.
struct Scratch {
  AlignedVector<Real> value;
  std::vector<std::int32_t> offset;
  void resize(std::size_t values, std::size_t offsets) {
    if (value.size() < values) value.resize(values);
    if (offset.size() < offsets) offset.resize(offsets);
  }
};

Scratch& thread_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

void require_images(const char* what, const Parameter& W, const Window& w, const Tensor& X, const Tensor& Y,
                    const Tensor& operand, Halo halo) {
  require(X.shape().rank() == 3 && Y.shape() == output_shape(w, X.shape(), W.rows(), what, W.name()) &&
              W.cols() == X.shape()[0] / w.groups * w.taps(),
          "[{}] {}: expected images that fit weights {} x {} of {} taps, got {} and {}", what, W.name(), W.rows(),
          W.cols(), w.taps(), X.shape().text(), Y.shape().text());
  require(X.lanes() == Y.lanes(), "[{}] {}: expected equal lanes, got {} and {}", what, W.name(), X.lanes(), Y.lanes());
  require(operand.halo().height >= halo.height && operand.halo().width >= halo.width,
          "[{}] {}: expected a halo of at least {} x {}, got {} x {}", what, W.name(), halo.height, halo.width,
          operand.halo().height, operand.halo().width);
  require(Frame(operand).channels * Frame(operand).plane() * operand.lanes() < std::numeric_limits<std::int32_t>::max(),
          "[{}] {}: expected fewer than 2^31 numbers in a tile, got {} of {} lanes", what, W.name(),
          operand.shape().text(), operand.lanes());
}

kernels::SparseWeights sparse_weights(const SparseSweep& plan, const Real* value, Index lanes) {
  Scratch& scratch = thread_scratch();
  scratch.resize(plan.slot.size(), plan.slot.size());
  for (std::size_t n = 0; n < plan.slot.size(); ++n) {
    scratch.offset[n] = static_cast<std::int32_t>(plan.offset[n] * lanes);
    scratch.value[n] = value ? value[plan.slot[n]] : 0;
  }
  return {plan, scratch.offset.data(), scratch.value.data()};
}

// The offsets of (channel, tap) pairs in this order.
const std::int32_t* dense_offsets(const Sweep& sweep, Index channels, Index lanes) {
  Scratch& scratch = thread_scratch();
  const auto taps = static_cast<Index>(sweep.offset.size());
  scratch.resize(0, channels * taps);
  for (Index c = 0; c < channels; ++c)
    for (Index t = 0; t < taps; ++t)
      scratch.offset[c * taps + t] = static_cast<std::int32_t>((c * sweep.in_plane + sweep.offset[t]) * lanes);
  return scratch.offset.data();
}

// For the transposed product: A[in channel, (ky, out channel, kx)] = W[out channel, (in channel, ky, kx)], of one group
// and the taps of one sweep; and the offsets in the same order. With ky outermost, lines at the edge of the image, for
// which some of the window's lines lie outside, use a part of a row in one piece.
struct Transposed {
  const Real* value;
  const std::int32_t* offset;
  Index tap_lines, per_line;  // a row of A: this many ky, and so many weights for each
};

Transposed transposed_weights(const Parameter& W, const Window& w, const Sweep& sweep, Index group, Index lanes) {
  Scratch& scratch = thread_scratch();
  const Index out = W.rows() / w.groups, taps = w.taps(), in = W.cols() / taps;
  const auto used = static_cast<Index>(sweep.tap.size());
  const auto ky_of = [&](Index t) { return sweep.tap[t] / w.kernel_width; };
  Index across = 1;  // taps of one line
  while (across < used && ky_of(across) == ky_of(0)) ++across;
  const Index depth = out * used;
  scratch.resize(in * depth, depth);
  for (Index t = 0; t < used; ++t)
    for (Index o = 0; o < out; ++o) {
      const Index n = (t / across * out + o) * across + t % across;
      scratch.offset[n] = static_cast<std::int32_t>((o * sweep.in_plane + sweep.offset[t]) * lanes);
      const Real* from = W.value().data() + (group * out + o) * W.cols() + sweep.tap[t];
      for (Index c = 0; c < in; ++c) scratch.value[c * depth + n] = from[c * taps];
    }
  return {scratch.value.data(), scratch.offset.data(), used / across, out * across};
}

void activate_lines(Activation f, Tensor& Y, Lines lines) {
  const Index height = Y.shape()[1], width = Y.shape()[2];
  for (Index c = 0; c < Y.shape()[0]; ++c)
    for (Index y = lines.first; y < lines.last; ++y)
      kernels::activate(f, Y.row((c * height + y) * width), width * Y.stride());
}

}  // namespace

void convolve(const Parameter& W, const Window& w, const Tensor& X, Tensor& Y, Lines lines, Epilogue epilogue) {
  require_images("convolve", W, w, X, Y, X, w.padding());
  require(!epilogue.bias || (epilogue.bias->positions() == W.rows() && epilogue.bias->storage() == Storage::dense),
          "[convolve] {}: expected a dense bias of {} rows", W.name(), W.rows());
  const Real* bias = epilogue.bias ? epilogue.bias->value().data() : nullptr;
  const bool relu = epilogue.activation == Activation::relu;
  const Index lanes = X.lanes();
  if (W.storage() == Storage::csr) {
    for (const SparseSweep& plan : W.pattern()->derived<SparseSweeps>({w, Frame(X), Frame(Y), false}).all)
      kernels::sparse_sweep(
          {{plan.sweep, lanes, lines.first, lines.last}, X.row(0), Y.row(0), bias, /*add=*/false, relu},
          sparse_weights(plan, W.value().data(), lanes));
  } else {
    const Sweep& sweep = sweeps_of({w, Frame(X), Frame(Y), false}).front();
    const Index in = X.shape()[0] / w.groups, out = W.rows() / w.groups;
    const std::int32_t* offset = dense_offsets(sweep, in, lanes);
    for (Index g = 0; g < w.groups; ++g)
      kernels::dense_sweep({{sweep, lanes, lines.first, lines.last},
                            X.row(0) + g * in * sweep.in_plane * lanes,
                            Y.row(0) + g * out * sweep.out_plane * lanes,
                            bias ? bias + g * out : nullptr,
                            /*add=*/false,
                            relu},
                           {W.value().data() + g * out * W.cols(), out, W.cols(), W.cols(), offset});
  }
  if (!relu) activate_lines(epilogue.activation, Y, lines);
  const Index pixels = (lines.last - lines.first) * Y.shape()[2];
  thread_flops() += {static_cast<std::uint64_t>(2 * W.stored() * pixels * lanes),
                     static_cast<std::uint64_t>(2 * W.nonzeros() * pixels * X.valid())};
}

void convolve_transposed(const Parameter& W, const Window& w, const Tensor& dY, Tensor& dX, Write write) {
  require_images("convolve_transposed", W, w, dX, dY, dY, gradient_halo(w, dX.shape(), dY.shape()));
  const Index lanes = dY.lanes();
  bool add = write == Write::add;
  const Index pixels = dY.shape()[1] * dY.shape()[2];
  Index products = 0;  // weights times pixels, of one sample
  Index largest = 0;   // pixels of the largest sweep: fewer than dY's where padding takes away what they would add to
  // Where a stride leaves out pixels of X that no tap ever reads, nothing would begin them.
  const auto begin = [&](std::size_t sweeps) {
    if (add || static_cast<Index>(sweeps) == w.stride * w.stride) return;
    dX.fill(0);
    add = true;
  };
  if (W.storage() == Storage::csr) {
    const auto& plans = W.pattern()->derived<SparseSweeps>({w, Frame(dY), Frame(dX), true}).all;
    begin(plans.size());
    for (const SparseSweep& plan : plans) {
      kernels::sparse_sweep({{plan.sweep, lanes, 0, plan.sweep.height}, dY.row(0), dX.row(0), nullptr, add},
                            sparse_weights(plan, W.value().data(), lanes));
      products += static_cast<Index>(plan.slot.size()) * plan.sweep.height * plan.sweep.width;
      largest = std::max(largest, plan.sweep.height * plan.sweep.width);
    }
  } else {
    const std::vector<Sweep>& sweeps = sweeps_of({w, Frame(dY), Frame(dX), true});
    begin(sweeps.size());
    const Index in = dX.shape()[0] / w.groups, out = W.rows() / w.groups;
    for (const Sweep& sweep : sweeps) {
      largest = std::max(largest, sweep.height * sweep.width);
      for (Index g = 0; g < w.groups; ++g) {
        const Transposed A = transposed_weights(W, w, sweep, g, lanes);
        // Line y reads the lines y0 - ky of dY; those of ky that lie in the image are a range, the same for many lines.
        const auto range = [&](Index y) {
          const Index y0 = sweep.in_line + y, first = std::clamp<Index>(y0 - (dY.shape()[1] - 1), 0, A.tap_lines);
          return std::pair{first, std::clamp<Index>(y0 + 1, first, A.tap_lines)};
        };
        for (Index y = 0, next; y < sweep.height; y = next) {
          const auto [first, last] = range(y);
          for (next = y + 1; next < sweep.height && range(next) == std::pair{first, last};) ++next;
          const Index depth = (last - first) * A.per_line;
          kernels::dense_sweep(
              {{sweep, lanes, y, next},
               dY.row(0) + g * out * sweep.in_plane * lanes,
               dX.row(0) + g * in * sweep.out_plane * lanes,
               nullptr,
               add},
              {A.value + first * A.per_line, in, depth, A.tap_lines * A.per_line, A.offset + first * A.per_line});
          products += in * depth * (next - y) * sweep.width;
        }
      }
    }
  }
  const Index useful = std::min(products, W.nonzeros() * std::min(pixels, largest));
  thread_flops() +=
      {static_cast<std::uint64_t>(2 * products * lanes), static_cast<std::uint64_t>(2 * useful * dY.valid())};
}

void convolve_outer(const Parameter& W, const Window& w, const Tensor& dY, const Tensor& X, Lines lines,
                    std::span<Real> G) {
  require_images("convolve_outer", W, w, X, dY, X, w.padding());
  require(G.size() == W.value().size(), "[convolve_outer] {}: expected {} gradients, got {}", W.name(),
          W.value().size(), G.size());
  const Index lanes = X.lanes(), valid = X.valid();
  if (W.storage() == Storage::csr) {
    for (const SparseSweep& plan : W.pattern()->derived<SparseSweeps>({w, Frame(X), Frame(dY), false}).all) {
      // Summed in the order of the sweep, then put where the parameter keeps them.
      const kernels::SparseWeights weights = sparse_weights(plan, nullptr, lanes);
      Real* sums = thread_scratch().value.data();
      kernels::sparse_sweep_outer({{plan.sweep, lanes, lines.first, lines.last}, X.row(0), dY.row(0), valid}, weights,
                                  sums);
      for (std::size_t n = 0; n < plan.slot.size(); ++n) G[plan.slot[n]] += sums[n];
    }
  } else {
    const Sweep& sweep = sweeps_of({w, Frame(X), Frame(dY), false}).front();
    const Index in = X.shape()[0] / w.groups, out = W.rows() / w.groups;
    const std::int32_t* offset = dense_offsets(sweep, in, lanes);
    for (Index g = 0; g < w.groups; ++g)
      kernels::dense_sweep_outer({{sweep, lanes, lines.first, lines.last},
                                  X.row(0) + g * in * sweep.in_plane * lanes,
                                  dY.row(0) + g * out * sweep.out_plane * lanes,
                                  valid},
                                 {nullptr, out, W.cols(), W.cols(), offset}, G.data() + g * out * W.cols());
    if (W.storage() == Storage::masked) zero_off_pattern(*W.pattern(), 0, W.rows(), G);
  }
  const Index pixels = (lines.last - lines.first) * dY.shape()[2];
  thread_flops() += {static_cast<std::uint64_t>(2 * W.stored() * pixels * valid),
                     static_cast<std::uint64_t>(2 * W.nonzeros() * pixels * valid)};
}

}  // namespace espalier
