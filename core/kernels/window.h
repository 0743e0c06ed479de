// Convolutions: sweeps over images (core/window.h has the geometry) with sparse and with dense weights.
#pragma once

#include <cstdint>

#include "espalier/core/layouts/sweeps.h"
#include "espalier/core/real.h"
#include "espalier/core/window.h"

namespace espalier::kernels {

// Lines first_line <= y < last_line of a sweep's grid.
struct SweepLines {
  const Sweep& sweep;
  Index lanes;
  Index first_line, last_line;
};
// A product over these lines. X and Y: the first pixel, halo left out, of channel 0.
struct SweepCall : SweepLines {
  const Real* X;
  Real* Y;
  const Real* bias = nullptr;  // [rows]
  bool add = false;            // to what is there, instead of beginning with bias or 0
  bool relu = false;
};
// The gradient of the weights over these lines; only the lanes below `valid` count.
struct SweepOuterCall : SweepLines {
  const Real* X;
  const Real* dY;
  Index valid;
};
// Weights in the order of their sweep; offsets in Reals.
struct SparseWeights {
  const SparseSweep& plan;
  const std::int32_t* offset;
  const Real* value;  // not read where their gradient is computed
};
// [rows, depth], a row every row_length numbers; offset[depth] in Reals.
struct DenseWeights {
  const Real* value;
  Index rows, depth, row_length;
  const std::int32_t* offset;
};
// Y[row, line] = relu(bias + sum of weights * X)     every row must have a visit in the first and the last panel
void sparse_sweep(const SweepCall& call, const SparseWeights& W);
void dense_sweep(const SweepCall& call, const DenseWeights& W);
// G[weight] += sum over the lines' pixels and the valid lanes of  dY[row] X[pixel + offset]
void sparse_sweep_outer(const SweepOuterCall& call, const SparseWeights& W, Real* G);
void dense_sweep_outer(const SweepOuterCall& call, const DenseWeights& W, Real* G);

}  // namespace espalier::kernels
