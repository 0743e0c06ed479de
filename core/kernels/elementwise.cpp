// What happens to every activation besides the products: beginning, activating, differentiating, adding.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/elementwise.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/activation-inl.h"
#include "espalier/core/kernels/elementwise.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<Real>;
using Vec = hn::Vec<D>;
constexpr Index N = hn::MaxLanes(D());

// Y = f(X), contiguous: whole vectors, then number by number, with the same arithmetic. Y may be X
template <class F>
void map(F f, const Real* x, Real* y, Index count) {
  using Single = hn::CappedTag<Real, 1>;
  Index i = 0;
  for (; i + N <= count; i += N) hn::StoreU(f(D(), hn::LoadU(D(), x + i)), D(), y + i);
  for (; i < count; ++i) hn::StoreU(f(Single(), hn::LoadU(Single(), x + i)), Single(), y + i);
}

void Relu(const Real* x, Real* y, Index count) {
  map([](auto d, auto v) { return relu(d, v); }, x, y, count);
}
void Sigmoid(const Real* x, Real* y, Index count) {
  map([](auto d, auto v) { return sigmoid(d, v); }, x, y, count);
}
void Exp(const Real* x, Real* y, Index count) {
  map([](auto d, auto v) { return hn::Exp(d, v); }, x, y, count);
}
void Log(const Real* x, Real* y, Index count) {
  map([](auto d, auto v) { return hn::Log(d, v); }, x, y, count);
}

void Add(const Real* HWY_RESTRICT x, Real* HWY_RESTRICT y, Index count) {
  const D d;
  Index i = 0;
  for (; i + N <= count; i += N) hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  for (; i < count; ++i) y[i] += x[i];
}

void Sum(const Real* a, const Real* b, bool rectify, Real* HWY_RESTRICT y, Index count) {
  const D d;
  Index i = 0;
  for (; i + N <= count; i += N) {
    const Vec sum = hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
    hn::StoreU(rectify ? relu(d, sum) : sum, d, y + i);
  }
  for (; i < count; ++i) y[i] = rectify && a[i] + b[i] < 0 ? 0 : a[i] + b[i];
}

void Multiply(const Real* HWY_RESTRICT x, Real* HWY_RESTRICT y, Index count) {
  const D d;
  Index i = 0;
  for (; i + N <= count; i += N) hn::StoreU(hn::Mul(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  for (; i < count; ++i) y[i] *= x[i];
}

double SumOfSquares(const Real* HWY_RESTRICT x, Index count) {
  const D d;
  Vec a = hn::Zero(d), b = a, c = a, e = a;
  Index i = 0;
  for (; i + 4 * N <= count; i += 4 * N) {
    const Vec xa = hn::LoadU(d, x + i), xb = hn::LoadU(d, x + i + N), xc = hn::LoadU(d, x + i + 2 * N),
              xe = hn::LoadU(d, x + i + 3 * N);
    a = hn::MulAdd(xa, xa, a);
    b = hn::MulAdd(xb, xb, b);
    c = hn::MulAdd(xc, xc, c);
    e = hn::MulAdd(xe, xe, e);
  }
  double sum = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e)))));
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

template <Activation f>
void backward_rows(const Real* HWY_RESTRICT Y, Real* HWY_RESTRICT dY, Index rows, Index stride, Index valid,
                   Real* HWY_RESTRICT row_sums) {
  const D d;
  for (Index r = 0; r < rows; ++r) {
    const Real* HWY_RESTRICT y = Y + r * stride;
    Real* HWY_RESTRICT dy = dY + r * stride;
    Vec sum = hn::Zero(d);
    Index lane = 0;
    for (; lane + N <= stride; lane += N) {
      Vec g = hn::Load(d, dy + lane);
      if constexpr (f != Activation::none) {
        g = derivative_times<f>(d, hn::Load(d, y + lane), g);
        hn::Store(g, d, dy + lane);
      }
      if (lane + N > valid)
        g = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(HWY_MAX(valid - lane, 0))), g);
      sum = hn::Add(sum, g);
    }
    Real total = stride >= N ? hn::GetLane(hn::SumOfLanes(d, sum)) : Real{0};
    for (; lane < stride; ++lane) {  // one lane
      if constexpr (f == Activation::relu) dy[lane] = y[lane] > 0 ? dy[lane] : 0;
      if constexpr (f == Activation::tanh) dy[lane] *= 1 - y[lane] * y[lane];
      if constexpr (f == Activation::sigmoid) dy[lane] *= y[lane] * (1 - y[lane]);
      if (lane < valid) total += dy[lane];
    }
    if (row_sums) row_sums[r] = total;
  }
}

void ActivateBackward(Activation f, const Real* Y, Real* dY, Index rows, Index stride, Index valid, Real* row_sums) {
  switch (f) {
    case Activation::none:
      if (row_sums) backward_rows<Activation::none>(Y, dY, rows, stride, valid, row_sums);
      break;
    case Activation::relu:
      backward_rows<Activation::relu>(Y, dY, rows, stride, valid, row_sums);
      break;
    case Activation::tanh:
      backward_rows<Activation::tanh>(Y, dY, rows, stride, valid, row_sums);
      break;
    case Activation::sigmoid:
      backward_rows<Activation::sigmoid>(Y, dY, rows, stride, valid, row_sums);
      break;
  }
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>

namespace espalier::kernels {
HWY_EXPORT(Relu);
HWY_EXPORT(Sigmoid);
HWY_EXPORT(Exp);
HWY_EXPORT(Log);
HWY_EXPORT(Add);
HWY_EXPORT(Sum);
HWY_EXPORT(Multiply);
HWY_EXPORT(SumOfSquares);
HWY_EXPORT(ActivateBackward);

void begin_rows(const Real* bias, Real* Y, Index rows, Index stride) {
  if (!bias) {
    std::fill_n(Y, rows * stride, Real{0});
  } else {
    for (Index r = 0; r < rows; ++r) std::fill_n(Y + r * stride, stride, bias[r]);
  }
}

void activate(Activation activation, const Real* X, Real* Y, Index count) {
  switch (activation) {
    case Activation::none:
      if (X != Y) std::copy_n(X, count, Y);
      break;
    case Activation::relu:
      HWY_DYNAMIC_DISPATCH(Relu)(X, Y, count);
      break;
    case Activation::tanh:
      for (Index i = 0; i < count; ++i) Y[i] = std::tanh(X[i]);
      break;
    case Activation::sigmoid:
      HWY_DYNAMIC_DISPATCH(Sigmoid)(X, Y, count);
      break;
  }
}

void activate_backward(Activation activation, const Real* Y, Real* dY, Index rows, Index stride, Index valid,
                       Real* row_sums) {
  HWY_DYNAMIC_DISPATCH(ActivateBackward)(activation, Y, dY, rows, stride, valid, row_sums);
}

void exponentials(const Real* X, Real* Y, Index count) {
  HWY_DYNAMIC_DISPATCH(Exp)(X, Y, count);
}

void logarithms(const Real* X, Real* Y, Index count) {
  HWY_DYNAMIC_DISPATCH(Log)(X, Y, count);
}

void add(const Real* x, Real* y, Index count) {
  HWY_DYNAMIC_DISPATCH(Add)(x, y, count);
}

void add_and_activate(Activation activation, const Real* A, const Real* B, Real* Y, Index count) {
  HWY_DYNAMIC_DISPATCH(Sum)(A, B, activation == Activation::relu, Y, count);
  if (activation != Activation::relu) activate(activation, Y, count);
}

void multiply(const Real* x, Real* y, Index count) {
  HWY_DYNAMIC_DISPATCH(Multiply)(x, y, count);
}

double sum_of_squares(const Real* x, Index count) {
  return HWY_DYNAMIC_DISPATCH(SumOfSquares)(x, count);
}
}  // namespace espalier::kernels
#endif
