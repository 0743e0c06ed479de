// The dense kernels: one register tile, three ways to walk through it. W is used as it lies, without packing: with few
// lanes, packing W (what a BLAS does) costs as much as using it. Only the outer product repacks, a few columns of X
// (64 with AVX-512) at a time.
//
// Why not a BLAS: the distribution's serial OpenBLAS 0.3.21 corrupts results when two threads call it at once (2 % of
// small products, measured), its threaded variants bring a second thread runtime, and at 64 lanes these kernels are
// faster (`espalier bench kernels` prints both).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/dense.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/dense.h"
#include "espalier/core/kernels/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<Real>;
using Vec = hn::Vec<D>;
constexpr Index N = hn::MaxLanes(D());

// The register tile: rows x vectors accumulators, `vectors` operands and a broadcast must fit into 32 (AVX-512) or 16.
constexpr int tile_rows = 6;
constexpr int tile_vectors = many_registers ? 4 : 2;

// A matrix operand that is walked element by element: A[r, k] = data[r * row_step + k * depth_step].
struct Walked {
  const Real* data;
  Index row_step, depth_step;
  Walked from(Index row, Index k) const { return {data + row * row_step + k * depth_step, row_step, depth_step}; }
};
// Rows of vectors: row i starts at data + i * stride.
struct Rows {
  const Real* data;
  Index stride;
};

// Y[R rows, V vectors] = or += A[R, depth] X[depth, V vectors]      Y's rows are y_stride apart
template <int R, int V, bool add>
HWY_INLINE void register_tile(Walked A, Index depth, Rows X, Real* HWY_RESTRICT Y, Index y_stride) {
  const D d;
  Vec sum[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = add ? hn::LoadU(d, Y + r * y_stride + v * N) : hn::Zero(d);
  const Real* HWY_RESTRICT a = A.data;
  const Real* HWY_RESTRICT x = X.data;
  for (Index k = 0; k < depth; ++k) {
    Vec xk[V];
    for (int v = 0; v < V; ++v) xk[v] = hn::Load(d, x + v * N);
    for (int r = 0; r < R; ++r) {
      const Vec ark = hn::Set(d, a[r * A.row_step]);
      for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(ark, xk[v], sum[r][v]);
    }
    x += X.stride;
    a += A.depth_step;
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) hn::StoreU(sum[r][v], d, Y + r * y_stride + v * N);
}

// Y[rows, V vectors] = or += A X
template <int V, bool add>
void column_of_tiles(Walked A, Index rows, Index depth, Rows X, Real* Y, Index y_stride) {
  Index r = 0;
  for (; r + tile_rows <= rows; r += tile_rows)
    register_tile<tile_rows, V, add>(A.from(r, 0), depth, X, Y + r * y_stride, y_stride);
  const auto rest = [&]<int R>() { register_tile<R, V, add>(A.from(r, 0), depth, X, Y + r * y_stride, y_stride); };
  switch (rows - r) {
    case 5:
      rest.template operator()<5>();
      break;
    case 4:
      rest.template operator()<4>();
      break;
    case 3:
      rest.template operator()<3>();
      break;
    case 2:
      rest.template operator()<2>();
      break;
    case 1:
      rest.template operator()<1>();
      break;
    default:
      break;
  }
}

// Y[rows, stride] += A[rows, depth] X[depth, stride], the depth in stretches of `stretch`.
void DenseProduct(const Real* data, Index row_step, Index depth_step, Index rows, Index depth, Index stretch,
                  const Real* X, Real* Y, Index stride) {
  const Walked A{data, row_step, depth_step};
  for (Index k = 0; k < depth; k += stretch) {
    const Index now = HWY_MIN(stretch, depth - k);
    for (Index lane = 0; lane < stride;) {
      const Index vectors = HWY_MIN(Index{tile_vectors}, (stride - lane) / N);
      const auto chunk = [&]<int V>() {
        column_of_tiles<V, true>(A.from(0, k), rows, now, {X + k * stride + lane, stride}, Y + lane, stride);
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
        default:
          chunk.template operator()<tile_vectors>();
          break;
      }
      lane += vectors * N;
    }
  }
}

// packed[k, j] = X[j, k] for `columns` rows j of X and `depth` of their lanes; rows of packed are tile_vectors * N
// long.
void pack_transposed(const Real* HWY_RESTRICT X, Index stride, Index columns, Index depth, Real* HWY_RESTRICT packed) {
  constexpr Index width = tile_vectors * N;
  Index j = 0;
#if HWY_TARGET != HWY_SCALAR && !defined(ESPALIER_REAL_DOUBLE)
  const hn::FixedTag<Real, 4> d4;
  const hn::Repartition<double, decltype(d4)> pairs;
  for (; j + 4 <= columns; j += 4)
    for (Index k = 0; k + 4 <= depth; k += 4) {
      const Real* x = X + j * stride + k;
      const auto a = hn::LoadU(d4, x), b = hn::LoadU(d4, x + stride), c = hn::LoadU(d4, x + 2 * stride),
                 e = hn::LoadU(d4, x + 3 * stride);
      const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d4, a, b)),
                 ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d4, a, b));
      const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d4, c, e)),
                 ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d4, c, e));
      Real* to = packed + k * width + j;
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(pairs, ab_low, ce_low)), d4, to);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(pairs, ab_low, ce_low)), d4, to + width);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(pairs, ab_high, ce_high)), d4, to + 2 * width);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(pairs, ab_high, ce_high)), d4, to + 3 * width);
    }
  for (Index jj = 0; jj < j; ++jj)
    for (Index k = depth / 4 * 4; k < depth; ++k) packed[k * width + jj] = X[jj * stride + k];
#endif
  for (; j < columns; ++j)
    for (Index k = 0; k < depth; ++k) packed[k * width + j] = X[j * stride + k];
}

// G[rows, cols] = or += dY[rows, valid] X[cols, valid]'     packed: scratch of valid * tile_vectors * N, aligned
template <bool add>
void outer_by_panels(const Real* dY, Index rows, const Real* X, Index cols, Index stride, Index valid, Real* packed,
                     Real* G) {
  constexpr Index width = tile_vectors * N;
  for (Index j = 0; j < cols; j += width) {
    const Index columns = HWY_MIN(width, cols - j);
    pack_transposed(X + j * stride, stride, columns, valid, packed);
    const Walked A{dY, stride, 1};
    if (columns == width) {
      column_of_tiles<tile_vectors, add>(A, rows, valid, {packed, width}, G + j, cols);
      continue;
    }
    // The last, narrower panel: whole tiles in a corner of their own, then what exists of them.
    HWY_ALIGN Real corner[tile_rows * width];
    for (Index r = 0; r < rows; r += tile_rows) {
      const Index now = HWY_MIN(Index{tile_rows}, rows - r);
      column_of_tiles<tile_vectors, false>(A.from(r, 0), now, valid, {packed, width}, corner, width);
      for (Index i = 0; i < now; ++i)
        for (Index c = 0; c < columns; ++c) {
          Real& g = G[(r + i) * cols + j + c];
          g = add ? g + corner[i * width + c] : corner[i * width + c];
        }
    }
  }
}

Index PackedWidth() {
  return tile_vectors * N;
}

void DenseOuter(const Real* dY, Index rows, const Real* X, Index cols, Index stride, Index valid, bool add,
                Real* packed, Real* G) {
  if (add)
    outer_by_panels<true>(dY, rows, X, cols, stride, valid, packed, G);
  else
    outer_by_panels<false>(dY, rows, X, cols, stride, valid, packed, G);
}

// One lane: y[r] += W[r, :] x
void DenseDots(const Real* HWY_RESTRICT W, Index rows, Index cols, const Real* HWY_RESTRICT x, Real* HWY_RESTRICT y) {
  const D d;
  for (Index r = 0; r < rows; ++r, W += cols) {
    Vec a = hn::Zero(d), b = a, c = a, e = a;
    Index k = 0;
    for (; k + 4 * N <= cols; k += 4 * N) {
      a = hn::MulAdd(hn::LoadU(d, W + k), hn::LoadU(d, x + k), a);
      b = hn::MulAdd(hn::LoadU(d, W + k + N), hn::LoadU(d, x + k + N), b);
      c = hn::MulAdd(hn::LoadU(d, W + k + 2 * N), hn::LoadU(d, x + k + 2 * N), c);
      e = hn::MulAdd(hn::LoadU(d, W + k + 3 * N), hn::LoadU(d, x + k + 3 * N), e);
    }
    for (; k + N <= cols; k += N) a = hn::MulAdd(hn::LoadU(d, W + k), hn::LoadU(d, x + k), a);
    Real dot = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
    for (; k < cols; ++k) dot += W[k] * x[k];
    y[r] += dot;
  }
}

// One lane: y += sum over r of a[r] W[r, :], or rows of G: one scaled row after the other
void ScaledRow(Real scale, const Real* HWY_RESTRICT x, Index count, Real* HWY_RESTRICT y) {
  const D d;
  Index i = 0;
  for (; i + N <= count; i += N)
    hn::StoreU(hn::MulAdd(hn::Set(d, scale), hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  for (; i < count; ++i) y[i] += scale * x[i];
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>

#include "espalier/core/aligned.h"

namespace espalier::kernels {
namespace {

// Forward: the panel of X that is swept by all rows stays in L2. Transposed: one line of each of `stretch` rows of W
// must survive in the few cache sets that a power-of-two row length maps them to.
constexpr Index forward_stretch = 512, transposed_stretch = 128;

}  // namespace

HWY_EXPORT(DenseProduct);
HWY_EXPORT(DenseOuter);
HWY_EXPORT(DenseDots);
HWY_EXPORT(ScaledRow);
HWY_EXPORT(PackedWidth);

void dense_rows(const Real* W, Index rows, Index cols, const Real* X, Real* Y, Index stride) {
  if (stride == 1) return HWY_DYNAMIC_DISPATCH(DenseDots)(W, rows, cols, X, Y);
  HWY_DYNAMIC_DISPATCH(DenseProduct)(W, cols, 1, rows, cols, forward_stretch, X, Y, stride);
}

void dense_transposed(const Real* W, Index rows, Index cols, const Real* dY, Real* dX, Index stride) {
  if (stride == 1) {
    for (Index r = 0; r < rows; ++r) HWY_DYNAMIC_DISPATCH(ScaledRow)(dY[r], W + r * cols, cols, dX);
    return;
  }
  HWY_DYNAMIC_DISPATCH(DenseProduct)(W, 1, cols, cols, rows, transposed_stretch, dY, dX, stride);
}

void dense_outer(const Real* dY, Index rows, const Real* X, Index cols, Index stride, Index valid, bool add, Real* G) {
  if (stride == 1) {
    if (!add) std::fill_n(G, rows * cols, Real{0});
    for (Index r = 0; r < rows && valid > 0; ++r) HWY_DYNAMIC_DISPATCH(ScaledRow)(dY[r], X, cols, G + r * cols);
    return;
  }
  thread_local AlignedVector<Real> packed;
  const auto length = static_cast<std::size_t>(stride * HWY_DYNAMIC_DISPATCH(PackedWidth)());
  if (packed.size() < length) packed.resize(length);
  HWY_DYNAMIC_DISPATCH(DenseOuter)(dY, rows, X, cols, stride, valid, add, packed.data(), G);
}
}  // namespace espalier::kernels
#endif
