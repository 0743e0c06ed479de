// What sweeps over images with sparse and with dense weights share: the blocks of the result and the walk over them.
//
// A vector holds one pixel of several samples side by side or, where a tile has one lane, neighbouring pixels of one
// sample; everything else is the same. A block of R x C vectors of the result stays in registers while the weights of a
// row pass by: a weight is one broadcast and R * C multiply-adds whose operand comes straight from L1. Included once
// per SIMD target.

#if defined(ESPALIER_CORE_KERNELS_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_CORE_KERNELS_WINDOW_INL_H_
#undef ESPALIER_CORE_KERNELS_WINDOW_INL_H_
#else
#define ESPALIER_CORE_KERNELS_WINDOW_INL_H_
#endif

#include <hwy/highway.h>

#include "espalier/core/kernels/window.h"

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

// --- walking over the lines of a sweep -------------------------------------------------------------------------------

// Calls body.template operator()<D, R, C, step>(place, strides) for blocks that cover the lines of the call. The
// longest row of vectors is `Columns` wide.
template <class D, int step, int Columns, typename Body>
void walk_samples(const SweepLines& call, Body&& body) {
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
void walk_pixels(const SweepLines& call, Body&& body) {
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
void walk(const SweepLines& call, Body&& body) {
  const Index step = call.lanes * call.sweep.in.step;
  if (call.lanes > 1) {
    if constexpr (wide > 4) {  // four at a time every step takes the general way: half as much to compile
      if (step == 16) return walk_samples<Wide, 16, Columns>(call, body);
      if (step == 32) return walk_samples<Wide, 32, Columns>(call, body);
    }
    return walk_samples<Wide, 0, Columns>(call, body);
  }
  if (call.sweep.in.step != 1 || call.sweep.out.step != 1) return walk_samples<Single, 0, Columns>(call, body);
  if constexpr (wide > 4)
    if (call.sweep.width <= 4) return walk_pixels<hn::CappedTag<Real, 4>, Height>(call, body);
  if constexpr (wide > 8)
    if (call.sweep.width <= 8) return walk_pixels<hn::CappedTag<Real, 8>, Height>(call, body);
  walk_pixels<Wide, Height>(call, body);
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
