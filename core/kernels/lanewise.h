// What happens within each sample: sums over rows, and products of activations with activations, lane by lane.
#pragma once

#include "espalier/core/real.h"

namespace espalier::kernels {

// Layer normalisation of `rows` rows. With the mean over the rows and r = 1 / sqrt(variance + epsilon) of each lane,
// Y = gamma (X - mean) r + beta    X, Y: [rows, lanes]    gamma, beta: [rows]    statistics (mean, r): [2, lanes]
struct Rows {
  Index rows, lanes, valid;
};
void layer_norm(const Rows& at, const Real* X, const Real* gamma, const Real* beta, Real epsilon, Real* statistics,
                Real* Y);
// With x^ = (X - mean) r and g = gamma dY:  dX = or +=  r (g - mean of g - x^ mean of g x^), the means over the rows;
// dX may be null.  dgamma += sum over valid lanes of dY x^;  dbeta += sum over valid lanes of dY
void layer_norm_backward(const Rows& at, const Real* X, const Real* gamma, const Real* statistics, const Real* dY,
                         Real* dX, bool add, Real* dgamma, Real* dbeta);

// S = softmax(S) over the rows, with the largest subtracted first; a NaN makes its whole lane NaN.    S: [rows, lanes]
void softmax(Real* S, Index rows, Index lanes);
// dS = scale P (dP - sum over the rows of P dP), in the place of dP
void softmax_backward(const Real* P, Real* dP, Index rows, Index lanes, Real scale);

// Products of activations. B is `count` vectors of `length` rows of lanes, `step` numbers from one to the next: the
// same features of every step of a sequence.
struct Vectors {
  Index count, length, step, lanes;
};
// s[n] = scale * sum over j of a[j] B[n][j]            a: [length, lanes]    s: [count, lanes]
void lane_dots(const Vectors& of, const Real* a, const Real* B, Real scale, Real* s);
// y[j] = sum over n of p[n] B[n][j]                    p: [count, lanes]     y: [length, lanes]
void lane_mix(const Vectors& of, const Real* p, const Real* B, Real* y);
// B[n][j] += p[n] a[j]
void lane_spread(const Vectors& of, const Real* p, const Real* a, Real* B);

}  // namespace espalier::kernels
