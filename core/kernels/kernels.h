// The kernels under the three products: plain single-threaded functions over rows of lanes. They assume what the
// products have checked. Each is compiled for several SIMD targets; the best one this machine has is chosen at run
// time.
//
// A matrix of activations is a pointer and a stride: row i starts at X + i * stride and is `lanes` long.
// Every accumulating kernel adds to Y; overwriting is begin_rows (zero or bias) first.
#pragma once

#include "espalier/core/kernels/dense.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/kernels/gru.h"
#include "espalier/core/kernels/lanewise.h"
#include "espalier/core/kernels/normalise.h"
#include "espalier/core/kernels/planes.h"
#include "espalier/core/kernels/pooling.h"
#include "espalier/core/kernels/sparse.h"
#include "espalier/core/kernels/targets.h"
#include "espalier/core/kernels/window.h"
