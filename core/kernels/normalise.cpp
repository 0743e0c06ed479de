// Normalisation, and activations that are followed by a sum, a channel at a time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/normalise.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/activation-inl.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/normalise.h"
#include "espalier/core/kernels/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Two passes: the mean, then squares of what is left. One pass over sums of squares would cancel where |mean| is large.
Moments MomentsOf(const Pixels& p, ConstPlane X) {
  const D d;
  const double n = static_cast<double>(p.values()), mean = sum_of_valid(p, X) / n;
  const Vec centre = hn::Set(d, static_cast<Real>(mean));
  const auto add_square = [&](Index l, Index i, Index some, Vec* sum) HWY_ATTR {
    const Vec x = only(hn::Sub(load(X.begin + l * X.pitch + i, some), centre), some);
    sum[0] = hn::MulAdd(x, x, sum[0]);
  };
  const double squares = sums_of_valid<1>(p, add_square).of[0];
  return {mean, squares / n};
}

// All lanes, padding too: a line is then one run.
void Normalise(const Pixels& p, ConstPlane X, Real mean, Real scale, Real shift, bool rectify, Plane Y) {
  const D d;
  const Vec m = hn::Set(d, mean), a = hn::Set(d, scale), b = hn::Set(d, shift);
  for (Index l = 0; l < p.lines; ++l) {
    const Real* x = X.begin + l * X.pitch;
    Real* y = Y.begin + l * Y.pitch;
    for_each_vector(p.line * p.lanes, [&](Index i, Index n) HWY_ATTR {
      const Vec z = hn::MulAdd(hn::Sub(load(x + i, n), m), a, b);
      store(rectify ? relu(d, z) : z, y + i, n);
    });
  }
}

// dZ = dY f'(Y), without writing it anywhere
template <Activation f>
HWY_INLINE Vec dz(const Real* y, const Real* dy, Index n) {
  if constexpr (f == Activation::none) return load(dy, n);
  return derivative_times<f>(D(), load(y, n), load(dy, n));
}

template <Activation f>
NormaliseSums normalise_sums_of(const Pixels& p, ConstPlane X, Real mean, ConstPlane Y, ConstPlane dY) {
  const Vec m = hn::Set(D(), mean);
  const auto add = [&](Index l, Index i, Index n, Vec* sum) HWY_ATTR {
    const Vec g = dz<f>(Y.begin + l * Y.pitch + i, dY.begin + l * dY.pitch + i, n);  // zeros after the n-th
    sum[0] = hn::Add(sum[0], g);
    sum[1] = hn::MulAdd(g, hn::Sub(load(X.begin + l * X.pitch + i, n), m), sum[1]);
  };
  const Sums<2> sums = sums_of_valid<2>(p, add);
  return {sums.of[0], sums.of[1]};
}

template <Activation f>
void normalise_backward_of(const Pixels& p, ConstPlane X, Real mean, ConstPlane Y, ConstPlane dY, Real a, Real b,
                           Real c, Plane dX, bool add) {
  const D d;
  const Vec m = hn::Set(d, mean), va = hn::Set(d, a), vb = hn::Set(d, b), vc = hn::Set(d, c);
  for (Index l = 0; l < p.lines; ++l) {
    const Real *x = X.begin + l * X.pitch, *y = Y.begin + l * Y.pitch, *dy = dY.begin + l * dY.pitch;
    Real* dx = dX.begin + l * dX.pitch;
    for_each_vector(p.line * p.lanes, [&](Index i, Index n) HWY_ATTR {
      const Vec rest = hn::MulAdd(vb, hn::Sub(load(x + i, n), m), vc);
      const Vec g = hn::MulAdd(va, dz<f>(y + i, dy + i, n), rest);
      store(add ? hn::Add(load(dx + i, n), g) : g, dx + i, n);
    });
  }
}

NormaliseSums NormaliseSumsOf(const Pixels& p, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY) {
  switch (f) {
    case Activation::none:
      break;
    case Activation::relu:
      return normalise_sums_of<Activation::relu>(p, X, mean, Y, dY);
    case Activation::tanh:
      return normalise_sums_of<Activation::tanh>(p, X, mean, Y, dY);
    case Activation::sigmoid:
      return normalise_sums_of<Activation::sigmoid>(p, X, mean, Y, dY);
  }
  return normalise_sums_of<Activation::none>(p, X, mean, Y, dY);
}

void NormaliseBackward(const Pixels& p, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY, Real a,
                       Real b, Real c, Plane dX, bool add) {
  switch (f) {
    case Activation::none:
      return normalise_backward_of<Activation::none>(p, X, mean, Y, dY, a, b, c, dX, add);
    case Activation::relu:
      return normalise_backward_of<Activation::relu>(p, X, mean, Y, dY, a, b, c, dX, add);
    case Activation::tanh:
      return normalise_backward_of<Activation::tanh>(p, X, mean, Y, dY, a, b, c, dX, add);
    case Activation::sigmoid:
      return normalise_backward_of<Activation::sigmoid>(p, X, mean, Y, dY, a, b, c, dX, add);
  }
}

// --- activations -----------------------------------------------------------------------------------------------------

template <Activation f>
double activate_backward_plane(const Pixels& p, ConstPlane Y, Plane dY) {
  if constexpr (f != Activation::none)
    for (Index l = 0; l < p.lines; ++l) {
      const Real* y = Y.begin + l * Y.pitch;
      Real* dy = dY.begin + l * dY.pitch;
      for_each_vector(p.line * p.lanes, [&](Index i, Index n) HWY_ATTR {
        store(derivative_times<f>(D(), load(y + i, n), load(dy + i, n)), dy + i, n);
      });
    }
  return sum_of_valid(p, dY);
}

double ActivateBackwardPlane(Activation f, const Pixels& p, ConstPlane Y, Plane dY) {
  switch (f) {
    case Activation::relu:
      return activate_backward_plane<Activation::relu>(p, Y, dY);
    case Activation::tanh:
      return activate_backward_plane<Activation::tanh>(p, Y, dY);
    case Activation::sigmoid:
      return activate_backward_plane<Activation::sigmoid>(p, Y, dY);
    case Activation::none:
      break;
  }
  return activate_backward_plane<Activation::none>(p, Y, dY);
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(MomentsOf);
HWY_EXPORT(Normalise);
HWY_EXPORT(NormaliseSumsOf);
HWY_EXPORT(NormaliseBackward);
HWY_EXPORT(ActivateBackwardPlane);

Moments moments(const Pixels& pixels, ConstPlane X) {
  return HWY_DYNAMIC_DISPATCH(MomentsOf)(pixels, X);
}
void normalise(const Pixels& pixels, ConstPlane X, Real mean, Real scale, Real shift, Activation f, Plane Y) {
  HWY_DYNAMIC_DISPATCH(Normalise)(pixels, X, mean, scale, shift, f == Activation::relu, Y);
  if (f == Activation::none || f == Activation::relu) return;
  for (Index l = 0; l < pixels.lines; ++l) activate(f, Y.begin + l * Y.pitch, pixels.line * pixels.lanes);
}
NormaliseSums normalise_sums(const Pixels& pixels, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY) {
  return HWY_DYNAMIC_DISPATCH(NormaliseSumsOf)(pixels, X, mean, f, Y, dY);
}
void normalise_backward(const Pixels& pixels, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY,
                        Real a, Real b, Real c, Plane dX, bool add) {
  HWY_DYNAMIC_DISPATCH(NormaliseBackward)(pixels, X, mean, f, Y, dY, a, b, c, dX, add);
}
double activate_backward(Activation f, const Pixels& pixels, ConstPlane Y, Plane dY) {
  return HWY_DYNAMIC_DISPATCH(ActivateBackwardPlane)(f, pixels, Y, dY);
}
}  // namespace espalier::kernels
#endif
