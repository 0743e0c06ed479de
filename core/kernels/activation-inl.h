// Activations one vector at a time, and their derivatives, read off their outputs: for all kernels that go through one.
// Included once per SIMD target.
#if defined(ESPALIER_CORE_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_CORE_KERNELS_ACTIVATION_INL_H_
#undef ESPALIER_CORE_KERNELS_ACTIVATION_INL_H_
#else
#define ESPALIER_CORE_KERNELS_ACTIVATION_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "espalier/core/activation.h"
#include "espalier/core/real.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// NaN stays NaN, so that a network that has diverged is noticed.
template <class D, class Vec = hn::Vec<D>>
HWY_INLINE Vec relu(D d, Vec v) {
  return hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Zero(d), v);
}

// 1 / (1 + exp(-x)). Beyond +-80 only exp's range is at stake; NaN stays NaN, which Clamp might drop.
template <class D, class Vec = hn::Vec<D>>
HWY_INLINE Vec sigmoid(D d, Vec x) {
  const Vec one = hn::Set(d, Real{1});
  const Vec bounded = hn::Clamp(x, hn::Set(d, Real{-80}), hn::Set(d, Real{80}));
  const Vec y = hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(bounded))));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// dy * f'(y)
template <Activation f, class D, class Vec = hn::Vec<D>>
HWY_INLINE Vec derivative_times(D d, Vec y, Vec dy) {
  const Vec one = hn::Set(d, Real{1});
  if constexpr (f == Activation::relu) return hn::IfThenElseZero(hn::Gt(y, hn::Zero(d)), dy);
  if constexpr (f == Activation::tanh) return hn::Mul(dy, hn::NegMulAdd(y, y, one));
  if constexpr (f == Activation::sigmoid) return hn::Mul(dy, hn::Mul(y, hn::Sub(one, y)));
  return dy;
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
