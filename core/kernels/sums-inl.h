// What several kernel files share, compiled once per SIMD target with each of them.
#if defined(ESPALIER_CORE_KERNELS_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard, one per target
#ifdef ESPALIER_CORE_KERNELS_SUMS_INL_H_
#undef ESPALIER_CORE_KERNELS_SUMS_INL_H_
#else
#define ESPALIER_CORE_KERNELS_SUMS_INL_H_
#endif

#include <hwy/highway.h>

#include "espalier/core/real.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {

// 32 vector registers (AVX-512) instead of 16: room for larger register tiles.
constexpr bool many_registers = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL;

// Adds the sum of each of four vectors to to[0..3]: transposing adds cost 3 instructions per sum instead of log2(N)
// each.
template <class D, class Vec = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE void add_four_sums(D d, Vec a, Vec b, Vec c, Vec e, Real* HWY_RESTRICT to) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET != HWY_SCALAR && !defined(ESPALIER_REAL_DOUBLE)
  constexpr std::size_t N = hn::MaxLanes(D());
  if constexpr (N >= 4) {
    // Per 128-bit block: ab = a0+a2 b0+b2 a1+a3 b1+b3, and ce likewise; then their halves are added.
    const Vec ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
    const Vec ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
    const hn::Repartition<double, D> pairs;
    const auto low = hn::InterleaveLower(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, ce));
    const auto high = hn::InterleaveUpper(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, ce));
    const Vec blocks = hn::Add(hn::BitCast(d, low), hn::BitCast(d, high));  // each block: partial sums of a b c e
    if constexpr (N == 4) {
      hn::StoreU(hn::Add(hn::LoadU(d, to), blocks), d, to);
    } else {
      const hn::Half<D> half;
      const auto two = hn::Add(hn::LowerHalf(half, blocks), hn::UpperHalf(half, blocks));
      if constexpr (N == 8) {
        hn::StoreU(hn::Add(hn::LoadU(half, to), two), half, to);
      } else {
        const hn::Half<decltype(half)> quarter;
        const auto four = hn::Add(hn::LowerHalf(quarter, two), hn::UpperHalf(quarter, two));
        hn::StoreU(hn::Add(hn::LoadU(quarter, to), four), quarter, to);
      }
    }
    return;
  }
#endif
  to[0] += hn::GetLane(hn::SumOfLanes(d, a));
  to[1] += hn::GetLane(hn::SumOfLanes(d, b));
  to[2] += hn::GetLane(hn::SumOfLanes(d, c));
  to[3] += hn::GetLane(hn::SumOfLanes(d, e));
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
