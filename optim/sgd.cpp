#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/optim/sgd.cpp"
#include "espalier/optim/sgd.h"

#include <hwy/foreach_target.h>  // must come first: compiles this file once per SIMD target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of weights; v null without momentum.
template <typename D>
void sgd_vector(D d, const SgdStep& s, Real* HWY_RESTRICT w, Real* HWY_RESTRICT v, const Real* HWY_RESTRICT g) {
  const auto mu = hn::Set(d, s.momentum);
  const auto wi = hn::LoadU(d, w);
  const auto gi = hn::MulAdd(hn::Set(d, s.weight_decay), wi, hn::LoadU(d, g));
  auto direction = gi;
  if (v) {
    const auto vi = hn::MulAdd(mu, hn::LoadU(d, v), gi);
    hn::StoreU(vi, d, v);
    direction = s.nesterov ? hn::MulAdd(mu, vi, gi) : vi;
  }
  hn::StoreU(hn::MulAdd(hn::Set(d, -s.rate), direction, wi), d, w);
}

// w, v, g: [count]. The tail is computed like the rest, one at a time: a weight's bits do not depend on its place.
void SgdUpdate(const SgdStep& s, Real* w, Real* v, const Real* g, std::size_t count) {
  const hn::ScalableTag<Real> d;
  const hn::CappedTag<Real, 1> one;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) sgd_vector(d, s, w + i, v ? v + i : nullptr, g + i);
  for (; i < count; ++i) sgd_vector(one, s, w + i, v ? v + i : nullptr, g + i);
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
  const SgdStep s{.momentum = static_cast<Real>(options_.momentum),
                  .weight_decay = static_cast<Real>(W.prunable() ? options_.weight_decay : 0),
                  .rate = rate,
                  .nesterov = options_.nesterov};
  Real* v = options_.momentum > 0 ? of_block(W.slot("momentum"), block).data() : nullptr;
  HWY_DYNAMIC_DISPATCH(SgdUpdate)(s, of_block(W.value(), block).data(), v, G.data(), G.size());
}

namespace {

OptimizerEntry entry(const char* name, const char* line, bool nesterov) {
  return {.name = name,
          .line = line,
          .defaults = {.name = name},
          .rate_follows_model = true,
          .make = [nesterov](const OptimizerOptions& o) {
            return std::make_unique<Sgd>(
                SgdOptions{.momentum = o.momentum, .weight_decay = o.weight_decay, .nesterov = nesterov});
          }};
}

}  // namespace

OptimizerEntry sgd_entry() {
  return entry("sgd", "stochastic gradient descent with momentum (Polyak 1964)", /*nesterov=*/false);
}
OptimizerEntry nesterov_entry() {
  return entry("nesterov", "the same, looking ahead along the momentum (Nesterov 1983)", /*nesterov=*/true);
}
}  // namespace espalier
#endif
