// Pooling: an image becomes smaller, channel by channel.
#pragma once

#include "espalier/layers/module.h"

namespace espalier {

struct PoolOptions {
  std::string name = "pool";
  Index kernel = 2;   // windows of kernel x kernel pixels, at most 15 x 15: a winner's place is a byte
  Index stride = 0;   // 0: kernel, so that windows do not overlap
  Index padding = 0;  // pixels on each side, at most half a kernel: every window then holds a pixel
};

// [C, H, W] -> [C, H', W'] with H' = (H + 2 padding - kernel) / stride + 1, rounded down: what does not fill a window
// at the lower or right edge is left out. Throws UsageError if nothing is left.
Shape pooled_shape(const Shape& input, const PoolOptions& options);

// The largest number of each window. Padding never wins; of equal ones the first does (in row-major order), and it
// alone gets the gradient; NaN stays NaN.
Var max_pool(const Var& x, const PoolOptions& options, Halo halo = {});
// Sum / kernel^2: padding counts as zeros (PyTorch's count_include_pad, its default).
Var average_pool(const Var& x, const PoolOptions& options, Halo halo = {});
// The mean over all pixels: [C, H, W] -> [C]         Lin et al., "Network in network", 2014
Var global_average_pool(const Var& x);

class MaxPool final : public Module {
 public:
  explicit MaxPool(PoolOptions options);
  Var forward(const Var& x) const override { return max_pool(x, options_, halo_); }
  Shape output_shape(const Shape& input) const override { return pooled_shape(input, options_); }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return options_.name; }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  PoolOptions options_;
  Halo halo_;
};

class AveragePool final : public Module {
 public:
  explicit AveragePool(PoolOptions options);
  Var forward(const Var& x) const override { return average_pool(x, options_, halo_); }
  Shape output_shape(const Shape& input) const override { return pooled_shape(input, options_); }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return options_.name; }
  void set_output_halo(Halo halo) override { halo_ = halo; }

 private:
  PoolOptions options_;
  Halo halo_;
};

class GlobalAveragePool final : public Module {
 public:
  explicit GlobalAveragePool(std::string name = "global_average_pool") : name_(std::move(name)) {}
  Var forward(const Var& x) const override { return global_average_pool(x); }
  Shape output_shape(const Shape& input) const override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  std::string name() const override { return name_; }

 private:
  std::string name_;
};

}  // namespace espalier
