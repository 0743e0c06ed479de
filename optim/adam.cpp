#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/optim/adam.cpp"
#include "espalier/optim/adam.h"

#include <hwy/foreach_target.h>  // must come first: compiles this file once per SIMD target
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename D>
void adam_vector(D d, const AdamStep& s, Real* HWY_RESTRICT w, Real* HWY_RESTRICT m, Real* HWY_RESTRICT v,
                 const Real* HWY_RESTRICT g) {
  const auto wi = hn::LoadU(d, w);
  const auto gi = hn::MulAdd(hn::Set(d, s.coupled_decay), wi, hn::LoadU(d, g));
  const auto b1 = hn::Set(d, s.beta1), b2 = hn::Set(d, s.beta2);
  const auto mi = hn::MulAdd(b1, hn::LoadU(d, m), hn::Mul(hn::Set(d, s.one_minus_beta1), gi));
  const auto vi = hn::MulAdd(b2, hn::LoadU(d, v), hn::Mul(hn::Set(d, s.one_minus_beta2), hn::Mul(gi, gi)));
  hn::StoreU(mi, d, m);
  hn::StoreU(vi, d, v);
  const auto root = hn::MulAdd(hn::Sqrt(vi), hn::Set(d, s.corrected_root), hn::Set(d, s.epsilon));
  const auto move = hn::Div(hn::Mul(hn::Set(d, s.corrected_rate), mi), root);
  hn::StoreU(hn::Sub(hn::Mul(wi, hn::Set(d, s.decoupled_factor)), move), d, w);
}

// w, m, v, g: [count]
void AdamUpdate(const AdamStep& s, Real* w, Real* m, Real* v, const Real* g, std::size_t count) {
  const hn::ScalableTag<Real> d;
  const hn::CappedTag<Real, 1> one;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) adam_vector(d, s, w + i, m + i, v + i, g + i);
  for (; i < count; ++i) adam_vector(one, s, w + i, m + i, v + i, g + i);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(AdamUpdate);

void Adam::prepare(Parameter& W) const {
  W.add_slot("adam_m");
  W.add_slot("adam_v");
}

void Adam::update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) const {
  const double t = static_cast<double>(step), r = static_cast<double>(rate);
  const double decay = W.prunable() ? options_.weight_decay : 0;
  const AdamStep s{.beta1 = static_cast<Real>(options_.beta1),
                   .beta2 = static_cast<Real>(options_.beta2),
                   .one_minus_beta1 = static_cast<Real>(1 - options_.beta1),
                   .one_minus_beta2 = static_cast<Real>(1 - options_.beta2),
                   .epsilon = static_cast<Real>(options_.epsilon),
                   .coupled_decay = static_cast<Real>(options_.decoupled ? 0 : decay),
                   .decoupled_factor = static_cast<Real>(options_.decoupled ? 1 - r * decay : 1),
                   .corrected_rate = static_cast<Real>(r / (1 - std::pow(options_.beta1, t))),
                   .corrected_root = static_cast<Real>(1 / std::sqrt(1 - std::pow(options_.beta2, t)))};
  HWY_DYNAMIC_DISPATCH(AdamUpdate)
  (s, of_block(W.value(), block).data(), of_block(W.slot("adam_m"), block).data(),
   of_block(W.slot("adam_v"), block).data(), G.data(), G.size());
}

namespace {

OptimizerEntry entry(const char* name, const char* line, bool decoupled) {
  return {.name = name,
          .line = line,
          .defaults = {.name = name},
          .rate = 0.001,
          .make = [decoupled](const OptimizerOptions& o) {
            return std::make_unique<Adam>(AdamOptions{.beta1 = o.beta1,
                                                      .beta2 = o.beta2,
                                                      .epsilon = o.epsilon,
                                                      .weight_decay = o.weight_decay,
                                                      .decoupled = decoupled});
          }};
}

}  // namespace

OptimizerEntry adam_entry() {
  return entry("adam", "steps of equal size for all weights, by running averages of g and g^2 (Kingma & Ba 2015)",
               /*decoupled=*/false);
}
OptimizerEntry adamw_entry() {
  return entry("adamw", "Adam with weight decay beside the averages, not in them (Loshchilov & Hutter 2019)",
               /*decoupled=*/true);
}
}  // namespace espalier
#endif
