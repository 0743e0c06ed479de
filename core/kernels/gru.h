// One step of a recurrent layer, besides its products; layers/gru.h has the equations.
#pragma once

#include "espalier/core/real.h"

namespace espalier::kernels {

// Numbers contiguous.
// A: [3, count], what the input adds to r, z, n      G: [4, count], the first three U h + c  ->  r, z, m, n
// h_next = (1 - z) n + z h                            h, h_next: [count]
void gru_step(const Real* A, Real* G, const Real* h, Real* h_next, Index count);
// dA = the gradient of A; the first three of G become that of U h + c; dh += z dh_next unless dh is null (step 0)
void gru_step_backward(Real* G, const Real* h, const Real* dh_next, Real* dA, Real* dh, Index count);

}  // namespace espalier::kernels
