// Runs the kernels of one SIMD target for as long as it lives.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/core/kernels/targets.h"

namespace espalier::testing {

class ForcedTarget {
 public:
  explicit ForcedTarget(std::int64_t target) { kernels::force_target(target); }
  ~ForcedTarget() { kernels::force_target(0); }
  ForcedTarget(const ForcedTarget&) = delete;
  ForcedTarget& operator=(const ForcedTarget&) = delete;
};

inline std::vector<std::int64_t> targets() {
  const auto available = kernels::available_targets();
  return {available.begin(), available.end()};
}

}  // namespace espalier::testing
