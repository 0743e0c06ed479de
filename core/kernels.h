// The kernels under the three products: plain single-threaded functions over rows of lanes. They assume what the
// products have checked. Each is compiled for several SIMD targets; the best one this machine has is chosen at run
// time.
//
// A matrix of activations is a pointer and a stride: row i starts at X + i * stride and is `lanes` long.
// Every accumulating kernel adds to Y; overwriting is begin_rows (zero or bias) first.
#pragma once

#include <cstdint>
#include <span>

#include "espalier/core/pattern.h"
#include "espalier/core/real.h"
#include "espalier/core/sparse_sweep.h"

namespace espalier {

enum class Activation { none, relu, tanh, sigmoid };  // those whose derivative can be read off their output

namespace kernels {

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

// Y[rows, lanes] += W X        W: [rows, cols] dense, row-major
void dense_rows(const Real* W, Index rows, Index cols, const Real* X, Real* Y, Index stride);
// dX[cols, lanes] += W' dY      the same W
void dense_transposed(const Real* W, Index rows, Index cols, const Real* dY, Real* dX, Index stride);
// G[rows, cols] = dY X'  or  +=    over `valid` lanes        dY: [rows, lanes]    X: [cols, lanes]
void dense_outer(const Real* dY, Index rows, const Real* X, Index cols, Index stride, Index valid, bool add, Real* G);

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

// --- recurrent layers (kernels_gru.cpp) ------------------------------------------------------------------------------
// One step, numbers contiguous; layers/gru.h has the equations.
// A: [3, count], what the input adds to r, z, n      G: [4, count], the first three U h + c  ->  r, z, m, n
// h_next = (1 - z) n + z h                            h, h_next: [count]
void gru_step(const Real* A, Real* G, const Real* h, Real* h_next, Index count);
// dA = the gradient of A; the first three of G become that of U h + c; dh += z dh_next unless dh is null (step 0)
void gru_step_backward(Real* G, const Real* h, const Real* dh_next, Real* dA, Real* dh, Index count);

// --- a sample with itself (kernels_lanewise.cpp): sums over rows, lane by lane ---------------------------------------
// Layer normalisation of `rows` rows. With the mean over the rows and r = 1 / sqrt(variance + epsilon) of each lane,
// Y = gamma (X - mean) r + beta          X, Y: [rows, lanes]    gamma, beta: [rows]    statistics: [2, lanes], mean and
// r
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

// --- images (kernels_image.cpp): one channel at a time ---------------------------------------------------------------
// A channel is a plane of pixels, each a row of `lanes` numbers. The pixels of a line lie side by side; the next line
// begins `pitch` numbers further, which is more than a line where the tensor has a halo.
struct Plane {
  Real* begin;
  Index pitch;
};
struct ConstPlane {
  ConstPlane(const Real* first, Index distance) : begin(first), pitch(distance) {}
  ConstPlane(Plane plane) : begin(plane.begin), pitch(plane.pitch) {}
  const Real* begin;
  Index pitch;
};
// What planes that go through a kernel in step have in common.
struct Pixels {
  Index lines, line;  // pixels of a line
  Index lanes, valid;
  Index values() const { return lines * line * valid; }
};
// Square windows on a plane of [height, width] pixels inside `padding` more, `stride` pixels apart.
struct Windows {
  Index kernel, stride, padding;
  Index height, width, out_height, out_width;
  Index lanes;
};

// Y[oy, ox] = max of X over the window; padding never wins, a NaN always does.
// winner[(oy * out_width + ox) * lanes + lane] = place of the first such pixel in the window, row-major; null: not kept
void max_pool(const Windows& windows, ConstPlane X, Plane Y, std::uint8_t* winner);
// dX = or +=  dY at the winners, 0 elsewhere          dY: without halo
void max_pool_backward(const Windows& windows, const std::uint8_t* winner, const Real* dY, Plane dX, bool add);
// Y[oy, ox] = sum of X over the window / kernel^2, padding counting as zeros
void average_pool(const Windows& windows, ConstPlane X, Plane Y);
// dX = or +=  sum over the windows that hold the pixel of dY / kernel^2          dY: without halo
void average_pool_backward(const Windows& windows, const Real* dY, Plane dX, bool add);
// dY *= f'(Y); returns the sum of dY over the valid lanes of all pixels
double activate_backward(Activation f, const Pixels& pixels, ConstPlane Y, Plane dY);
// y[lane] = mean over the pixels of X[pixel, lane]
void mean_of_pixels(const Pixels& pixels, ConstPlane X, Real* y);
// dX[pixel, lane] = or +=  dy[lane] / number of pixels
void mean_of_pixels_backward(const Pixels& pixels, const Real* dy, Plane dX, bool add);

// Over the valid lanes of all pixels; the variance is that of the values themselves (divided by n, not n - 1).
struct Moments {
  double mean, variance;
};
Moments moments(const Pixels& pixels, ConstPlane X);
// Y = f((X - mean) scale + shift)
void normalise(const Pixels& pixels, ConstPlane X, Real mean, Real scale, Real shift, Activation f, Plane Y);
// With dZ = dY f'(Y), over the valid lanes of all pixels:  sum of dZ, sum of dZ (X - mean)          dY: without halo
struct NormaliseSums {
  double dZ, dZ_X;
};
NormaliseSums normalise_sums(const Pixels& pixels, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY);
// dX = or +=  a dZ + b (X - mean) + c
void normalise_backward(const Pixels& pixels, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY,
                        Real a, Real b, Real c, Plane dX, bool add);
// --- convolutions (core/window.h) ------------------------------------------------------------------------------------

// Lines first_line <= y < last_line of a sweep's grid. X and Y: the first pixel, halo left out, of channel 0.
struct SweepCall {
  const Sweep& sweep;
  Index lanes;
  Index first_line, last_line;
  const Real* X;
  Real* Y;
  const Real* bias = nullptr;  // [rows]
  bool add = false;            // to what is there, instead of beginning with bias or 0
  bool relu = false;
};
// Weights in the order of their sweep; offsets in Reals.
struct SparseWeights {
  const SparseSweep& plan;
  const std::int32_t* offset;
  const Real* value;
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
// G[weight] += sum over the lines' pixels and the valid lanes of  Y[row] X[pixel + offset]      call.Y is dY, W.value
// unused
void sparse_sweep_outer(const SweepCall& call, const SparseWeights& W, Index valid, Real* G);
void dense_sweep_outer(const SweepCall& call, const DenseWeights& W, Index valid, Real* G);

// Executes fused multiply-adds on registers and returns how many FLOPs that were: the ruler for all other kernels.
double fma_burst(Index rounds);

// Names of the SIMD targets this machine can run, best first; forcing one is for tests.
std::span<const std::int64_t> available_targets();
const char* target_name(std::int64_t target);
void force_target(std::int64_t target);  // 0: back to the best

}  // namespace kernels
}  // namespace espalier
