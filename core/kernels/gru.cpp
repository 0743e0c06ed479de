// What a gated recurrent unit does at each step besides its products: four numbers of every unit and lane, of which
// three cost an exponential. With libm's exp and tanh, one number at a time, they would cost more than the products.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/gru.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/activation-inl.h"
#include "espalier/core/kernels/gru.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 2 sigmoid(2 x) - 1: good to a few units in the last place of 1, and h is a mixture of such numbers.
template <class D, class Vec = hn::Vec<D>>
HWY_INLINE Vec tanh(D d, Vec x) {
  const Vec y = sigmoid(d, hn::Add(x, x));
  return hn::Sub(hn::Add(y, y), hn::Set(d, Real{1}));
}

template <class D, class Vec = hn::Vec<D>>
HWY_INLINE void step_at(D d, const Real* A, Real* G, const Real* h, Real* h_next, Index count) {
  // r = sigmoid(A_r + U_r h)   z = sigmoid(A_z + U_z h)   n = tanh(A_n + r m)   h' = n + z (h - n)
  const Vec r = sigmoid(d, hn::Add(hn::LoadU(d, A), hn::LoadU(d, G)));
  const Vec z = sigmoid(d, hn::Add(hn::LoadU(d, A + count), hn::LoadU(d, G + count)));
  const Vec n = tanh(d, hn::MulAdd(r, hn::LoadU(d, G + 2 * count), hn::LoadU(d, A + 2 * count)));
  hn::StoreU(r, d, G);
  hn::StoreU(z, d, G + count);
  hn::StoreU(n, d, G + 3 * count);
  hn::StoreU(hn::MulAdd(z, hn::Sub(hn::LoadU(d, h), n), n), d, h_next);
}

template <class D, class Vec = hn::Vec<D>>
HWY_INLINE void step_backward_at(D d, Real* G, const Real* h, const Real* dh_next, Real* dA, Real* dh, Index count) {
  const Vec r = hn::LoadU(d, G), z = hn::LoadU(d, G + count), m = hn::LoadU(d, G + 2 * count),
            n = hn::LoadU(d, G + 3 * count), g = hn::LoadU(d, dh_next), one = hn::Set(d, Real{1});
  // da_n = g (1 - z)(1 - n^2)   da_z = g (h - n) z (1 - z)   da_r = da_n m r (1 - r)   dm = da_n r   dh += g z
  const Vec rest = hn::Sub(one, z);
  const Vec da_n = hn::Mul(hn::Mul(g, rest), hn::NegMulAdd(n, n, one));
  const Vec da_z = hn::Mul(hn::Mul(g, hn::Sub(hn::LoadU(d, h), n)), hn::Mul(z, rest));
  const Vec da_r = hn::Mul(hn::Mul(da_n, m), hn::Mul(r, hn::Sub(one, r)));
  hn::StoreU(da_r, d, dA);
  hn::StoreU(da_z, d, dA + count);
  hn::StoreU(da_n, d, dA + 2 * count);
  hn::StoreU(da_r, d, G);
  hn::StoreU(da_z, d, G + count);
  hn::StoreU(hn::Mul(da_n, r), d, G + 2 * count);
  if (dh) hn::StoreU(hn::MulAdd(g, z, hn::LoadU(d, dh)), d, dh);
}

// Whole vectors; what is left of one lane, number by number.
using Whole = hn::ScalableTag<Real>;
using Single = hn::CappedTag<Real, 1>;
constexpr Index N = hn::MaxLanes(Whole());

void GruStep(const Real* A, Real* G, const Real* h, Real* h_next, Index count) {
  Index i = 0;
  for (; i + N <= count; i += N) step_at(Whole(), A + i, G + i, h + i, h_next + i, count);
  for (; i < count; ++i) step_at(Single(), A + i, G + i, h + i, h_next + i, count);
}

void GruStepBackward(Real* G, const Real* h, const Real* dh_next, Real* dA, Real* dh, Index count) {
  Index i = 0;
  for (; i + N <= count; i += N)
    step_backward_at(Whole(), G + i, h + i, dh_next + i, dA + i, dh ? dh + i : nullptr, count);
  for (; i < count; ++i) step_backward_at(Single(), G + i, h + i, dh_next + i, dA + i, dh ? dh + i : nullptr, count);
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(GruStep);
HWY_EXPORT(GruStepBackward);

void gru_step(const Real* A, Real* G, const Real* h, Real* h_next, Index count) {
  HWY_DYNAMIC_DISPATCH(GruStep)(A, G, h, h_next, count);
}

void gru_step_backward(Real* G, const Real* h, const Real* dh_next, Real* dA, Real* dh, Index count) {
  HWY_DYNAMIC_DISPATCH(GruStepBackward)(G, h, dh_next, dA, dh, count);
}
}  // namespace espalier::kernels
#endif
