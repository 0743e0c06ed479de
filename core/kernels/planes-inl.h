// Runs of numbers in planes, whole vectors and what is left, and sums over them. Included once per SIMD target.

#if defined(ESPALIER_CORE_KERNELS_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_CORE_KERNELS_PLANES_INL_H_
#undef ESPALIER_CORE_KERNELS_PLANES_INL_H_
#else
#define ESPALIER_CORE_KERNELS_PLANES_INL_H_
#endif

#include <hwy/highway.h>

#include "espalier/core/kernels/planes.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<Real>;
using Vec = hn::Vec<D>;
constexpr Index N = hn::MaxLanes(D());

// n numbers, 1 <= n <= N; zeros follow.
HWY_INLINE Vec load(const Real* from, Index n) {
  const D d;
  if (n == N) return hn::LoadU(d, from);
  HWY_ALIGN Real some[N] = {};
  for (Index i = 0; i < n; ++i) some[i] = from[i];
  return hn::Load(d, some);
}

HWY_INLINE void store(Vec v, Real* to, Index n) {
  const D d;
  if (n == N) return hn::StoreU(v, d, to);
  HWY_ALIGN Real some[N];
  hn::Store(v, d, some);
  for (Index i = 0; i < n; ++i) to[i] = some[i];
}

template <typename Body>
HWY_INLINE void for_each_vector(Index count, Body body) {
  Index i = 0;
  for (; i + N <= count; i += N) body(i, N);
  if (i < count) body(i, count - i);
}

HWY_INLINE Vec only(Vec v, Index n) {
  return n == N ? v : hn::IfThenElseZero(hn::FirstN(D(), static_cast<std::size_t>(n)), v);
}

template <int K>
struct Sums {
  double of[K] = {};
};

// K sums over the valid numbers of a plane. term(line, place in the line, n, sums) adds n numbers to each vector of
// sums. These stay short; what they come to is added in double, so that a large image loses no digits.
template <int K, typename Term>
HWY_INLINE Sums<K> sums_of_valid(const Pixels& p, Term term) {
  const D d;
  const bool full = p.valid == p.lanes;  // then a line is one run, else there is one in each pixel
  const Index runs = full ? 1 : p.line, count = full ? p.line * p.lanes : p.valid;
  constexpr Index unrolled = 4 * N, chunk = 64 * unrolled;
  Sums<K> total;
  for (Index l = 0; l < p.lines; ++l)
    for (Index r = 0; r < runs; ++r)
      for (Index begin = 0; begin < count; begin += chunk) {
        const Index first = r * p.lanes + begin, length = HWY_MIN(chunk, count - begin);
        Vec a[K], b[K], c[K], e[K];
        for (int k = 0; k < K; ++k) a[k] = b[k] = c[k] = e[k] = hn::Zero(d);
        Index i = 0;
        for (; i + unrolled <= length; i += unrolled) {
          term(l, first + i, N, a);
          term(l, first + i + N, N, b);
          term(l, first + i + 2 * N, N, c);
          term(l, first + i + 3 * N, N, e);
        }
        for_each_vector(length - i, [&](Index at, Index n) HWY_ATTR { term(l, first + i + at, n, a); });
        for (int k = 0; k < K; ++k) {
          const Vec sum = hn::Add(hn::Add(a[k], b[k]), hn::Add(c[k], e[k]));
          total.of[k] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
        }
      }
  return total;
}

// One sum, of X itself.
HWY_INLINE double sum_of_valid(const Pixels& p, ConstPlane X) {
  return sums_of_valid<1>(p, [&](Index l, Index i, Index n, Vec* sum)
                                 HWY_ATTR { sum[0] = hn::Add(sum[0], load(X.begin + l * X.pitch + i, n)); })
      .of[0];
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
