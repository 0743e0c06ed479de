// The transposed convolution: what a convolution does on its way back, done forward (Dumoulin & Visin, "A guide to
// convolution arithmetic for deep learning", 2016). A stride makes images larger by its factor.
//
//   Z[o, i S - P + k, j S - P + l] += sum over c of W[c, o, k, l] X[c, i, j]          Y = f(Z + b)
//
// W: [in, out / groups * taps], as PyTorch lays it out: the matrix of the convolution that would make X of Y. So its
// three products are that convolution's, with the roles of X and dY exchanged:
//
//   Z = convolve_transposed(W, X)      dX = convolve(W, dZ)      dW = convolve_outer(X, dZ)
//
// A row of W is all that an input channel says. Initialisers take the length of a row for fan_in, as PyTorch does here.
#pragma once

#include "espalier/core/window.h"
#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

// [out, (H - 1) S - 2 P + K + output_padding, ...] for x: [in, H, W]. Throws UsageError, "[conv_transpose2d] layer:
// ...", with the shapes if they do not fit.
Shape transposed_shape(const Window& window, const Shape& x, Index out, Index output_padding, const std::string& layer);

// x: [in, H, W]   W: [in, out / groups * taps]   b: [out, 1] or null   ->   [out, H', W']
// output_padding < stride: lines and columns more at the lower and right edge, which a convolution of this stride would
// round away.
Var conv_transpose2d(const Var& x, const Parameter& W, const Parameter* b, const Window& window,
                     Index output_padding = 0, Activation f = Activation::none, Halo halo = {});

struct ConvTranspose2dOptions {
  std::string name = "conv_transpose2d";
  Index in = 0, out = 0;  // channels
  Window window = {.kernel_height = 4, .kernel_width = 4, .stride = 2, .padding_height = 1, .padding_width = 1};
  Index output_padding = 0;
  Activation activation = Activation::none;
  bool bias = true;
  Initialiser initialiser = Initialiser::kaiming;
  PatternPtr pattern = nullptr;  // if given, the layer is born csr
};

class ConvTranspose2d final : public Module {
 public:
  ConvTranspose2d(const ConvTranspose2dOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }
  Halo input_halo() const override;
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  std::string name_;
  Window window_;
  Index output_padding_;
  Activation activation_;
  Parameter weight_;
  std::unique_ptr<Parameter> bias_;
  Halo halo_;
};

}  // namespace espalier
