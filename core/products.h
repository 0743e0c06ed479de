// The three products. Everything a sparse layer does is these; only they (and Parameter and the file writer) know how W
// is stored.
//
//   Y  = f(W X + b)        multiply               W: [out, in]   X: [in, lanes]   Y: [out, lanes]
//   dX = W' dY             multiply_transposed
//   dW = sum dY X'         outer                  on W's pattern, over the tiles of a batch, in their order
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "espalier/core/activation.h"
#include "espalier/core/parameter.h"
#include "espalier/core/tensor.h"
#include "espalier/core/window.h"

namespace espalier {

enum class Write { overwrite, add };

// What happens to the rows of Y of a block before the next block is begun: they are still in L1 or L2.
struct Epilogue {
  const Parameter* bias = nullptr;  // [out, 1], dense
  Activation activation = Activation::none;
};

// Y = f(W X + b), or Y += W X (an epilogue is then refused).  X, Y without a halo.
void multiply(const Parameter& W, const Tensor& X, Tensor& Y, Epilogue epilogue = {}, Write write = Write::overwrite);

// dX = W' dY  or  dX += W' dY
void multiply_transposed(const Parameter& W, const Tensor& dY, Tensor& dX, Write write = Write::overwrite);

// One tile's share of a weight gradient.
struct OuterPair {
  const Tensor* dY;  // [out, lanes]
  const Tensor* X;   // [in, lanes]
};
// G = sum over pairs of dY X' over valid lanes, for the weights of one row block, in the order of W's arrays. In masked
// storage G is exactly zero off the pattern.    G: [block.weights()]
void outer(const Parameter& W, std::size_t block, std::span<const OuterPair> pairs, std::span<Real> G);

// G = 0 wherever the pattern is not live.    G: [last_row - first_row, pattern.cols()]
void zero_off_pattern(const Pattern& pattern, Index first_row, Index last_row, std::span<Real> G);

// --- the same for samples that say which column of W they read -------------------------------------------------------
// X = one 1 in each lane, in row column[lane]: W X copies columns, so nothing is multiplied and no FLOP is counted.
// There is no dX.                                                        column: [lanes], each number below cols()

// Y[:, lane] = W[:, column[lane]]
void look_up(const Parameter& W, std::span<const std::uint32_t> column, Tensor& Y);
// G[:, column[lane]] += dY[:, lane] for each valid lane, for all weights in the order of W's arrays; in masked storage
// nothing is added off the pattern.    G: [as many as W.value()]
void look_up_outer(const Parameter& W, std::span<const std::uint32_t> column, const Tensor& dY, std::span<Real> G);

// --- the same three over the patches of an image ---------------------------------------------------------------------
//
//   W: [out, in / groups * taps]     X: [in, H, W, lanes]     Y: [out, H', W', lanes]
//
// core/window.h has the equations.
//
// X's halo must hold the window's padding, dY's the gradient_halo; both may be larger. Y and dX may have any.

// Some lines of the result (of Y: y in [first, last)), so that what else is to be done to them finds them in cache.
struct Lines {
  Index first = 0, last = 0;
};

// Y = f(W * X + b)
void convolve(const Parameter& W, const Window& window, const Tensor& X, Tensor& Y, Lines lines,
              Epilogue epilogue = {});
// dX = W' * dY  or  dX += W' * dY, all lines
void convolve_transposed(const Parameter& W, const Window& window, const Tensor& dY, Tensor& dX,
                         Write write = Write::overwrite);
// G += dY * X' over these lines of dY and the valid lanes, for all weights in the order of W's arrays; in masked
// storage nothing is added off the pattern.    G: [as many as W.value()]
void convolve_outer(const Parameter& W, const Window& window, const Tensor& dY, const Tensor& X, Lines lines,
                    std::span<Real> G);

// The kernels that W's products run with, for reports: "csr panels avx2", "csr streams avx3", "csr slices avx3", "dots
// avx3" ...
std::string kernel_name(const Parameter& W, Index lanes);

}  // namespace espalier
