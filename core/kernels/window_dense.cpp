// Sweeps over images with dense weights, and the gradient of those weights.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/window_dense.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/sums-inl.h"
#include "espalier/core/kernels/window-inl.h"
#include "espalier/core/kernels/window.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int dense_rows = 4;  // of weights in a register tile
constexpr int dense_columns = many_registers ? 4 : 2, dense_height = many_registers ? 4 : 2;

// Y[K rows, block] (+)= A[K rows, :] X[:, block]
template <class D, int K, int R, int C, int step>
HWY_INLINE void dense_tile(const SweepCall& call, const DenseWeights& W, Index row, const Place& place,
                           const Strides& s) {
  const D d;
  const Index in_step = step_of<step>(s.in_step);
  const Real* HWY_RESTRICT X = call.X + place.in;
  Real* HWY_RESTRICT Y = call.Y + place.out + row * s.out_plane;
  const Real* HWY_RESTRICT a = W.value + row * W.row_length;
  hn::Vec<D> sum[K][R][C];
  for (int k = 0; k < K; ++k)
    if (call.add)
      load_block<D>(sum[k], Y + k * s.out_plane, s);
    else
      fill_block<D>(sum[k], call.bias ? call.bias[row + k] : Real{0});
  for (Index n = 0; n < W.depth; ++n) {
    hn::Vec<D> x[R][C];
    const Real* at = kept(X + W.offset[n]);
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < C; ++j) x[i][j] = hn::LoadU(d, at + i * s.in_row + j * in_step);
    for (int k = 0; k < K; ++k) {
      const auto w = hn::Set(d, a[k * W.row_length + n]);
      for (int i = 0; i < R; ++i)
        for (int j = 0; j < C; ++j) sum[k][i][j] = hn::MulAdd(w, x[i][j], sum[k][i][j]);
    }
  }
  for (int k = 0; k < K; ++k) store_block<D>(sum[k], call.relu, place.tail, Y + k * s.out_plane, s);
}

void DenseSweepLines(const SweepCall& call, const DenseWeights& W) {
  walk<dense_columns, dense_height>(call, [&]<class D, int R, int C, int step>(const Place& place, const Strides& s) {
    Index row = 0;
    for (; row + dense_rows <= W.rows; row += dense_rows) dense_tile<D, dense_rows, R, C, step>(call, W, row, place, s);
    if (row + 2 <= W.rows) {
      dense_tile<D, 2, R, C, step>(call, W, row, place, s);
      row += 2;
    }
    if (row < W.rows) dense_tile<D, 1, R, C, step>(call, W, row, place, s);
  });
}

// G[K rows, 4 columns] += sum over `vectors` vectors of each of `lines` lines of  dY[rows] * X[columns]
template <class D, int K, int Q, int step, bool masked>
HWY_INLINE void dense_outer_tile(const Real* dY, const Real* X, const std::int32_t* offset, Index lines, Index vectors,
                                 const Strides& s, Index count, Real* HWY_RESTRICT G, Index depth) {
  const D d;
  using Vec = hn::Vec<D>;
  const Index in_step = step_of<step>(s.in_step);
  const auto exists = hn::FirstN(d, static_cast<std::size_t>(count));
  const auto only = [&](Vec x) {
    if constexpr (!masked) return x;
    return hn::IfThenElseZero(exists, x);
  };
  Vec sum[K][4];
  for (int k = 0; k < K; ++k)
    for (int q = 0; q < 4; ++q) sum[k][q] = hn::Zero(d);
  for (Index line = 0; line < lines; ++line) {
    const Real* dy[K];
    for (int k = 0; k < K; ++k) dy[k] = dY + k * s.out_plane + line * s.out_row;
    const Real* x[Q];
    for (int q = 0; q < Q; ++q) x[q] = X + offset[q] + line * s.in_row;
    Index out = 0, in = 0;
    for (Index v = 0; v < vectors; ++v, out += s.out_step, in += in_step) {
      Vec xs[Q];
      for (int q = 0; q < Q; ++q) xs[q] = only(hn::LoadU(d, x[q] + in));
      for (int k = 0; k < K; ++k) {
        const Vec dyk = only(hn::LoadU(d, dy[k] + out));
        for (int q = 0; q < Q; ++q) sum[k][q] = hn::MulAdd(dyk, xs[q], sum[k][q]);
      }
    }
  }
  for (int k = 0; k < K; ++k) {
    Real four[4] = {0, 0, 0, 0};
    add_four_sums(d, sum[k][0], sum[k][1], sum[k][2], sum[k][3], four);
    for (int q = 0; q < Q; ++q) G[k * depth + q] += four[q];
  }
}

template <class D, int step, bool masked>
void dense_outer_lines(const SweepOuterCall& call, const DenseWeights& W, Index out, Index in, Index lines,
                       Index vectors, const Strides& s, Index count, Real* G) {
  constexpr int K = many_registers ? 4 : 2;
  const auto columns = [&]<int Q>(Index n) {
    const auto rows = [&]<int Rows>(Index row) {
      dense_outer_tile<D, Rows, Q, step, masked>(call.dY + out + row * s.out_plane, call.X + in, W.offset + n, lines,
                                                 vectors, s, count, G + row * W.depth + n, W.depth);
    };
    Index row = 0;
    for (; row + K <= W.rows; row += K) rows.template operator()<K>(row);
    if (row + 2 <= W.rows) {
      rows.template operator()<2>(row);
      row += 2;
    }
    if (row < W.rows) rows.template operator()<1>(row);
  };
  Index n = 0;
  for (; n + 4 <= W.depth; n += 4) columns.template operator()<4>(n);
  if (n + 2 <= W.depth) {
    columns.template operator()<2>(n);
    n += 2;
  }
  if (n < W.depth) columns.template operator()<1>(n);
}

// A strip of lines at a time, so that dY's and X's pixels of a strip stay in L2 while all weights pass by.
template <class D, int step>
void dense_outer_samples(const SweepOuterCall& call, const DenseWeights& W, Real* G) {
  constexpr Index strip_pixels = 128;
  const Sweep& sweep = call.sweep;
  const Index lanes = call.lanes, strip = HWY_MAX(strip_pixels / sweep.width, Index{1});
  const Strides s{sweep.out.row * lanes, sweep.out.step * lanes, sweep.out_plane * lanes,
                  sweep.in.row * lanes,  sweep.in.step * lanes,  sweep.in_plane * lanes};
  for (Index y = call.first_line; y < call.last_line; y += strip) {
    const Index lines = HWY_MIN(strip, call.last_line - y);
    for (Index lane = 0; lane < call.valid; lane += N<D>) {
      const Index out = (sweep.out.first + y * sweep.out.row) * lanes + lane,
                  in = (sweep.in.first + y * sweep.in.row) * lanes + lane, count = HWY_MIN(N<D>, call.valid - lane);
      if (count < N<D>)
        dense_outer_lines<D, step, true>(call, W, out, in, lines, sweep.width, s, count, G);
      else
        dense_outer_lines<D, step, false>(call, W, out, in, lines, sweep.width, s, count, G);
    }
  }
}

template <class D>
void dense_outer_pixels(const SweepOuterCall& call, const DenseWeights& W, Real* G) {
  constexpr int step = static_cast<int>(N<D>);
  const Sweep& sweep = call.sweep;
  const Strides s{sweep.out.row, N<D>, sweep.out_plane, sweep.in.row, N<D>, sweep.in_plane};
  const Index lines = call.last_line - call.first_line, vectors = sweep.width / N<D>, rest = sweep.width % N<D>;
  const Index out = sweep.out.first + call.first_line * sweep.out.row,
              in = sweep.in.first + call.first_line * sweep.in.row, done = vectors * N<D>;
  if (vectors > 0) dense_outer_lines<D, step, false>(call, W, out, in, lines, vectors, s, N<D>, G);
  if (rest > 0) dense_outer_lines<D, step, true>(call, W, out + done, in + done, lines, 1, s, rest, G);
}

void DenseSweepOuter(const SweepOuterCall& call, const DenseWeights& W, Real* G) {
  if (call.valid == 0) return;
  const Index step = call.lanes * call.sweep.in.step;
  if (call.lanes > 1) {
    if (step == 16) return dense_outer_samples<Wide, 16>(call, W, G);
    return dense_outer_samples<Wide, 0>(call, W, G);
  }
  if (call.sweep.in.step != 1 || call.sweep.out.step != 1) return dense_outer_samples<Single, 0>(call, W, G);
  dense_outer_pixels<Wide>(call, W, G);
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(DenseSweepLines);
HWY_EXPORT(DenseSweepOuter);

void dense_sweep(const SweepCall& call, const DenseWeights& W) {
  HWY_DYNAMIC_DISPATCH(DenseSweepLines)(call, W);
}
void dense_sweep_outer(const SweepOuterCall& call, const DenseWeights& W, Real* G) {
  HWY_DYNAMIC_DISPATCH(DenseSweepOuter)(call, W, G);
}
}  // namespace espalier::kernels
#endif
