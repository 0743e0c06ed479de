// Products with dense weights: plain loops over W as it lies.
#pragma once

#include "espalier/core/real.h"

namespace espalier::kernels {

// Y[rows, lanes] += W X        W: [rows, cols] dense, row-major
void dense_rows(const Real* W, Index rows, Index cols, const Real* X, Real* Y, Index stride);
// dX[cols, lanes] += W' dY      the same W
void dense_transposed(const Real* W, Index rows, Index cols, const Real* dY, Real* dX, Index stride);
// G[rows, cols] = dY X'  or  +=    over `valid` lanes        dY: [rows, lanes]    X: [cols, lanes]
void dense_outer(const Real* dY, Index rows, const Real* X, Index cols, Index stride, Index valid, bool add, Real* G);

}  // namespace espalier::kernels
