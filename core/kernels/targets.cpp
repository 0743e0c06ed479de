// The ruler: how many floating point operations per second can this core execute at most?
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/targets.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/targets.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent chains of fused multiply-adds on registers: enough to fill the pipelines of any core.
double FmaBurst(Index rounds, Real* sink) {
  const hn::ScalableTag<Real> d;
  constexpr int chains = 12;
  hn::Vec<decltype(d)> sum[chains];
  for (int i = 0; i < chains; ++i) sum[i] = hn::Set(d, static_cast<Real>(i));
  const auto a = hn::Set(d, sink[0]), b = hn::Set(d, sink[1]);
  for (Index r = 0; r < rounds; ++r)
    for (int i = 0; i < chains; ++i) sum[i] = hn::MulAdd(sum[i], a, b);
  for (int i = 1; i < chains; ++i) sum[0] = hn::Add(sum[0], sum[i]);
  sink[2] = hn::GetLane(hn::SumOfLanes(d, sum[0]));
  return 2.0 * static_cast<double>(rounds) * chains * static_cast<double>(hn::Lanes(d));
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(FmaBurst);
double fma_burst(Index rounds) {
  Real sink[3] = {Real{0.5}, Real{0.25}, 0};
  return HWY_DYNAMIC_DISPATCH(FmaBurst)(rounds, sink);
}

std::span<const std::int64_t> available_targets() {
  static const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  return targets;
}
const char* target_name(std::int64_t target) {
  return hwy::TargetName(target);
}
void force_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
}

}  // namespace espalier::kernels
#endif
