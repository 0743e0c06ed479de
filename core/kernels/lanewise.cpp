// What a sample does with itself: sums over its rows, and products of its own activations. Lanes never meet, so a
// vector of lanes goes through the rows as one number would, and what stands in the padding stays there.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/lanewise.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/activation-inl.h"
#include "espalier/core/kernels/lanewise.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// body(d, lane) for each vector of lanes; for the number itself where there is one lane.
template <typename Body>
HWY_INLINE void for_each_vector(Index lanes, Body body) {
  const hn::ScalableTag<Real> d;
  const hn::CappedTag<Real, 1> single;
  if (lanes == 1) return body(single, Index{0});
  for (Index lane = 0; lane < lanes; lane += static_cast<Index>(hn::Lanes(d))) body(d, lane);
}

// --- layer normalisation ---------------------------------------------------------------------------------------------

// Two passes: the mean, then squares of what is left. One pass over sums of squares would cancel where |mean| is large.
void LayerNorm(const Rows& at, const Real* X, const Real* gamma, const Real* beta, Real epsilon, Real* statistics,
               Real* Y) {
  for_each_vector(at.lanes, [&](auto d, Index lane) HWY_ATTR {
    const auto share = hn::Set(d, 1 / static_cast<Real>(at.rows));
    auto sum = hn::Zero(d), squares = hn::Zero(d);
    for (Index i = 0; i < at.rows; ++i) sum = hn::Add(sum, hn::LoadU(d, X + i * at.lanes + lane));
    const auto mean = hn::Mul(sum, share);
    for (Index i = 0; i < at.rows; ++i) {
      const auto apart = hn::Sub(hn::LoadU(d, X + i * at.lanes + lane), mean);
      squares = hn::MulAdd(apart, apart, squares);
    }
    const auto r = hn::Div(hn::Set(d, Real{1}), hn::Sqrt(hn::MulAdd(squares, share, hn::Set(d, epsilon))));
    for (Index i = 0; i < at.rows; ++i) {
      const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, X + i * at.lanes + lane), mean), r);
      hn::StoreU(hn::MulAdd(normal, hn::Set(d, gamma[i]), hn::Set(d, beta[i])), d, Y + i * at.lanes + lane);
    }
    hn::StoreU(mean, d, statistics + lane);
    hn::StoreU(r, d, statistics + at.lanes + lane);
  });
}

void LayerNormBackward(const Rows& at, const Real* X, const Real* gamma, const Real* statistics, const Real* dY,
                       Real* dX, bool add, Real* dgamma, Real* dbeta) {
  for_each_vector(at.lanes, [&](auto d, Index lane) HWY_ATTR {
    const auto share = hn::Set(d, 1 / static_cast<Real>(at.rows));
    const auto mean = hn::LoadU(d, statistics + lane), r = hn::LoadU(d, statistics + at.lanes + lane);
    const Index valid = HWY_MIN(HWY_MAX(at.valid - lane, 0), static_cast<Index>(hn::Lanes(d)));
    const auto live = hn::FirstN(d, static_cast<std::size_t>(valid));
    auto sum = hn::Zero(d), products = hn::Zero(d);  // over the rows, of g and of g x^
    for (Index i = 0; i < at.rows; ++i) {
      const auto dy = hn::LoadU(d, dY + i * at.lanes + lane);
      const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, X + i * at.lanes + lane), mean), r);
      const auto g = hn::Mul(dy, hn::Set(d, gamma[i]));
      sum = hn::Add(sum, g);
      products = hn::MulAdd(g, normal, products);
      if (valid == 0) continue;
      dgamma[i] += hn::GetLane(hn::SumOfLanes(d, hn::IfThenElseZero(live, hn::Mul(dy, normal))));
      dbeta[i] += hn::GetLane(hn::SumOfLanes(d, hn::IfThenElseZero(live, dy)));
    }
    if (!dX) return;
    const auto a = hn::Mul(sum, share), b = hn::Mul(products, share);
    for (Index i = 0; i < at.rows; ++i) {
      const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, X + i * at.lanes + lane), mean), r);
      const auto g = hn::Mul(hn::LoadU(d, dY + i * at.lanes + lane), hn::Set(d, gamma[i]));
      const auto dx = hn::Mul(r, hn::Sub(hn::Sub(g, a), hn::Mul(normal, b)));
      Real* to = dX + i * at.lanes + lane;
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to), dx) : dx, d, to);
    }
  });
}

// --- softmax ---------------------------------------------------------------------------------------------------------

void Softmax(Real* S, Index rows, Index lanes) {
  for_each_vector(lanes, [&](auto d, Index lane) HWY_ATTR {
    auto highest = hn::LoadU(d, S + lane);
    for (Index i = 1; i < rows; ++i) highest = hn::Max(highest, hn::LoadU(d, S + i * lanes + lane));
    auto sum = hn::Zero(d);
    for (Index i = 0; i < rows; ++i) {
      const auto below = hn::Sub(hn::LoadU(d, S + i * lanes + lane), highest);
      const auto e = hn::Exp(d, hn::Max(below, hn::Set(d, Real{-80})));
      const auto p = hn::IfThenElse(hn::IsNaN(below), below, e);  // Max might drop it
      hn::StoreU(p, d, S + i * lanes + lane);
      sum = hn::Add(sum, p);
    }
    const auto share = hn::Div(hn::Set(d, Real{1}), sum);
    for (Index i = 0; i < rows; ++i)
      hn::StoreU(hn::Mul(hn::LoadU(d, S + i * lanes + lane), share), d, S + i * lanes + lane);
  });
}

void SoftmaxBackward(const Real* P, Real* dP, Index rows, Index lanes, Real scale) {
  for_each_vector(lanes, [&](auto d, Index lane) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (Index i = 0; i < rows; ++i)
      sum = hn::MulAdd(hn::LoadU(d, P + i * lanes + lane), hn::LoadU(d, dP + i * lanes + lane), sum);
    const auto factor = hn::Set(d, scale);
    for (Index i = 0; i < rows; ++i) {
      const auto p = hn::Mul(hn::LoadU(d, P + i * lanes + lane), factor);
      hn::StoreU(hn::Mul(p, hn::Sub(hn::LoadU(d, dP + i * lanes + lane), sum)), d, dP + i * lanes + lane);
    }
  });
}

// --- products of activations -----------------------------------------------------------------------------------------

// Four sums at once: they share what is loaded of a.
void LaneDots(const Vectors& of, const Real* a, const Real* B, Real scale, Real* s) {
  for_each_vector(of.lanes, [&](auto d, Index lane) HWY_ATTR {
    const auto factor = hn::Set(d, scale);
    Index n = 0;
    for (; n + 4 <= of.count; n += 4) {
      const Real* b = B + n * of.step + lane;
      auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
      for (Index j = 0; j < of.length; ++j, b += of.lanes) {
        const auto x = hn::LoadU(d, a + j * of.lanes + lane);
        s0 = hn::MulAdd(x, hn::LoadU(d, b), s0);
        s1 = hn::MulAdd(x, hn::LoadU(d, b + of.step), s1);
        s2 = hn::MulAdd(x, hn::LoadU(d, b + 2 * of.step), s2);
        s3 = hn::MulAdd(x, hn::LoadU(d, b + 3 * of.step), s3);
      }
      Real* to = s + n * of.lanes + lane;
      hn::StoreU(hn::Mul(s0, factor), d, to);
      hn::StoreU(hn::Mul(s1, factor), d, to + of.lanes);
      hn::StoreU(hn::Mul(s2, factor), d, to + 2 * of.lanes);
      hn::StoreU(hn::Mul(s3, factor), d, to + 3 * of.lanes);
    }
    for (; n < of.count; ++n) {
      auto sum = hn::Zero(d);
      for (Index j = 0; j < of.length; ++j)
        sum =
            hn::MulAdd(hn::LoadU(d, a + j * of.lanes + lane), hn::LoadU(d, B + n * of.step + j * of.lanes + lane), sum);
      hn::StoreU(hn::Mul(sum, factor), d, s + n * of.lanes + lane);
    }
  });
}

// Four rows of y at once: they share what is loaded of p.
void LaneMix(const Vectors& of, const Real* p, const Real* B, Real* y) {
  for_each_vector(of.lanes, [&](auto d, Index lane) HWY_ATTR {
    Index j = 0;
    for (; j + 4 <= of.length; j += 4) {
      const Real* b = B + j * of.lanes + lane;
      auto y0 = hn::Zero(d), y1 = y0, y2 = y0, y3 = y0;
      for (Index n = 0; n < of.count; ++n, b += of.step) {
        const auto x = hn::LoadU(d, p + n * of.lanes + lane);
        y0 = hn::MulAdd(x, hn::LoadU(d, b), y0);
        y1 = hn::MulAdd(x, hn::LoadU(d, b + of.lanes), y1);
        y2 = hn::MulAdd(x, hn::LoadU(d, b + 2 * of.lanes), y2);
        y3 = hn::MulAdd(x, hn::LoadU(d, b + 3 * of.lanes), y3);
      }
      Real* to = y + j * of.lanes + lane;
      hn::StoreU(y0, d, to);
      hn::StoreU(y1, d, to + of.lanes);
      hn::StoreU(y2, d, to + 2 * of.lanes);
      hn::StoreU(y3, d, to + 3 * of.lanes);
    }
    for (; j < of.length; ++j) {
      auto sum = hn::Zero(d);
      for (Index n = 0; n < of.count; ++n)
        sum =
            hn::MulAdd(hn::LoadU(d, p + n * of.lanes + lane), hn::LoadU(d, B + n * of.step + j * of.lanes + lane), sum);
      hn::StoreU(sum, d, y + j * of.lanes + lane);
    }
  });
}

void LaneSpread(const Vectors& of, const Real* p, const Real* a, Real* B) {
  for_each_vector(of.lanes, [&](auto d, Index lane) HWY_ATTR {
    for (Index n = 0; n < of.count; ++n) {
      const auto x = hn::LoadU(d, p + n * of.lanes + lane);
      Real* b = B + n * of.step + lane;
      for (Index j = 0; j < of.length; ++j, b += of.lanes)
        hn::StoreU(hn::MulAdd(x, hn::LoadU(d, a + j * of.lanes + lane), hn::LoadU(d, b)), d, b);
    }
  });
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(LayerNorm);
HWY_EXPORT(LayerNormBackward);
HWY_EXPORT(Softmax);
HWY_EXPORT(SoftmaxBackward);
HWY_EXPORT(LaneDots);
HWY_EXPORT(LaneMix);
HWY_EXPORT(LaneSpread);

void layer_norm(const Rows& at, const Real* X, const Real* gamma, const Real* beta, Real epsilon, Real* statistics,
                Real* Y) {
  HWY_DYNAMIC_DISPATCH(LayerNorm)(at, X, gamma, beta, epsilon, statistics, Y);
}

void layer_norm_backward(const Rows& at, const Real* X, const Real* gamma, const Real* statistics, const Real* dY,
                         Real* dX, bool add, Real* dgamma, Real* dbeta) {
  HWY_DYNAMIC_DISPATCH(LayerNormBackward)(at, X, gamma, statistics, dY, dX, add, dgamma, dbeta);
}

void softmax(Real* S, Index rows, Index lanes) {
  HWY_DYNAMIC_DISPATCH(Softmax)(S, rows, lanes);
}

void softmax_backward(const Real* P, Real* dP, Index rows, Index lanes, Real scale) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackward)(P, dP, rows, lanes, scale);
}

void lane_dots(const Vectors& of, const Real* a, const Real* B, Real scale, Real* s) {
  HWY_DYNAMIC_DISPATCH(LaneDots)(of, a, B, scale, s);
}

void lane_mix(const Vectors& of, const Real* p, const Real* B, Real* y) {
  HWY_DYNAMIC_DISPATCH(LaneMix)(of, p, B, y);
}

void lane_spread(const Vectors& of, const Real* p, const Real* a, Real* B) {
  HWY_DYNAMIC_DISPATCH(LaneSpread)(of, p, a, B);
}
}  // namespace espalier::kernels
#endif
