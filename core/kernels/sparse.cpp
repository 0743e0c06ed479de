// The two sparse kernels. Forward and transposed product are one: rows of weights times rows of lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/sparse.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/outer_tiles-inl.h"
#include "espalier/core/kernels/sparse.h"
#include "espalier/core/kernels/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<Real>;
using Vec = hn::Vec<D>;
constexpr Index N = hn::MaxLanes(D());  // Reals per vector

// Y[row, :] += sum over the row's weights in this panel of  weight * X[column, :]
//
// The V accumulators stay in registers across a row's weights; every weight is one broadcast and V fused
// multiply-adds whose second operand comes straight from L1.
template <int V, bool has_slot>
void visit_rows(const Compressed& A, std::span<const Panels::Visit> visits, Index first_row,
                const Real* HWY_RESTRICT value, const Real* HWY_RESTRICT X, Real* HWY_RESTRICT Y, Index stride) {
  const D d;
  const std::uint32_t* HWY_RESTRICT index = A.index.data();
  const std::uint32_t* HWY_RESTRICT slot = A.slot.data();
  for (const Panels::Visit& visit : visits) {
    Real* HWY_RESTRICT y = Y + (first_row + visit.row) * stride;
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = hn::Load(d, y + v * N);
    const std::size_t end = static_cast<std::size_t>(visit.begin) + visit.count;
    for (std::size_t n = visit.begin; n < end; ++n) {
      const Vec w = hn::Set(d, value[has_slot ? slot[n] : n]);
      const Real* HWY_RESTRICT x = X + static_cast<Index>(index[n]) * stride;
      for (int v = 0; v < V; ++v) sum[v] = hn::MulAdd(w, hn::Load(d, x + v * N), sum[v]);
    }
    for (int v = 0; v < V; ++v) hn::Store(sum[v], d, y + v * N);
  }
}

// Four numbers of x, wherever they lie. A gather instruction takes 1.6 times as long on Zen 4 as four loads that
// insert.
HWY_INLINE hn::Vec<hn::CappedTag<Real, 4>> four_of(const Real* HWY_RESTRICT x, const std::uint32_t* HWY_RESTRICT at) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_SSE4 && !defined(ESPALIER_REAL_DOUBLE)
  __m128 four = _mm_load_ss(x + at[0]);
  four = _mm_insert_ps(four, _mm_load_ss(x + at[1]), 0x10);
  four = _mm_insert_ps(four, _mm_load_ss(x + at[2]), 0x20);
  return hn::Vec<hn::CappedTag<Real, 4>>{_mm_insert_ps(four, _mm_load_ss(x + at[3]), 0x30)};
#else
  HWY_ALIGN Real four[4] = {x[at[0]], x[at[1]], x[at[2]], x[at[3]]};
  return hn::Load(hn::CappedTag<Real, 4>(), four);
#endif
}

// One lane: y[row] += sum of weight * x[column]. Nothing is contiguous in x.
void dots(const Compressed& A, const Real* HWY_RESTRICT value, const Real* HWY_RESTRICT x, Real* HWY_RESTRICT y) {
  for (Index r = 0; r < A.rows; ++r) {
    const Index end = A.begin[static_cast<std::size_t>(r) + 1];
    Index n = A.begin[r];
    Real dot = 0;
    const hn::CappedTag<Real, 4> d;
    if constexpr (hn::MaxLanes(d) == 4) {
      const std::uint32_t* index = A.index.data();
      auto a = hn::Zero(d), b = hn::Zero(d);
      for (; n + 8 <= end; n += 8) {
        a = hn::MulAdd(hn::LoadU(d, value + n), four_of(x, index + n), a);
        b = hn::MulAdd(hn::LoadU(d, value + n + 4), four_of(x, index + n + 4), b);
      }
      dot = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
    }
    for (; n < end; ++n) dot += value[n] * x[A.index[n]];
    y[r] += dot;
  }
}

// The transpose of a matrix knows its weights by slot only; one-lane steps backwards are rare enough for a plain loop.
void dots_by_slot(const Compressed& A, const Real* HWY_RESTRICT value, const Real* HWY_RESTRICT x,
                  Real* HWY_RESTRICT y) {
  for (Index r = 0; r < A.rows; ++r)
    for (auto n = static_cast<std::size_t>(A.begin[r]);
         n < static_cast<std::size_t>(A.begin[static_cast<std::size_t>(r) + 1]); ++n)
      y[r] += value[A.slot[n]] * x[A.index[n]];
}

// y += A x, sixteen rows at a time; core/layouts/slices.h has the layout.
//
// Two permutations and a blend pick sixteen numbers of a window of 64: a load port is asked for the values, the columns
// and, once in two steps, the window, but never for single numbers. A lane that rests keeps its sum, so that 0 * NaN
// cannot reach a row which has no weight there.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 && !defined(ESPALIER_REAL_DOUBLE)
constexpr bool slices_here = true;

void slices_rows(const Slices& slices, const Real* HWY_RESTRICT packed, const Real* HWY_RESTRICT x,
                 Real* HWY_RESTRICT y) {
  static_assert(Slices::lanes == 16 && Slices::window == 64 && Slices::steps_per_window == 2);
  const __m512i right_half = _mm512_set1_epi32(32);
  const std::uint8_t* HWY_RESTRICT column = slices.column.data();
  const std::uint16_t* HWY_RESTRICT live = slices.live.data();
  for (Index s = 0; s < slices.slices(); ++s) {
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    const std::size_t end = slices.first[static_cast<std::size_t>(s) + 1];
    for (std::size_t w = slices.first[s]; w < end; ++w) {
      const Real* HWY_RESTRICT from = x + slices.base[w];
      const __m512 x0 = _mm512_loadu_ps(from), x1 = _mm512_loadu_ps(from + 16), x2 = _mm512_loadu_ps(from + 32),
                   x3 = _mm512_loadu_ps(from + 48);
      for (int step = 0; step < 2; ++step) {
        const __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(column)));
        const __m512 left = _mm512_permutex2var_ps(x0, at, x1), right = _mm512_permutex2var_ps(x2, at, x3);
        const __m512 picked = _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, right_half), left, right);
        sum[step] = _mm512_mask3_fmadd_ps(_mm512_load_ps(packed), picked, sum[step], *live);
        column += 16, packed += 16, live += 1;
      }
    }
    alignas(64) Real sums[16];
    _mm512_store_ps(sums, _mm512_add_ps(sum[0], sum[1]));
    const std::uint32_t* HWY_RESTRICT row = slices.row.data() + s * Slices::lanes;
    const Index rows = HWY_MIN(Slices::lanes, slices.rows - s * Slices::lanes);
    for (Index l = 0; l < rows; ++l) y[row[l]] += sums[l];
  }
}
#else
constexpr bool slices_here = false;
void slices_rows(const Slices&, const Real*, const Real*, Real*) {}
#endif

bool HasSlices() {
  return slices_here;
}

void SparseSlices(const Slices& slices, const Real* packed, const Real* x, Real* y) {
  slices_rows(slices, packed, x, y);
}

void SparseDots(const Compressed& A, const Real* value, const Real* x, Real* y) {
  if (A.slot.empty())
    dots(A, value, x, y);
  else
    dots_by_slot(A, value, x, y);
}

template <int V>
void sparse_rows_chunk(const Compressed& A, std::span<const Panels::Visit> visits, Index first_row, const Real* value,
                       const Real* X, Real* Y, Index stride) {
  if (A.slot.empty())
    visit_rows<V, false>(A, visits, first_row, value, X, Y, stride);
  else
    visit_rows<V, true>(A, visits, first_row, value, X, Y, stride);
}

void SparseRows(const Compressed& A, const Panels& panels, Index b, const Real* value, const Real* X, Real* Y,
                Index stride) {
  const RowBlock& block = panels.blocks[b];
  constexpr Index widest = 8;  // accumulators: 8 vectors, 128 floats with AVX-512
  for (Index panel = 0; panel < panels.count; ++panel) {
    const auto visits = panels.of(b, panel);
    for (Index lane = 0; lane < stride;) {
      const Index vectors = HWY_MIN(widest, (stride - lane) / N);
      const auto chunk = [&]<int V>() {
        sparse_rows_chunk<V>(A, visits, block.first_row, value, X + lane, Y + lane, stride);
      };
      switch (vectors) {
        case 1:
          chunk.template operator()<1>();
          break;
        case 2:
          chunk.template operator()<2>();
          break;
        case 3:
          chunk.template operator()<3>();
          break;
        case 4:
          chunk.template operator()<4>();
          break;
        case 5:
          chunk.template operator()<5>();
          break;
        case 6:
          chunk.template operator()<6>();
          break;
        case 7:
          chunk.template operator()<7>();
          break;
        default:
          chunk.template operator()<8>();
          break;
      }
      lane += vectors * N;
    }
  }
}

// --- outer product on the pattern -----------------------------------------------------------------------------------

// T tiles of V vectors each are summed before the horizontal sums are taken, so those are paid once per weight. dY's
// T * V vectors of a row stay in registers.
template <int T, int V>
void outer_visits(const Compressed& W, std::span<const Panels::Visit> visits, const RowBlock& block,
                  const OuterOperand* tiles, Index lane, Index stride, Real* HWY_RESTRICT G) {
  const D d;
  const Real* X[T];
  for (int t = 0; t < T; ++t) X[t] = tiles[t].X + lane;
  for (const Panels::Visit& visit : visits) {
    Vec dy[T][V];
    for (int t = 0; t < T; ++t)
      for (int v = 0; v < V; ++v)
        dy[t][v] = hn::Load(d, tiles[t].dY + (block.first_row + visit.row) * stride + lane + v * N);
    const std::uint32_t* HWY_RESTRICT index = W.index.data() + visit.begin;
    Real* HWY_RESTRICT g = G + (visit.begin - block.first);
    const int count = visit.count;
    int n = 0;
    for (; n + 4 <= count; n += 4) {
      const Index at[4] = {index[n] * stride, index[n + 1] * stride, index[n + 2] * stride, index[n + 3] * stride};
      Vec sum[4];
      for (int q = 0; q < 4; ++q) sum[q] = hn::Mul(dy[0][0], hn::Load(d, X[0] + at[q]));
      for (int t = 0; t < T; ++t)
        for (int v = t == 0 ? 1 : 0; v < V; ++v)
          for (int q = 0; q < 4; ++q) sum[q] = hn::MulAdd(dy[t][v], hn::Load(d, X[t] + at[q] + v * N), sum[q]);
      add_four_sums(d, sum[0], sum[1], sum[2], sum[3], g + n);
    }
    if (n < count) {  // one to three weights left: the missing ones are copies of the last, and are dropped
      const Index last = index[count - 1] * stride;
      const Index at[3] = {index[n] * stride, n + 1 < count ? index[n + 1] * stride : last, last};
      Vec sum[3];
      for (int q = 0; q < 3; ++q) sum[q] = hn::Mul(dy[0][0], hn::Load(d, X[0] + at[q]));
      for (int t = 0; t < T; ++t)
        for (int v = t == 0 ? 1 : 0; v < V; ++v)
          for (int q = 0; q < 3; ++q) sum[q] = hn::MulAdd(dy[t][v], hn::Load(d, X[t] + at[q] + v * N), sum[q]);
      Real four[4] = {0, 0, 0, 0};
      add_four_sums(d, sum[0], sum[1], sum[2], hn::Zero(d), four);
      for (int q = 0; n + q < count; ++q) g[n + q] += four[q];
    }
  }
}

void outer_ragged(const Compressed& W, std::span<const Panels::Visit> visits, const RowBlock& block,
                  const OuterOperand& tile, Index stride, Real* HWY_RESTRICT G) {
  for (const Panels::Visit& visit : visits) {
    const Real* HWY_RESTRICT dy = tile.dY + (block.first_row + visit.row) * stride;
    for (int n = 0; n < visit.count; ++n)
      G[visit.begin + n - block.first] +=
          dot_of_valid_lanes(dy, tile.X + W.index[visit.begin + n] * stride, tile.valid, stride);
  }
}

void SparseOuter(const Compressed& W, const Panels& panels, Index b, const OuterOperand* tiles, Index tile_count,
                 Index stride, Real* G) {
  const RowBlock& block = panels.blocks[b];
  for (Index panel = 0; panel < panels.count; ++panel) {
    const auto visits = panels.of(b, panel);
    for_each_outer_step(
        tiles, tile_count, stride,
        [&]<int T, int V>(Index t, Index lane) { outer_visits<T, V>(W, visits, block, tiles + t, lane, stride, G); },
        [&](const OuterOperand& tile) { outer_ragged(W, visits, block, tile, stride, G); });
  }
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(SparseRows);
HWY_EXPORT(SparseDots);
HWY_EXPORT(SparseOuter);
HWY_EXPORT(SparseSlices);
HWY_EXPORT(HasSlices);

void sparse_rows(const Compressed& A, const Panels& panels, Index block, const Real* value, const Real* X, Real* Y,
                 Index stride) {
  HWY_DYNAMIC_DISPATCH(SparseRows)(A, panels, block, value, X, Y, stride);
}

void sparse_dots(const Compressed& A, const Real* value, const Real* x, Real* y) {
  HWY_DYNAMIC_DISPATCH(SparseDots)(A, value, x, y);
}

void sparse_slices(const Slices& slices, const Real* packed, const Real* x, Real* y) {
  HWY_DYNAMIC_DISPATCH(SparseSlices)(slices, packed, x, y);
}

bool has_slices() {
  return HWY_DYNAMIC_DISPATCH(HasSlices)();
}

void sparse_outer(const Compressed& W, const Panels& panels, Index block, std::span<const OuterOperand> tiles,
                  Index stride, Real* G) {
  HWY_DYNAMIC_DISPATCH(SparseOuter)(W, panels, block, tiles.data(), static_cast<Index>(tiles.size()), stride, G);
}
}  // namespace espalier::kernels
#endif
