// Pooling, a channel at a time: maxima and means over windows, means over all pixels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/pooling.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/planes-inl.h"
#include "espalier/core/kernels/pooling.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Single = hn::CappedTag<Real, 1>;  // a vector of one number: the same code where there is one lane

// A plane of places in a window, a byte each, as numbers: a window has few pixels.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void store_places(D, V place, std::uint8_t* to) {
  const hn::Rebind<std::int32_t, D> ints;
  const hn::Rebind<std::uint8_t, D> bytes;
  if constexpr (sizeof(hn::TFromV<V>) == sizeof(std::int32_t))
    hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(ints, place)), bytes, to);
  else
    hn::StoreU(hn::DemoteTo(bytes, hn::DemoteTo(ints, place)), bytes, to);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V load_places(D d, const std::uint8_t* from) {
  const hn::Rebind<std::int32_t, D> ints;
  const hn::Rebind<std::uint8_t, D> bytes;
  const auto place = hn::PromoteTo(ints, hn::LoadU(bytes, from));
  if constexpr (sizeof(hn::TFromV<V>) == sizeof(std::int32_t))
    return hn::ConvertTo(d, place);
  else
    return hn::PromoteTo(d, place);
}

// v takes the lanes in which it is larger, or the first NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void challenge(D d, V v, Index place, V& best, V& winner) {
  const auto wins = hn::And(hn::Eq(best, best), hn::Not(hn::Le(v, best)));
  best = hn::IfThenElse(wins, v, best);
  winner = hn::IfThenElse(wins, hn::Set(d, static_cast<Real>(place)), winner);
}

// The pixels [top, bottom) x [left, right) of a window that are not padding, counted from its corner (y, x).
struct Window {
  Index y, x, top, bottom, left, right;
};

// body(output pixel oy, ox, window). two: kernel 2, stride 2, no padding, known when this is compiled.
template <bool two, typename Body>
HWY_INLINE void for_each_window(const Windows& g, Body body) {
  for (Index oy = 0; oy < g.out_height; ++oy)
    for (Index ox = 0; ox < g.out_width; ++ox) {
      if constexpr (two) {
        body(oy, ox, Window{2 * oy, 2 * ox, 0, 2, 0, 2});
      } else {
        const Index y = oy * g.stride - g.padding, x = ox * g.stride - g.padding;
        body(oy, ox,
             Window{y, x, HWY_MAX(-y, 0), HWY_MIN(g.kernel, g.height - y), HWY_MAX(-x, 0),
                    HWY_MIN(g.kernel, g.width - x)});
      }
    }
}

template <bool two, class D>
void max_pool_plane(D d, const Windows& g, ConstPlane X, Plane Y, std::uint8_t* winner) {
  const Index kernel = two ? 2 : g.kernel;
  for_each_window<two>(g, [&](Index oy, Index ox, const Window& w) HWY_ATTR {
    for (Index lane = 0; lane < g.lanes; lane += static_cast<Index>(hn::Lanes(d))) {
      const auto pixel = [&](Index ky, Index kx) HWY_ATTR {
        return hn::LoadU(d, X.begin + (w.y + ky) * X.pitch + (w.x + kx) * g.lanes + lane);
      };
      auto best = pixel(w.top, w.left), place = hn::Set(d, static_cast<Real>(w.top * kernel + w.left));
      for (Index ky = w.top; ky < w.bottom; ++ky)
        for (Index kx = w.left; kx < w.right; ++kx) challenge(d, pixel(ky, kx), ky * kernel + kx, best, place);
      hn::StoreU(best, d, Y.begin + oy * Y.pitch + ox * g.lanes + lane);
      if (winner) store_places(d, place, winner + (oy * g.out_width + ox) * g.lanes + lane);
    }
  });
}

// One lane, 2 x 2: N windows side by side.
void max_pool_pairs(const Windows& g, ConstPlane X, Plane Y, std::uint8_t* winner) {
  const D d;
  for (Index oy = 0; oy < g.out_height; ++oy) {
    const Real *upper = X.begin + 2 * oy * X.pitch, *lower = upper + X.pitch;
    Index ox = 0;
    for (; ox + N <= g.out_width; ox += N) {
      Vec a, b, c, e, place = hn::Zero(d);
      hn::LoadInterleaved2(d, upper + 2 * ox, a, b);
      hn::LoadInterleaved2(d, lower + 2 * ox, c, e);
      challenge(d, b, 1, a, place);
      challenge(d, c, 2, a, place);
      challenge(d, e, 3, a, place);
      hn::StoreU(a, d, Y.begin + oy * Y.pitch + ox);
      if (winner) store_places(d, place, winner + oy * g.out_width + ox);
    }
    if (ox == g.out_width) continue;
    Windows rest = g;
    rest.out_height = 1;
    rest.out_width = g.out_width - ox;
    max_pool_plane<true>(Single(), rest, {upper + 2 * ox, X.pitch}, {Y.begin + oy * Y.pitch + ox, Y.pitch},
                         winner ? winner + oy * g.out_width + ox : nullptr);
  }
}

void MaxPool(const Windows& g, ConstPlane X, Plane Y, std::uint8_t* winner) {
  const bool two = g.kernel == 2 && g.stride == 2 && g.padding == 0;
  if (g.lanes == 1)
    two ? max_pool_pairs(g, X, Y, winner) : max_pool_plane<false>(Single(), g, X, Y, winner);
  else
    two ? max_pool_plane<true>(D(), g, X, Y, winner) : max_pool_plane<false>(D(), g, X, Y, winner);
}

// The share that each pixel of a window has in dY: share(dy, place).
template <bool two, class D, typename Share>
HWY_INLINE void give_back(D d, const Windows& g, Plane dX, bool add, Share share) {
  const Index kernel = two ? 2 : g.kernel;
  for_each_window<two>(g, [&](Index oy, Index ox, const Window& w) HWY_ATTR {
    for (Index lane = 0; lane < g.lanes; lane += static_cast<Index>(hn::Lanes(d))) {
      const auto of = share((oy * g.out_width + ox) * g.lanes + lane);
      for (Index ky = w.top; ky < w.bottom; ++ky)
        for (Index kx = w.left; kx < w.right; ++kx) {
          Real* dx = dX.begin + (w.y + ky) * dX.pitch + (w.x + kx) * g.lanes + lane;
          const auto part = of(ky * kernel + kx);
          hn::StoreU(two && !add ? part : hn::Add(hn::LoadU(d, dx), part), d, dx);
        }
    }
  });
}

// The windows of `two` are disjoint, and can overwrite; others add to zeros.
template <class D, typename Share>
HWY_INLINE void give_back(D d, const Windows& g, Plane dX, bool add, Share share) {
  const bool two = g.kernel == 2 && g.stride == 2 && g.padding == 0;
  const bool covers = two && g.height == 2 * g.out_height && g.width == 2 * g.out_width;
  if (!add && !covers)
    for (Index y = 0; y < g.height; ++y)
      for (Index i = 0; i < g.width * g.lanes; ++i) dX.begin[y * dX.pitch + i] = 0;
  if (two)
    give_back<true>(d, g, dX, add, share);
  else
    give_back<false>(d, g, dX, add, share);
}

template <class D>
void max_pool_plane_backward(D d, const Windows& g, const std::uint8_t* winner, const Real* dY, Plane dX, bool add) {
  give_back(d, g, dX, add, [=](Index at) HWY_ATTR {
    const auto dy = hn::LoadU(d, dY + at), place = load_places(d, winner + at);
    return [=](Index k) HWY_ATTR { return hn::IfThenElseZero(hn::Eq(place, hn::Set(d, static_cast<Real>(k))), dy); };
  });
}

void MaxPoolBackward(const Windows& g, const std::uint8_t* winner, const Real* dY, Plane dX, bool add) {
  if (g.lanes == 1)
    max_pool_plane_backward(Single(), g, winner, dY, dX, add);
  else
    max_pool_plane_backward(D(), g, winner, dY, dX, add);
}

template <bool two, class D>
void average_pool_plane(D d, const Windows& g, ConstPlane X, Plane Y) {
  const auto share = hn::Set(d, 1 / static_cast<Real>(g.kernel * g.kernel));
  for_each_window<two>(g, [&](Index oy, Index ox, const Window& w) HWY_ATTR {
    for (Index lane = 0; lane < g.lanes; lane += static_cast<Index>(hn::Lanes(d))) {
      auto sum = hn::Zero(d);
      for (Index ky = w.top; ky < w.bottom; ++ky)
        for (Index kx = w.left; kx < w.right; ++kx)
          sum = hn::Add(sum, hn::LoadU(d, X.begin + (w.y + ky) * X.pitch + (w.x + kx) * g.lanes + lane));
      hn::StoreU(hn::Mul(sum, share), d, Y.begin + oy * Y.pitch + ox * g.lanes + lane);
    }
  });
}

void AveragePool(const Windows& g, ConstPlane X, Plane Y) {
  const bool two = g.kernel == 2 && g.stride == 2 && g.padding == 0;
  if (g.lanes == 1)
    two ? average_pool_plane<true>(Single(), g, X, Y) : average_pool_plane<false>(Single(), g, X, Y);
  else
    two ? average_pool_plane<true>(D(), g, X, Y) : average_pool_plane<false>(D(), g, X, Y);
}

template <class D>
void average_pool_plane_backward(D d, const Windows& g, const Real* dY, Plane dX, bool add) {
  const auto share = hn::Set(d, 1 / static_cast<Real>(g.kernel * g.kernel));
  give_back(d, g, dX, add, [=](Index at) HWY_ATTR {
    const auto part = hn::Mul(hn::LoadU(d, dY + at), share);
    return [=](Index) HWY_ATTR { return part; };
  });
}

void AveragePoolBackward(const Windows& g, const Real* dY, Plane dX, bool add) {
  if (g.lanes == 1)
    average_pool_plane_backward(Single(), g, dY, dX, add);
  else
    average_pool_plane_backward(D(), g, dY, dX, add);
}

// --- means over pixels -----------------------------------------------------------------------------------------------

void MeanOfPixels(const Pixels& p, ConstPlane X, Real* HWY_RESTRICT y) {
  const D d;
  const Real share = 1 / static_cast<Real>(p.lines * p.line);
  if (p.lanes == 1) {
    y[0] = static_cast<Real>(sum_of_valid({p.lines, p.line, 1, 1}, X) * static_cast<double>(share));
    return;
  }
  for (Index lane = 0; lane < p.lanes; lane += N) {
    Vec sum = hn::Zero(d);
    for (Index l = 0; l < p.lines; ++l)
      for (Index x = 0; x < p.line; ++x) sum = hn::Add(sum, hn::LoadU(d, X.begin + l * X.pitch + x * p.lanes + lane));
    hn::StoreU(hn::Mul(sum, hn::Set(d, share)), d, y + lane);
  }
}

void MeanOfPixelsBackward(const Pixels& p, const Real* HWY_RESTRICT dy, Plane dX, bool add) {
  const D d;
  const Vec share = hn::Set(d, 1 / static_cast<Real>(p.lines * p.line));
  const auto spread = [&](Vec part, Real* dx, Index n)
                          HWY_ATTR { store(add ? hn::Add(load(dx, n), part) : part, dx, n); };
  for (Index l = 0; l < p.lines; ++l) {
    Real* line = dX.begin + l * dX.pitch;
    if (p.lanes == 1) {
      const Vec part = hn::Mul(hn::Set(d, dy[0]), share);
      for_each_vector(p.line, [&](Index i, Index n) HWY_ATTR { spread(part, line + i, n); });
    } else {
      for (Index lane = 0; lane < p.lanes; lane += N) {
        const Vec part = hn::Mul(hn::LoadU(d, dy + lane), share);
        for (Index x = 0; x < p.line; ++x) spread(part, line + x * p.lanes + lane, N);
      }
    }
  }
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(MaxPool);
HWY_EXPORT(MaxPoolBackward);
HWY_EXPORT(AveragePool);
HWY_EXPORT(AveragePoolBackward);
HWY_EXPORT(MeanOfPixels);
HWY_EXPORT(MeanOfPixelsBackward);

void max_pool(const Windows& windows, ConstPlane X, Plane Y, std::uint8_t* winner) {
  HWY_DYNAMIC_DISPATCH(MaxPool)(windows, X, Y, winner);
}
void max_pool_backward(const Windows& windows, const std::uint8_t* winner, const Real* dY, Plane dX, bool add) {
  HWY_DYNAMIC_DISPATCH(MaxPoolBackward)(windows, winner, dY, dX, add);
}
void average_pool(const Windows& windows, ConstPlane X, Plane Y) {
  HWY_DYNAMIC_DISPATCH(AveragePool)(windows, X, Y);
}
void average_pool_backward(const Windows& windows, const Real* dY, Plane dX, bool add) {
  HWY_DYNAMIC_DISPATCH(AveragePoolBackward)(windows, dY, dX, add);
}
void mean_of_pixels(const Pixels& pixels, ConstPlane X, Real* y) {
  HWY_DYNAMIC_DISPATCH(MeanOfPixels)(pixels, X, y);
}
void mean_of_pixels_backward(const Pixels& pixels, const Real* dy, Plane dX, bool add) {
  HWY_DYNAMIC_DISPATCH(MeanOfPixelsBackward)(pixels, dy, dX, add);
}
}  // namespace espalier::kernels
#endif
