// Products with one-hot operands: W X copies columns of W, and dY X' adds to them.
#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/layouts/transpose.h"
#include "espalier/core/products.h"

namespace espalier {
namespace {

void require_columns(const char* what, const Parameter& W, std::span<const std::uint32_t> column, const Tensor& Y) {
  require(
      Y.features() == W.rows() && Y.halo().none() && static_cast<Index>(column.size()) == Y.lanes(),
      "[{}] {}: expected {} rows without a halo and a column for each lane, got {} rows and {} columns for {} lanes",
      what, W.name(), W.rows(), Y.features(), column.size(), Y.lanes());
}

// body(row, place in W's arrays) for each stored weight of a column.
template <typename Body>
void for_each_in_column(const Parameter& W, std::uint32_t column, Body&& body) {
  if (W.storage() == Storage::csr) {
    const Compressed& T = W.pattern()->derived<Transpose>();
    for (Index n = T.begin[column]; n < T.begin[column + 1]; ++n) body(Index{T.index[n]}, Index{T.slot[n]});
  } else {
    for (Index row = 0; row < W.rows(); ++row) body(row, row * W.cols() + column);
  }
}

}  // namespace

void look_up(const Parameter& W, std::span<const std::uint32_t> column, Tensor& Y) {
  require_columns("look_up", W, column, Y);
  const std::span<const Real> value = W.value();
  if (W.storage() == Storage::csr) Y.fill(0);
  for (Index lane = 0; lane < Y.lanes(); ++lane)
    for_each_in_column(W, column[lane], [&](Index row, Index at) { Y.row(row)[lane] = value[at]; });
}

void look_up_outer(const Parameter& W, std::span<const std::uint32_t> column, const Tensor& dY, std::span<Real> G) {
  require_columns("look_up_outer", W, column, dY);
  require(G.size() == W.value().size(), "[look_up_outer] {}: expected {} gradients, got {}", W.name(), W.value().size(),
          G.size());
  for (Index lane = 0; lane < dY.valid(); ++lane)
    for_each_in_column(W, column[lane], [&](Index row, Index at) {
      if (W.storage() != Storage::masked || W.pattern()->live(row, column[lane])) G[at] += dY.row(row)[lane];
    });
}

}  // namespace espalier
