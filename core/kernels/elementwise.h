// What happens to every activation besides the products: beginning, activating, differentiating, adding.
#pragma once

#include "espalier/core/activation.h"
#include "espalier/core/real.h"

namespace espalier::kernels {

// Y[r, :] = bias[r], or 0 where bias is null           Y: [rows, lanes]
void begin_rows(const Real* bias, Real* Y, Index rows, Index stride);
// Y = f(X), contiguous; X may be Y
void activate(Activation activation, const Real* X, Real* Y, Index count);
inline void activate(Activation activation, Real* Y, Index count) {
  activate(activation, Y, Y, count);
}
// dY *= f'(Y), and row_sums[r] = sum over the valid lanes of dY[r, :]      Y, dY: [rows, stride]
// With Activation::none dY is only summed. row_sums may be null.
void activate_backward(Activation activation, const Real* Y, Real* dY, Index rows, Index stride, Index valid,
                       Real* row_sums);
// Y = exp(X) for |X| <= 80, and log(X) for X > 0, to a few units in the last place, contiguous; Y may be X
void exponentials(const Real* X, Real* Y, Index count);
void logarithms(const Real* X, Real* Y, Index count);
// y += x, contiguous
void add(const Real* x, Real* y, Index count);
// Y = f(A + B), contiguous
void add_and_activate(Activation activation, const Real* A, const Real* B, Real* Y, Index count);
// y *= x, contiguous
void multiply(const Real* x, Real* y, Index count);
// Sum of x^2, contiguous; NaN or Inf if any x is (or if the squares overflow).
double sum_of_squares(const Real* x, Index count);

}  // namespace espalier::kernels
