// The dense kernels. The first two work on W as it lies, without packing: with few lanes, packing W (what a BLAS does)
// costs as much as using it. The outer product has long rows on both sides and goes to OpenBLAS.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels_dense.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "core/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<Real>;
using Vec = hn::Vec<D>;
constexpr Index N = hn::MaxLanes(D());

// The register tile: rows x vectors accumulators, `vectors` operands and a broadcast must fit into 32 (AVX-512) or 16.
constexpr bool many_registers = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL;
constexpr int tile_rows = 6;
constexpr int tile_vectors = many_registers ? 4 : 2;

// Y[R rows, V vectors] += A[R, depth] X[depth, V vectors]      A[r, k] = A[r * row_step + k * depth_step]
template <int R, int V>
HWY_INLINE void register_tile(const Real* HWY_RESTRICT A, Index row_step, Index depth_step, Index depth,
                              const Real* HWY_RESTRICT X, Real* HWY_RESTRICT Y, Index stride) {
  const D d;
  Vec sum[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = hn::Load(d, Y + r * stride + v * N);
  for (Index k = 0; k < depth; ++k) {
    Vec x[V];
    for (int v = 0; v < V; ++v) x[v] = hn::Load(d, X + v * N);
    for (int r = 0; r < R; ++r) {
      const Vec a = hn::Set(d, A[r * row_step]);
      for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(a, x[v], sum[r][v]);
    }
    X += stride;
    A += depth_step;
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) hn::Store(sum[r][v], d, Y + r * stride + v * N);
}

// Y[rows, V vectors] += A X over one stretch of depth
template <int V>
void column_of_tiles(const Real* A, Index row_step, Index depth_step, Index rows, Index depth, const Real* X, Real* Y,
                     Index stride) {
  Index r = 0;
  for (; r + tile_rows <= rows; r += tile_rows)
    register_tile<tile_rows, V>(A + r * row_step, row_step, depth_step, depth, X, Y + r * stride, stride);
  const auto rest = [&]<int R>() {
    register_tile<R, V>(A + r * row_step, row_step, depth_step, depth, X, Y + r * stride, stride);
  };
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
void DenseProduct(const Real* A, Index row_step, Index depth_step, Index rows, Index depth, Index stretch,
                  const Real* X, Real* Y, Index stride) {
  for (Index k = 0; k < depth; k += stretch) {
    const Index now = HWY_MIN(stretch, depth - k);
    for (Index lane = 0; lane < stride;) {
      const Index vectors = HWY_MIN(Index{tile_vectors}, (stride - lane) / N);
      const auto chunk = [&]<int V>() {
        column_of_tiles<V>(A + k * depth_step, row_step, depth_step, rows, now, X + k * stride + lane, Y + lane,
                           stride);
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

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <cblas.h>

namespace espalier::kernels {
namespace {

// One spelling for float and double.
[[maybe_unused]] void gemv(CBLAS_TRANSPOSE t, Index m, Index n, const float* A, const float* x, float* y) {
  cblas_sgemv(CblasRowMajor, t, static_cast<int>(m), static_cast<int>(n), 1.0f, A, static_cast<int>(n), x, 1, 1.0f, y,
              1);
}
[[maybe_unused]] void gemv(CBLAS_TRANSPOSE t, Index m, Index n, const double* A, const double* x, double* y) {
  cblas_dgemv(CblasRowMajor, t, static_cast<int>(m), static_cast<int>(n), 1.0, A, static_cast<int>(n), x, 1, 1.0, y, 1);
}
[[maybe_unused]] void gemm_nt(Index m, Index n, Index k, const float* A, const float* B, Index stride, float beta,
                              float* C) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
              1.0f, A, static_cast<int>(stride), B, static_cast<int>(stride), beta, C, static_cast<int>(n));
}
[[maybe_unused]] void gemm_nt(Index m, Index n, Index k, const double* A, const double* B, Index stride, double beta,
                              double* C) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
              1.0, A, static_cast<int>(stride), B, static_cast<int>(stride), beta, C, static_cast<int>(n));
}

// Forward: the panel of X that is swept by all rows stays in L2. Transposed: one line of each of `stretch` rows of W
// must survive in the few cache sets that a power-of-two row length maps them to.
constexpr Index forward_stretch = 512, transposed_stretch = 128;

}  // namespace

HWY_EXPORT(DenseProduct);

void dense_rows(const Real* W, Index rows, Index cols, const Real* X, Real* Y, Index stride) {
  if (stride == 1) return gemv(CblasNoTrans, rows, cols, W, X, Y);
  HWY_DYNAMIC_DISPATCH(DenseProduct)(W, cols, 1, rows, cols, forward_stretch, X, Y, stride);
}

void dense_transposed(const Real* W, Index rows, Index cols, const Real* dY, Real* dX, Index stride) {
  if (stride == 1) return gemv(CblasTrans, rows, cols, W, dY, dX);
  HWY_DYNAMIC_DISPATCH(DenseProduct)(W, 1, cols, cols, rows, transposed_stretch, dY, dX, stride);
}

void dense_outer(const Real* dY, Index rows, const Real* X, Index cols, Index stride, Index valid, bool add, Real* G) {
  gemm_nt(rows, cols, valid, dY, X, stride, add ? Real{1} : Real{0}, G);
}

std::span<const std::int64_t> available_targets() {
  static const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  return targets;
}
const char* target_name(std::int64_t target) {
  return hwy::TargetName(target);
}
void force_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
}

}  // namespace espalier::kernels
#endif
