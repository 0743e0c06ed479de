// Normalisation, and activations that are followed by a sum, one channel at a time.
#pragma once

#include "espalier/core/activation.h"
#include "espalier/core/kernels/planes.h"

namespace espalier::kernels {

// Over the valid lanes of all pixels; the variance is that of the values themselves (divided by n, not n - 1).
struct Moments {
  double mean, variance;
};
Moments moments(const Pixels& pixels, ConstPlane X);
// Y = f((X - mean) scale + shift)
void normalise(const Pixels& pixels, ConstPlane X, Real mean, Real scale, Real shift, Activation f, Plane Y);
// With dZ = dY f'(Y), over the valid lanes of all pixels:  sum of dZ, sum of dZ (X - mean)          dY: without halo
struct NormaliseSums {
  double dZ, dZ_X;
};
NormaliseSums normalise_sums(const Pixels& pixels, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY);
// dX = or +=  a dZ + b (X - mean) + c
void normalise_backward(const Pixels& pixels, ConstPlane X, Real mean, Activation f, ConstPlane Y, ConstPlane dY,
                        Real a, Real b, Real c, Plane dX, bool add);

// dY *= f'(Y); returns the sum of dY over the valid lanes of all pixels
double activate_backward(Activation f, const Pixels& pixels, ConstPlane Y, Plane dY);

}  // namespace espalier::kernels
