// The SIMD targets that kernels are compiled for, and what this machine can do at most.
#pragma once

#include <cstdint>
#include <span>

#include "espalier/core/real.h"

namespace espalier::kernels {

// Executes fused multiply-adds on registers and returns how many FLOPs that were: the ruler for all other kernels.
double fma_burst(Index rounds);

// Names of the SIMD targets this machine can run, best first; forcing one is for tests.
std::span<const std::int64_t> available_targets();
const char* target_name(std::int64_t target);
void force_target(std::int64_t target);  // 0: back to the best

}  // namespace espalier::kernels
