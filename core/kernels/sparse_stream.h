// Products with sparse weights whose Streams are read: for processors with AVX-512, in float builds.
#pragma once

#include <span>

#include "espalier/core/kernels/sparse.h"
#include "espalier/core/layouts/stream.h"

namespace espalier::kernels {

// Whether the best target (or the one that is forced) has these kernels. Nothing else here may be called where not.
bool has_streams();

// Where the kernels find the weights of a stream: in its own order, or, if copy is null, where the pattern has them.
struct StreamValues {
  const Real* value;          // in the order of the pattern
  const std::uint32_t* slot;  // of a transpose: where in value its n-th weight is; else null
  const Real* copy;           // in the order of the stream
};

// Y[rows of the block, lanes] += A X, to the bit what sparse_rows gives.
void stream_rows(const Stream& stream, Index block, const StreamValues& values, const Real* X, Real* Y, Index stride);

// The room for numbers that stream_outer wants beside one for each weight of the stream's largest part.
inline constexpr std::size_t stream_sums_slack = 16;
// G[n - first weight of the block] += sum over tiles and valid lanes of dY[row(n), :] X[column(n), :], to the bit what
// sparse_outer gives. The stream is one of Rows::of_gradient.    sums: room for numbers, see above
void stream_outer(const Stream& stream, Index block, std::span<const OuterOperand> tiles, Index stride, Real* sums,
                  Real* G);

}  // namespace espalier::kernels
