// The kernels of convolutions: sweeps over images with dense and with sparse weights, and the gradients of both.
//
// A vector holds one pixel of several samples side by side or, where a tile has one lane, neighbouring pixels of one
// sample; everything else is the same. A block of R x C vectors of the result stays in registers while the weights of a
// row pass by: a weight is one broadcast and R * C multiply-adds whose operand comes straight from L1.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels_window.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels-inl.h"
#include "espalier/core/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Wide = hn::ScalableTag<Real>;
using Single = hn::CappedTag<Real, 1>;
constexpr Index wide = hn::MaxLanes(Wide());

template <class D>
constexpr Index N = hn::MaxLanes(D());

// Where the vectors of a block lie, in Reals.
struct Strides {
  Index out_row, out_step, out_plane, in_row, in_step, in_plane;
};

// One block of the result: where its first vector and that of its operand lie, and how many of the Reals in the vectors
// of its last column exist.
struct Place {
  Index out, in;
  Index tail;
  Index ahead_out = 0, ahead_in = 0;  // from here to the next block's; 0: not worth fetching early
};

// A step between columns that is known when this is compiled makes constants of the addresses.
template <int known>
HWY_INLINE Index step_of(Index step) {
  return known > 0 ? known : step;
}

// Compilers would rather work out each address of a block anew than add constants to one pointer.
HWY_INLINE const Real* kept(const Real* pointer) {
#if defined(__GNUC__)
  asm("" : "+r"(pointer));
#endif
  return pointer;
}

template <class D, int R, int C>
HWY_INLINE void load_block(hn::Vec<D> (&sum)[R][C], const Real* HWY_RESTRICT y, const Strides& s) {
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) sum[i][j] = hn::LoadU(D(), y + i * s.out_row + j * s.out_step);
}

template <class D, int R, int C>
HWY_INLINE void fill_block(hn::Vec<D> (&sum)[R][C], Real value) {
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) sum[i][j] = hn::Set(D(), value);
}

template <class D, int R, int C>
HWY_INLINE void store_block(hn::Vec<D> (&sum)[R][C], bool relu, Index tail, Real* HWY_RESTRICT y, const Strides& s) {
  const D d;
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) {
      // NaN stays NaN
      if (relu) sum[i][j] = hn::IfThenElse(hn::Lt(sum[i][j], hn::Zero(d)), hn::Zero(d), sum[i][j]);
      Real* to = y + i * s.out_row + j * s.out_step;
      if (j + 1 == C && tail < N<D>)
        hn::BlendedStore(sum[i][j], hn::FirstN(d, static_cast<std::size_t>(tail)), d, to);
      else
        hn::StoreU(sum[i][j], d, to);
    }
}

// --- walking over the lines of a sweep
// --------------------------------------------------------------------------------

// Calls body.template operator()<D, R, C, step>(place, strides) for blocks that cover the lines of the call. The
// longest row of vectors is `Columns` wide.
template <class D, int step, int Columns, typename Body>
void walk_samples(const SweepCall& call, Body&& body) {
  const Sweep& sweep = call.sweep;
  const Index lanes = call.lanes, width = sweep.width, whole = width / Columns * Columns;
  const Strides s{sweep.out.row * lanes, sweep.out.step * lanes, sweep.out_plane * lanes,
                  sweep.in.row * lanes,  sweep.in.step * lanes,  sweep.in_plane * lanes};
  const auto visit = [&]<int R, int C>(Index y, Index x) {
    Place place{(sweep.out.first + y * sweep.out.row + x * sweep.out.step) * lanes,
                (sweep.in.first + y * sweep.in.row + x * sweep.in.step) * lanes, N<D>};
    if (C == Columns && R == 1) {
      const bool in_line = x + Columns < whole;
      place.ahead_out = in_line ? Columns * s.out_step : s.out_row - x * s.out_step;
      place.ahead_in = (in_line ? Columns * s.in_step : s.in_row - x * s.in_step) + sweep.reach * lanes;
    }
    for (Index lane = 0; lane < lanes; lane += N<D>) {
      body.template operator()<D, R, C, step>(place, s);
      place.out += N<D>;
      place.in += N<D>;
    }
  };
  for (Index y = call.first_line; y < call.last_line; ++y)
    for (Index x = 0; x < whole; x += Columns) visit.template operator()<1, Columns>(y, x);
  Index x = whole;
  if constexpr (Columns > 4)
    if (width - x >= 4) {
      Index y = call.first_line;
      for (; y + 2 <= call.last_line; y += 2) visit.template operator()<2, 4>(y, x);
      for (; y < call.last_line; ++y) visit.template operator()<1, 4>(y, x);
      x += 4;
    }
  if constexpr (Columns > 2)
    if (width - x >= 2) {
      for (Index y = call.first_line; y < call.last_line; ++y) visit.template operator()<1, 2>(y, x);
      x += 2;
    }
  if (x < width)
    for (Index y = call.first_line; y < call.last_line; ++y) visit.template operator()<1, 1>(y, x);
}

// One lane: a vector is neighbouring pixels of a line. Height: lines at once where a line is a single vector.
template <class D, int Height, typename Body>
void walk_pixels(const SweepCall& call, Body&& body) {
  const Sweep& sweep = call.sweep;
  const Index width = sweep.width, first = call.first_line, last = call.last_line;
  const Strides s{sweep.out.row, N<D>, sweep.out_plane, sweep.in.row, N<D>, sweep.in_plane};
  const auto visit = [&]<int R, int C>(Index y, Index x, Index tail) {
    body.template operator()<D, R, C, static_cast<int>(N<D>)>(
        Place{sweep.out.first + y * sweep.out.row + x, sweep.in.first + y * sweep.in.row + x, tail}, s);
  };
  for (Index x = 0; x < width;) {
    Index y = first;
    if (width - x > N<D>) {
      const Index tail = HWY_MIN(N<D>, width - x - N<D>);
      for (; y + Height / 2 <= last; y += Height / 2) visit.template operator()<Height / 2, 2>(y, x, tail);
      for (; y < last; ++y) visit.template operator()<1, 2>(y, x, tail);
      x += 2 * N<D>;
    } else {
      for (; y + Height <= last; y += Height) visit.template operator()<Height, 1>(y, x, width - x);
      for (; y < last; ++y) visit.template operator()<1, 1>(y, x, width - x);
      x += N<D>;
    }
  }
}

// Chooses what a vector holds. Columns, Height: the largest block, in vectors.
template <int Columns, int Height, typename Body>
void walk(const SweepCall& call, Body&& body) {
  const Index step = call.lanes * call.sweep.in.step;
  if (call.lanes > 1) {
    if (step == 16) return walk_samples<Wide, 16, Columns>(call, body);
    if (step == 32) return walk_samples<Wide, 32, Columns>(call, body);
    return walk_samples<Wide, 0, Columns>(call, body);
  }
  if (call.sweep.in.step != 1 || call.sweep.out.step != 1) return walk_samples<Single, 0, Columns>(call, body);
  if (call.sweep.width <= 4 && wide > 4) return walk_pixels<hn::CappedTag<Real, 4>, Height>(call, body);
  if (call.sweep.width <= 8 && wide > 8) return walk_pixels<hn::CappedTag<Real, 8>, Height>(call, body);
  walk_pixels<Wide, Height>(call, body);
}

// --- sparse weights
// ---------------------------------------------------------------------------------------------------

// One panel for one block: Y[row, block] (+)= sum over the row's weights in this panel of  weight * X. In passing, the
// first panel fetches the next block's pixels of Y and the last one those of X, for images are larger than L2.
template <class D, int R, int C, int step>
void sparse_panel(const SweepCall& call, const SparseWeights& W, Index panel, const Place& place, const Strides& s) {
  const D d;
  const bool first = panel == 0, last = panel + 1 == W.plan.panels();
  const Index in_step = step_of<step>(s.in_step);
  const Real* HWY_RESTRICT X = call.X + place.in;
  const Real* lines[R];
  for (int i = 0; i < R; ++i) lines[i] = X + i * s.in_row;
  const bool begin = first && !call.add, relu = last && call.relu;
  Index channel = 0;
  for (std::size_t v = W.plan.panel_begin[static_cast<std::size_t>(panel)];
       v < W.plan.panel_begin[static_cast<std::size_t>(panel) + 1]; ++v) {
    const SparseSweep::Visit visit = W.plan.visits[v];
    Real* HWY_RESTRICT y = call.Y + place.out + visit.row * s.out_plane;
    if (first && place.ahead_out != 0)
      for (int j = 0; j < C; ++j) __builtin_prefetch(y + place.ahead_out + j * s.out_step, 1, 2);
    if (last && place.ahead_in != 0 && channel < W.plan.operand_channels) {
      const Real* ahead = X + place.ahead_in + channel++ * s.in_plane;
      for (int j = 0; j < C; ++j) __builtin_prefetch(ahead + j * in_step, 0, 2);
    }
    hn::Vec<D> sum[R][C];
    if (begin)
      fill_block<D>(sum, call.bias ? call.bias[visit.row] : Real{0});
    else
      load_block<D>(sum, y, s);
    const std::int32_t* HWY_RESTRICT offset = W.offset + visit.begin;
    const Real* HWY_RESTRICT value = W.value + visit.begin;
    for (Index n = 0; n < static_cast<Index>(visit.count); ++n) {
      const auto w = hn::Set(d, value[n]);
      const Index at = offset[n];
      for (int i = 0; i < R; ++i) {
        const Real* x = kept(lines[i] + at);
        for (int j = 0; j < C; ++j) sum[i][j] = hn::MulAdd(w, hn::LoadU(d, x + j * in_step), sum[i][j]);
      }
    }
    store_block<D>(sum, relu, place.tail, y, s);
  }
}

void SparseSweepLines(const SweepCall& call, const SparseWeights& W) {
  walk<8, 8>(call, [&]<class D, int R, int C, int step>(const Place& place, const Strides& s) {
    for (Index panel = 0; panel < W.plan.panels(); ++panel) sparse_panel<D, R, C, step>(call, W, panel, place, s);
  });
}

// One panel for one block: G[n] += sum over the block of  dY[row(n)] * X[n]. dY's block stays in registers while the
// weights of its row pass by, four at a time, because four sums over a vector cost little more than one.
template <class D, int R, int C, int step, bool masked>
void sparse_outer_panel(const SweepCall& call, const SparseWeights& W, Index panel, const Place& place,
                        const Strides& s, Index count, Real* HWY_RESTRICT G) {
  const D d;
  using Vec = hn::Vec<D>;
  const bool first = panel == 0, last = panel + 1 == W.plan.panels();
  const Index in_step = step_of<step>(s.in_step);
  const Real* HWY_RESTRICT X = call.X + place.in;
  const Real* lines[R];
  for (int i = 0; i < R; ++i) lines[i] = X + i * s.in_row;
  // Of which numbers of a vector there are samples, or pixels: of the others nothing is known, they may be NaN.
  const auto whole = hn::FirstN(d, static_cast<std::size_t>(count)),
             tail = hn::FirstN(d, static_cast<std::size_t>(HWY_MIN(place.tail, count)));
  const auto only = [&](Vec x, int j) {
    if constexpr (!masked) return x;
    return hn::IfThenElseZero(j + 1 == C ? tail : whole, x);
  };
  Index channel = 0;
  for (std::size_t v = W.plan.panel_begin[static_cast<std::size_t>(panel)];
       v < W.plan.panel_begin[static_cast<std::size_t>(panel) + 1]; ++v) {
    const SparseSweep::Visit visit = W.plan.visits[v];
    const Real* HWY_RESTRICT y = call.Y + place.out + visit.row * s.out_plane;
    if (first && place.ahead_out != 0)
      for (int j = 0; j < C; ++j) __builtin_prefetch(y + place.ahead_out + j * s.out_step, 0, 2);
    if (last && place.ahead_in != 0 && channel < W.plan.operand_channels) {
      const Real* ahead = X + place.ahead_in + channel++ * s.in_plane;
      for (int j = 0; j < C; ++j) __builtin_prefetch(ahead + j * in_step, 0, 2);
    }
    if (visit.count == 0) continue;
    Vec dy[R][C];
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < C; ++j) dy[i][j] = only(hn::LoadU(d, y + i * s.out_row + j * s.out_step), j);
    const std::int32_t* HWY_RESTRICT offset = W.offset + visit.begin;
    Real* HWY_RESTRICT g = G + visit.begin;
    const Index weights = visit.count;
    Index n = 0;
    for (; n + 4 <= weights; n += 4) {
      Vec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
      for (int i = 0; i < R; ++i) {
        const Real* x[4];
        for (int q = 0; q < 4; ++q) x[q] = kept(lines[i] + offset[n + q]);
        for (int j = 0; j < C; ++j)
          for (int q = 0; q < 4; ++q) {
            const Vec xj = only(hn::LoadU(d, x[q] + j * in_step), j);
            sum[q] = hn::MulAdd(dy[i][j], xj, sum[q]);
          }
      }
      add_four_sums(d, sum[0], sum[1], sum[2], sum[3], g + n);
    }
    if (n < weights) {  // one to three are left
      Vec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
      for (int q = 0; q < 3 && n + q < weights; ++q) {
        Vec even = hn::Zero(d), odd = hn::Zero(d);
        for (int i = 0; i < R; ++i) {
          const Real* x = lines[i] + offset[n + q];
          for (int j = 0; j < C; ++j) {
            Vec& to = (i * C + j) % 2 ? odd : even;
            to = hn::MulAdd(dy[i][j], only(hn::LoadU(d, x + j * in_step), j), to);
          }
        }
        sum[q] = hn::Add(even, odd);
      }
      Real four[4] = {0, 0, 0, 0};
      add_four_sums(d, sum[0], sum[1], sum[2], sum[3], four);
      for (int q = 0; n + q < weights; ++q) g[n + q] += four[q];
    }
  }
}

void SparseSweepOuter(const SweepCall& call, const SparseWeights& W, Index valid, Real* G) {
  walk<8, 8>(call, [&]<class D, int R, int C, int step>(const Place& place, const Strides& s) {
    const Index lane = call.lanes > 1 ? place.in % call.lanes : 0;
    const Index count = call.lanes > 1 ? HWY_MIN(N<D>, valid - lane) : N<D>;
    if (count <= 0 || valid == 0) return;
    const bool masked = count < N<D> || place.tail < N<D>;
    for (Index panel = 0; panel < W.plan.panels(); ++panel)
      if (masked)
        sparse_outer_panel<D, R, C, step, true>(call, W, panel, place, s, count, G);
      else
        sparse_outer_panel<D, R, C, step, false>(call, W, panel, place, s, count, G);
  });
}

// --- dense weights
// ----------------------------------------------------------------------------------------------------

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
void dense_outer_lines(const SweepCall& call, const DenseWeights& W, Index out, Index in, Index lines, Index vectors,
                       const Strides& s, Index count, Real* G) {
  constexpr int K = many_registers ? 4 : 2;
  const auto columns = [&]<int Q>(Index n) {
    const auto rows = [&]<int Rows>(Index row) {
      dense_outer_tile<D, Rows, Q, step, masked>(call.Y + out + row * s.out_plane, call.X + in, W.offset + n, lines,
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
void dense_outer_samples(const SweepCall& call, const DenseWeights& W, Index valid, Real* G) {
  constexpr Index strip_pixels = 128;
  const Sweep& sweep = call.sweep;
  const Index lanes = call.lanes, strip = HWY_MAX(strip_pixels / sweep.width, Index{1});
  const Strides s{sweep.out.row * lanes, sweep.out.step * lanes, sweep.out_plane * lanes,
                  sweep.in.row * lanes,  sweep.in.step * lanes,  sweep.in_plane * lanes};
  for (Index y = call.first_line; y < call.last_line; y += strip) {
    const Index lines = HWY_MIN(strip, call.last_line - y);
    for (Index lane = 0; lane < valid; lane += N<D>) {
      const Index out = (sweep.out.first + y * sweep.out.row) * lanes + lane,
                  in = (sweep.in.first + y * sweep.in.row) * lanes + lane, count = HWY_MIN(N<D>, valid - lane);
      if (count < N<D>)
        dense_outer_lines<D, step, true>(call, W, out, in, lines, sweep.width, s, count, G);
      else
        dense_outer_lines<D, step, false>(call, W, out, in, lines, sweep.width, s, count, G);
    }
  }
}

template <class D>
void dense_outer_pixels(const SweepCall& call, const DenseWeights& W, Real* G) {
  constexpr int step = static_cast<int>(N<D>);
  const Sweep& sweep = call.sweep;
  const Strides s{sweep.out.row, N<D>, sweep.out_plane, sweep.in.row, N<D>, sweep.in_plane};
  const Index lines = call.last_line - call.first_line, vectors = sweep.width / N<D>, rest = sweep.width % N<D>;
  const Index out = sweep.out.first + call.first_line * sweep.out.row,
              in = sweep.in.first + call.first_line * sweep.in.row, done = vectors * N<D>;
  if (vectors > 0) dense_outer_lines<D, step, false>(call, W, out, in, lines, vectors, s, N<D>, G);
  if (rest > 0) dense_outer_lines<D, step, true>(call, W, out + done, in + done, lines, 1, s, rest, G);
}

void DenseSweepOuter(const SweepCall& call, const DenseWeights& W, Index valid, Real* G) {
  if (valid == 0) return;
  const Index step = call.lanes * call.sweep.in.step;
  if (call.lanes > 1) {
    if (step == 16) return dense_outer_samples<Wide, 16>(call, W, valid, G);
    return dense_outer_samples<Wide, 0>(call, W, valid, G);
  }
  if (call.sweep.in.step != 1 || call.sweep.out.step != 1) return dense_outer_samples<Single, 0>(call, W, valid, G);
  dense_outer_pixels<Wide>(call, W, G);
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(SparseSweepLines);
HWY_EXPORT(SparseSweepOuter);
HWY_EXPORT(DenseSweepLines);
HWY_EXPORT(DenseSweepOuter);

void sparse_sweep(const SweepCall& call, const SparseWeights& W) {
  HWY_DYNAMIC_DISPATCH(SparseSweepLines)(call, W);
}
void sparse_sweep_outer(const SweepCall& call, const SparseWeights& W, Index valid, Real* G) {
  HWY_DYNAMIC_DISPATCH(SparseSweepOuter)(call, W, valid, G);
}
void dense_sweep(const SweepCall& call, const DenseWeights& W) {
  HWY_DYNAMIC_DISPATCH(DenseSweepLines)(call, W);
}
void dense_sweep_outer(const SweepCall& call, const DenseWeights& W, Index valid, Real* G) {
  HWY_DYNAMIC_DISPATCH(DenseSweepOuter)(call, W, valid, G);
}
}  // namespace espalier::kernels
#endif
