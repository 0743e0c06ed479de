#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/optim/sgd.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/optim/sgd.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of weights; v null without momentum.
template <typename D>
void sgd_vector(D d, const SgdOptions& o, Real* HWY_RESTRICT w, Real* HWY_RESTRICT v, const Real* HWY_RESTRICT g,
                Real rate) {
  const auto mu = hn::Set(d, o.momentum);
  const auto wi = hn::LoadU(d, w);
  const auto gi = hn::MulAdd(hn::Set(d, o.weight_decay), wi, hn::LoadU(d, g));
  auto direction = gi;
  if (v) {
    const auto vi = hn::MulAdd(mu, hn::LoadU(d, v), gi);
    hn::StoreU(vi, d, v);
    direction = o.nesterov ? hn::MulAdd(mu, vi, gi) : vi;
  }
  hn::StoreU(hn::MulAdd(hn::Set(d, -rate), direction, wi), d, w);
}

// w, v, g: [count]. The tail is computed like the rest, one at a time: a weight's bits do not depend on its place.
void SgdUpdate(const SgdOptions& o, Real* w, Real* v, const Real* g, std::size_t count, Real rate) {
  const hn::ScalableTag<Real> d;
  const hn::CappedTag<Real, 1> one;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) sgd_vector(d, o, w + i, v ? v + i : nullptr, g + i, rate);
  for (; i < count; ++i) sgd_vector(one, o, w + i, v ? v + i : nullptr, g + i, rate);
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
