#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "optim/sgd.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "optim/sgd.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// w, v, g: [count], v null without momentum
void SgdUpdate(const SgdOptions& o, Real* HWY_RESTRICT w, Real* HWY_RESTRICT v, const Real* HWY_RESTRICT g,
               std::size_t count, Real rate) {
  const hn::ScalableTag<Real> d;
  const std::size_t N = hn::Lanes(d);
  const auto mu = hn::Set(d, o.momentum), decay = hn::Set(d, o.weight_decay), minus_rate = hn::Set(d, -rate);
  std::size_t i = 0;
  for (; i + N <= count; i += N) {
    auto wi = hn::LoadU(d, w + i);
    const auto gi = hn::MulAdd(decay, wi, hn::LoadU(d, g + i));
    auto direction = gi;
    if (v) {
      const auto vi = hn::MulAdd(mu, hn::LoadU(d, v + i), gi);
      hn::StoreU(vi, d, v + i);
      direction = o.nesterov ? hn::MulAdd(mu, vi, gi) : vi;
    }
    hn::StoreU(hn::MulAdd(minus_rate, direction, wi), d, w + i);
  }
  for (; i < count; ++i) {
    const Real gi = g[i] + o.weight_decay * w[i];
    Real direction = gi;
    if (v) {
      v[i] = o.momentum * v[i] + gi;
      direction = o.nesterov ? gi + o.momentum * v[i] : v[i];
    }
    w[i] -= rate * direction;
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(SgdUpdate);

void Sgd::prepare(Parameter& W) const {
  if (options_.momentum > 0) W.add_slot("momentum");
}

void Sgd::update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index) const {
  SgdOptions options = options_;
  if (!W.prunable()) options.weight_decay = 0;
  Real* v = options.momentum > 0 ? of_block(W.slot("momentum"), block).data() : nullptr;
  HWY_DYNAMIC_DISPATCH(SgdUpdate)(options, of_block(W.value(), block).data(), v, G.data(), G.size(), rate);
}
}  // namespace espalier
#endif
