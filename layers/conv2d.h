// The convolution: Y = pool(f(W * X + b)), dense, masked or csr.
#pragma once

#include "espalier/core/window.h"
#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"

namespace espalier {

// x: [in, H, W]   W: [out, in / groups * taps]   b: [out, 1] or null   ->   [out, H', W']
// f is fused: it runs while the pixels are in registers or L1, and is differentiated from its output.
Var conv2d(const Var& x, const Parameter& W, const Parameter* b, const Window& window, Activation f = Activation::none,
           Halo halo = {});

// The same and a 2 x 2 maximum, stride 2, over its output, which is never kept: of every four pixels only the largest
// and its place are. No activation ever falls where z grows, so f(max(z)) = max(f(z)), and f and its derivative cost a
// quarter.    ->   [out, H'/2, W'/2]
Var conv2d_max_pool(const Var& x, const Parameter& W, const Parameter* b, const Window& window,
                    Activation f = Activation::none, Halo halo = {});

struct Conv2dOptions {
  std::string name = "conv2d";
  Index in = 0, out = 0;  // channels
  Window window = {.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};
  Activation activation = Activation::none;
  bool max_pool = false;  // 2 x 2, fused; an odd last line or column is left out
  bool bias = true;
  Initialiser initialiser = Initialiser::kaiming;
  PatternPtr pattern = nullptr;  // if given, the layer is born csr
};

class Conv2d final : public Module {
 public:
  Conv2d(const Conv2dOptions& options, std::uint64_t seed);
  Var forward(const Var& x) const override;
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }
  Halo input_halo() const override { return window_.padding(); }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  std::string name_;
  Window window_;
  Activation activation_;
  bool max_pool_;
  Parameter weight_;
  std::unique_ptr<Parameter> bias_;
  Halo halo_;
};

}  // namespace espalier
