// What the kernels of outer products share, whatever order they visit the weights in: which tiles are summed at once,
// and how sums over lanes are taken. So all of them give the same bits. Compiled once per SIMD target.
#if defined(ESPALIER_CORE_KERNELS_OUTER_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)  // one include guard per target
#ifdef ESPALIER_CORE_KERNELS_OUTER_TILES_INL_H_
#undef ESPALIER_CORE_KERNELS_OUTER_TILES_INL_H_
#else
#define ESPALIER_CORE_KERNELS_OUTER_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include "espalier/core/kernels/sparse.h"
#include "espalier/core/real.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {

// The tiles of an outer product, in steps: full(first tile, first lane) with T tiles and V vectors of lanes as template
// arguments, so that T * V vectors of dY stay in registers; ragged(tile) for a tile whose valid lanes do not fill it.
template <typename Full, typename Ragged>
HWY_INLINE void for_each_outer_step(const OuterOperand* tiles, Index tile_count, Index stride, Full&& full,
                                    Ragged&& ragged) {
  constexpr Index N = hwy::HWY_NAMESPACE::MaxLanes(hwy::HWY_NAMESPACE::ScalableTag<Real>());
  constexpr Index registers = 8;  // vectors of dY held at once
  const Index vectors = stride / N;
  for (Index t = 0; t < tile_count;) {
    if (tiles[t].valid < stride || stride < N) {
      ragged(tiles[t++]);
      continue;
    }
    Index together = 1;  // full tiles that fit into the registers side by side
    while (t + together < tile_count && tiles[t + together].valid == stride && (together + 1) * vectors <= registers)
      ++together;
    for (Index lane = 0; lane < stride;) {
      const Index now = HWY_MIN(registers, (stride - lane) / N);
      const auto chunk = [&]<int T, int V>() {
        together = T;
        full.template operator()<T, V>(t, lane);
      };
      switch (now) {
        case 1:
          if (together >= 8)
            chunk.template operator()<8, 1>();
          else if (together >= 4)
            chunk.template operator()<4, 1>();
          else if (together >= 2)
            chunk.template operator()<2, 1>();
          else
            chunk.template operator()<1, 1>();
          break;
        case 2:
          if (together >= 4)
            chunk.template operator()<4, 2>();
          else if (together >= 2)
            chunk.template operator()<2, 2>();
          else
            chunk.template operator()<1, 2>();
          break;
        case 3:
          if (together >= 2)
            chunk.template operator()<2, 3>();
          else
            chunk.template operator()<1, 3>();
          break;
        case 4:
          if (together >= 2)
            chunk.template operator()<2, 4>();
          else
            chunk.template operator()<1, 4>();
          break;
        case 5:
          chunk.template operator()<1, 5>();
          break;
        case 6:
          chunk.template operator()<1, 6>();
          break;
        case 7:
          chunk.template operator()<1, 7>();
          break;
        default:
          chunk.template operator()<1, 8>();
          break;
      }
      lane += now * N;
    }
    t += together;
  }
}

// The product of two rows of lanes in a tile that may be ragged: only its valid lanes count, whatever the others hold.
HWY_INLINE Real dot_of_valid_lanes(const Real* HWY_RESTRICT dy, const Real* HWY_RESTRICT x, Index valid, Index stride) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<Real> d;
  constexpr Index N = hn::MaxLanes(hn::ScalableTag<Real>());
  if (stride == 1) return valid ? dy[0] * x[0] : 0;
  const Index whole = valid / N * N;
  auto sum = hn::Zero(d);
  for (Index lane = 0; lane < whole; lane += N) sum = hn::MulAdd(hn::Load(d, dy + lane), hn::Load(d, x + lane), sum);
  if (whole < valid) {
    const auto rest = hn::FirstN(d, static_cast<std::size_t>(valid - whole));
    sum = hn::MulAdd(hn::IfThenElseZero(rest, hn::Load(d, dy + whole)),
                     hn::IfThenElseZero(rest, hn::Load(d, x + whole)), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 && !defined(ESPALIER_REAL_DOUBLE)
// The sums of sixteen vectors that lie one after the other, as one vector: 30 shuffles and 15 adds, where sixteen sums
// on their own take 64 of each. Every sum is taken in the order of add_four_sums (sums-inl.h):
//
//   within each block of four lanes  (0 + 2) + (1 + 3),  then of the blocks  (0 + 2) + (1 + 3)
HWY_INLINE __m512 sum_sixteen(const Real* HWY_RESTRICT vectors) {
  const auto plus = [](__m512d a, __m512d b) { return _mm512_add_ps(_mm512_castpd_ps(a), _mm512_castpd_ps(b)); };
  __m512 two[8], four[4];
  for (int i = 0; i < 8; ++i) {
    const __m512 a = _mm512_load_ps(vectors + 32 * i), b = _mm512_load_ps(vectors + 32 * i + 16);
    two[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));  // blocks: a0+a2 b0+b2 a1+a3 b1+b3
  }
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(two[2 * i]), b = _mm512_castps_pd(two[2 * i + 1]);
    four[i] = plus(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));  // blocks: partial sums of four vectors
  }
  const auto halves = [](__m512 a, __m512 b) {  // blocks a0+a2 a1+a3 b0+b2 b1+b3
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const __m512 left = halves(four[0], four[1]), right = halves(four[2], four[3]);
  return _mm512_add_ps(_mm512_shuffle_f32x4(left, right, 0x88), _mm512_shuffle_f32x4(left, right, 0xdd));
}
#endif

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
