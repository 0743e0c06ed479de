// Products with sparse weights, in the orders of their layouts.
#pragma once

#include <span>

#include "espalier/core/layouts/panels.h"
#include "espalier/core/layouts/slices.h"
#include "espalier/core/real.h"

namespace espalier::kernels {

// Y[rows of the block, lanes] += A X      A: compressed rows whose n-th weight is value[slot ? slot[n] : n]
void sparse_rows(const Compressed& A, const Panels& panels, Index block, const Real* value, const Real* X, Real* Y,
                 Index stride);
// The same for one lane, all rows: y += A x
void sparse_dots(const Compressed& A, const Real* value, const Real* x, Real* y);
// The same again, from values packed for latency: only where has_slices(), in float builds on processors with AVX-512.
void sparse_slices(const Slices& slices, const Real* packed, const Real* x, Real* y);
bool has_slices();
// One operand of an outer product: a tile's dY and X, from their rows 0.
struct OuterOperand {
  const Real* dY;
  const Real* X;
  Index valid;
};
// G[n - first weight of the block] += sum over tiles and valid lanes of dY[row(n), :] X[column(n), :]
void sparse_outer(const Compressed& W, const Panels& panels, Index block, std::span<const OuterOperand> tiles,
                  Index stride, Real* G);

}  // namespace espalier::kernels
