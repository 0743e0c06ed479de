// Sweeps over images with sparse weights, and the gradient of those weights.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/window_sparse.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/sums-inl.h"
#include "espalier/core/kernels/window-inl.h"
#include "espalier/core/kernels/window.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One panel for one block: Y[row, block] (+)= sum over the row's weights in this panel of  weight * X. In passing, the
// first panel fetches the next block's pixels of Y and the last one those of X, because images are larger than L2.
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
  for (std::size_t v = W.plan.panel_begin[panel]; v < W.plan.panel_begin[static_cast<std::size_t>(panel) + 1]; ++v) {
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
void sparse_outer_panel(const SweepOuterCall& call, const SparseWeights& W, Index panel, const Place& place,
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
  for (std::size_t v = W.plan.panel_begin[panel]; v < W.plan.panel_begin[static_cast<std::size_t>(panel) + 1]; ++v) {
    const SparseSweep::Visit visit = W.plan.visits[v];
    const Real* HWY_RESTRICT y = call.dY + place.out + visit.row * s.out_plane;
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

void SparseSweepOuter(const SweepOuterCall& call, const SparseWeights& W, Real* G) {
  walk<8, 8>(call, [&]<class D, int R, int C, int step>(const Place& place, const Strides& s) {
    const Index lane = call.lanes > 1 ? place.in % call.lanes : 0;
    const Index count = call.lanes > 1 ? HWY_MIN(N<D>, call.valid - lane) : N<D>;
    if (count <= 0 || call.valid == 0) return;
    const bool masked = count < N<D> || place.tail < N<D>;
    for (Index panel = 0; panel < W.plan.panels(); ++panel)
      if (masked)
        sparse_outer_panel<D, R, C, step, true>(call, W, panel, place, s, count, G);
      else
        sparse_outer_panel<D, R, C, step, false>(call, W, panel, place, s, count, G);
  });
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(SparseSweepLines);
HWY_EXPORT(SparseSweepOuter);

void sparse_sweep(const SweepCall& call, const SparseWeights& W) {
  HWY_DYNAMIC_DISPATCH(SparseSweepLines)(call, W);
}
void sparse_sweep_outer(const SweepOuterCall& call, const SparseWeights& W, Real* G) {
  HWY_DYNAMIC_DISPATCH(SparseSweepOuter)(call, W, G);
}
}  // namespace espalier::kernels
#endif
