#include "espalier/core/products.h"

#include <algorithm>
#include <array>

#include "espalier/core/error.h"
#include "espalier/core/flops.h"
#include "espalier/core/kernels/dense.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/sparse.h"
#include "espalier/core/kernels/sparse_stream.h"
#include "espalier/core/kernels/targets.h"
#include "espalier/core/layouts/panels.h"
#include "espalier/core/layouts/slices.h"
#include "espalier/core/layouts/stream.h"
#include "espalier/core/layouts/transpose.h"
#include "espalier/core/reading_pass.h"

namespace espalier {
namespace {

// Rows of Y that a dense product finishes, epilogue included, before it goes on: 48 rows of 64 lanes are 12 KiB.
constexpr Index dense_rows_at_once = 48;

void count_flops(const Parameter& W, Index lanes, Index valid) {
  thread_flops() +=
      {static_cast<std::uint64_t>(2 * W.stored() * lanes), static_cast<std::uint64_t>(2 * W.nonzeros() * valid)};
}

void require_operands(const char* what, const Parameter& W, const Tensor& in, Index in_rows, const Tensor& out,
                      Index out_rows) {
  require(in.features() == in_rows && out.features() == out_rows,
          "[{}] {}: expected {} rows in and {} out for weights {} x {}, got {} and {}", what, W.name(), in_rows,
          out_rows, W.rows(), W.cols(), in.features(), out.features());
  require(in.lanes() == out.lanes() && in.halo().none() && out.halo().none(),
          "[{}] {}: expected equal lanes and no halo, got {} and {} lanes", what, W.name(), in.lanes(), out.lanes());
}

bool multiplies_by_slices(const Parameter& W) {
  return !W.packed().empty() && kernels::has_slices();
}

// Y += A X from a stream of A, block by block.      transposed: A is W's transpose
template <typename Begin, typename Finish>
void sparse_by_stream(const Parameter& W, bool transposed, const Tensor& X, Tensor& Y, Begin&& begin, Finish&& finish) {
  const Pattern& pattern = *W.pattern();
  const Index width = stream_width(X.lanes(), pattern.density(), transposed ? W.rows() : W.cols());
  const Stream& stream = pattern.derived<Stream>({.width = width, .transposed = transposed});
  const auto direction = transposed ? StreamCopies::Direction::transposed : StreamCopies::Direction::forward;
  const kernels::StreamValues values{W.value().data(), transposed ? pattern.derived<Transpose>().slot.data() : nullptr,
                                     W.in_stream(direction, width)};
  for (std::size_t b = 0; b < stream.blocks.size(); ++b) {
    begin(stream.blocks[b].first_row, stream.blocks[b].rows());
    kernels::stream_rows(stream, static_cast<Index>(b), values, X.data(), Y.data(), Y.stride());
    finish(stream.blocks[b].first_row, stream.blocks[b].rows());
  }
}

// Y += A X by row blocks, each begun before and finished after, as suits lanes and processor.
template <typename Begin, typename Finish>
void sparse_by_blocks(const Parameter& W, bool transposed, const Tensor& X, Tensor& Y, Begin&& begin, Finish&& finish) {
  const Pattern& pattern = *W.pattern();
  const Compressed& A = transposed ? pattern.derived<Transpose>() : pattern.compressed();
  if (Y.stride() == 1) {
    begin(0, A.rows);
    if (!transposed && multiplies_by_slices(W))
      kernels::sparse_slices(pattern.derived<Slices>(), W.packed().data(), X.data(), Y.data());
    else
      kernels::sparse_dots(A, W.value().data(), X.data(), Y.data());
    finish(0, A.rows);
    return;
  }
  if (reads_streams(transposed ? Pass::transposed : Pass::forward, X.lanes()))
    return sparse_by_stream(W, transposed, X, Y, begin, finish);
  const Index width = panel_width(X.lanes(), pattern.density(), A.cols);
  const Panels& panels = pattern.derived<Panels>({.width = width, .transposed = transposed});
  for (std::size_t b = 0; b < panels.blocks.size(); ++b) {
    begin(panels.blocks[b].first_row, panels.blocks[b].rows());
    kernels::sparse_rows(A, panels, static_cast<Index>(b), W.value().data(), X.data(), Y.data(), Y.stride());
    finish(panels.blocks[b].first_row, panels.blocks[b].rows());
  }
}

}  // namespace

void multiply(const Parameter& W, const Tensor& X, Tensor& Y, Epilogue epilogue, Write write) {
  require_operands("multiply", W, X, W.cols(), Y, W.rows());
  require(write == Write::overwrite || (!epilogue.bias && epilogue.activation == Activation::none),
          "[multiply] {}: expected no epilogue when adding", W.name());
  require(!epilogue.bias || (epilogue.bias->rows() == W.rows() && epilogue.bias->cols() == 1 &&
                             epilogue.bias->storage() == Storage::dense),
          "[multiply] {}: expected a dense bias of {} rows", W.name(), W.rows());
  const Real* bias = epilogue.bias ? epilogue.bias->value().data() : nullptr;
  const Index stride = Y.stride();
  const auto begin = [&](Index row, Index rows) {
    if (write == Write::overwrite)
      kernels::begin_rows(bias ? bias + row : nullptr, Y.data() + row * stride, rows, stride);
  };
  const auto finish = [&](Index row, Index rows) {
    kernels::activate(epilogue.activation, Y.data() + row * stride, rows * stride);
  };
  if (W.storage() == Storage::csr) {
    sparse_by_blocks(W, false, X, Y, begin, finish);
  } else {
    const Index height = stride == 1 ? W.rows() : dense_rows_at_once;
    for (Index row = 0; row < W.rows(); row += height) {
      const Index rows = std::min(height, W.rows() - row);
      begin(row, rows);
      kernels::dense_rows(W.value().data() + row * W.cols(), rows, W.cols(), X.data(), Y.data() + row * stride, stride);
      finish(row, rows);
    }
  }
  count_flops(W, X.lanes(), X.valid());
}

void multiply_transposed(const Parameter& W, const Tensor& dY, Tensor& dX, Write write) {
  require_operands("multiply_transposed", W, dY, W.rows(), dX, W.cols());
  const auto begin = [&](Index row, Index rows) {
    if (write == Write::overwrite) kernels::begin_rows(nullptr, dX.data() + row * dX.stride(), rows, dX.stride());
  };
  if (W.storage() == Storage::csr) {
    sparse_by_blocks(W, true, dY, dX, begin, [](Index, Index) {});
  } else {
    begin(0, W.cols());
    kernels::dense_transposed(W.value().data(), W.rows(), W.cols(), dY.data(), dX.data(), dX.stride());
  }
  count_flops(W, dY.lanes(), dY.valid());
}

void zero_off_pattern(const Pattern& pattern, Index first_row, Index last_row, std::span<Real> G) {
  const Index cols = pattern.cols();
  for (Index r = first_row; r < last_row; ++r) {
    Real* g = G.data() + (r - first_row) * cols;
    Index next = 0;
    for (const std::uint32_t c : pattern.row(r)) {
      std::fill(g + next, g + c, Real{0});
      next = c + 1;
    }
    std::fill(g + next, g + cols, Real{0});
  }
}

namespace {

// G += the pairs' share for block b of a csr parameter.
void sparse_outer(const Parameter& W, std::size_t b, std::span<const kernels::OuterOperand> tiles, Index stride,
                  std::span<Real> G) {
  const Pattern& pattern = *W.pattern();
  const auto block = static_cast<Index>(b);
  if (!reads_streams(Pass::outer, stride)) {
    const Panels& panels = pattern.derived<Panels>({.width = panel_width(stride, pattern.density(), pattern.cols())});
    return kernels::sparse_outer(pattern.compressed(), panels, block, tiles, stride, G.data());
  }
  const Index width = gradient_stream_width(stride, pattern.density(), pattern.cols());
  const Stream& stream = pattern.derived<Stream>({.width = width, .rows = Stream::Rows::of_gradient});
  thread_local AlignedVector<Real> sums;
  if (sums.size() < stream.largest_part + kernels::stream_sums_slack)
    sums.resize(stream.largest_part + kernels::stream_sums_slack);
  kernels::stream_outer(stream, block, tiles, stride, sums.data(), G.data());
}

}  // namespace

void outer(const Parameter& W, std::size_t b, std::span<const OuterPair> pairs, std::span<Real> G) {
  const RowBlock& block = W.blocks()[b];
  require(static_cast<Index>(G.size()) == block.weights(), "[outer] {}: expected {} gradients for block {}, got {}",
          W.name(), block.weights(), b, G.size());
  for (const auto& [dY, X] : pairs)
    require(X->lanes() == pairs[0].X->lanes(), "[outer] {}: expected tiles of equal lanes, got {} and {}", W.name(),
            pairs[0].X->lanes(), X->lanes());
  const auto count = [&](const Tensor& X) {
    const Index stored = block.weights(), lanes = X.valid();
    const Index live = W.pattern()
                           ? W.pattern()->row_begin()[block.last_row] - W.pattern()->row_begin()[block.first_row]
                           : block.weights();
    thread_flops() += {static_cast<std::uint64_t>(2 * stored * lanes), static_cast<std::uint64_t>(2 * live * lanes)};
  };
  if (W.storage() == Storage::csr) {
    std::ranges::fill(G, Real{0});
    if (pairs.empty()) return;
    // Tiles in groups, so that no memory is asked for; the groups, too, are fixed by the order of the tiles.
    std::array<kernels::OuterOperand, 16> tiles;
    for (std::size_t first = 0; first < pairs.size(); first += tiles.size()) {
      const auto group = pairs.subspan(first, std::min(tiles.size(), pairs.size() - first));
      for (std::size_t t = 0; t < group.size(); ++t) {
        require_operands("outer", W, *group[t].X, W.cols(), *group[t].dY, W.rows());
        tiles[t] = {group[t].dY->data(), group[t].X->data(), group[t].X->valid()};
        count(*group[t].X);
      }
      sparse_outer(W, b, std::span(tiles).first(group.size()), pairs[0].X->stride(), G);
    }
    return;
  }
  bool add = false;
  for (const auto& [dY, X] : pairs) {
    require_operands("outer", W, *X, W.cols(), *dY, W.rows());
    if (X->valid() == 0) continue;
    kernels::dense_outer(dY->row(block.first_row), block.rows(), X->data(), W.cols(), X->stride(), X->valid(), add,
                         G.data());
    add = true;
    count(*X);
  }
  if (!add) std::ranges::fill(G, Real{0});
  if (W.storage() == Storage::masked && add) zero_off_pattern(*W.pattern(), block.first_row, block.last_row, G);
}

std::string kernel_name(const Parameter& W, Index lanes) {
  std::string target = kernels::target_name(kernels::available_targets().front());
  std::ranges::transform(target, target.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (W.storage() == Storage::csr)
    return (reads_streams(Pass::forward, lanes) ? "csr streams "
            : lanes > 1                         ? "csr panels "
            : multiplies_by_slices(W)           ? "csr slices "
                                                : "csr dots ") +
           target;
  return (lanes == 1 ? "dots " : "blocked ") + target;
}

}  // namespace espalier
