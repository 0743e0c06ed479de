#include "espalier/layers/builder.h"

#include <unistd.h>

#include <cmath>

#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"

namespace espalier {

Builder::Builder(std::string name, const ModelOptions& options)
    : name_(std::move(name)),
      options_(options),
      model_(std::make_unique<Sequential>(name_)),
      shape_(options.input),
      bytes_(std::make_shared<double>(0)),
      bytes_at_birth_(std::make_shared<double>(0)) {}

Builder& Builder::add(ModulePtr module) {
  shape_ = module->output_shape(shape_);
  model_->add(std::move(module));
  return *this;
}

Builder Builder::branch(const std::string& name) const {
  Builder part(name, options_);
  part.options_.input = part.shape_ = shape_;
  part.bytes_ = bytes_;
  part.bytes_at_birth_ = bytes_at_birth_;
  return part;
}

// --- features --------------------------------------------------------------------------------------------------------

Builder& Builder::linear(const std::string& name, Index out, Activation f, bool bias) {
  return add(std::make_unique<Linear>(LinearOptions{.name = name,
                                                    .in = shape_.features(),
                                                    .out = out,
                                                    .activation = f,
                                                    .bias = bias,
                                                    .pattern = born(name, out, shape_.features())},
                                      options_.seed));
}

Builder& Builder::hidden(const std::string& name, Index out, const HiddenOptions& hidden) {
  if (hidden.norm)
    linear(name, out, Activation::none, /*bias=*/false).batch_norm(name + ".norm", Activation::relu);
  else
    linear(name, out, Activation::relu);
  if (hidden.dropout > 0) add(std::make_unique<Dropout>(name + ".dropout", static_cast<Real>(hidden.dropout)));
  return *this;
}

Builder& Builder::batch_norm(const std::string& name, Activation f) {
  return add(
      std::make_unique<BatchNorm>(BatchNormOptions{.name = name, .channels = shape_.features(), .activation = f}));
}

Builder& Builder::tabular_block(const std::string& name, const HiddenOptions& hidden) {
  const Index width = shape_.features();
  Builder body = branch(name + ".body");
  body.batch_norm(name + ".norm", Activation::none)
      .hidden(name + ".fc1", 2 * width, hidden)
      .linear(name + ".fc2", width);
  return add(std::make_unique<Residual>(name, body.done()));
}

// --- images ----------------------------------------------------------------------------------------------------------

// Without a ReLU behind the convolution (LeNet-5), Kaiming's factor of two would grow from layer to layer.
ModulePtr Builder::convolution(const std::string& name, Index out, const Window& window, Activation f, bool max_pool,
                               bool bias) {
  require(shape_.rank() == 3, "[model] {}: expected images [C, H, W], got samples of {}", name_, shape_.text());
  return std::make_unique<Conv2d>(
      Conv2dOptions{.name = name,
                    .in = shape_[0],
                    .out = out,
                    .window = window,
                    .activation = f,
                    .max_pool = max_pool,
                    .bias = bias,
                    .initialiser = f == Activation::relu || !bias ? Initialiser::kaiming : Initialiser::xavier,
                    .pattern = born(name, out, shape_[0] / window.groups * window.taps())},
      options_.seed);
}

Builder& Builder::conv(const std::string& name, Index out, const Window& window, Activation f, bool max_pool) {
  return add(convolution(name, out, window, f, max_pool, /*bias=*/true));
}

Builder& Builder::normalised_conv(const std::string& name, Index out, const Window& window, Activation f) {
  add(convolution(name, out, window, Activation::none, /*max_pool=*/false, /*bias=*/false));
  return add(std::make_unique<BatchNorm>(BatchNormOptions{.name = name + ".norm", .channels = out, .activation = f}));
}

Builder& Builder::max_pool(const std::string& name) {
  return add(std::make_unique<MaxPool>(PoolOptions{.name = name}));
}

Builder& Builder::global_average_pool() {
  return add(std::make_unique<GlobalAveragePool>());
}

Builder& Builder::residual_block(const std::string& name, Index out, Index stride) {
  Window first = three_by_three, projection{.stride = stride};
  first.stride = stride;
  Builder body = branch(name + ".body"), shortcut = branch(name + ".shortcut");
  body.normalised_conv(name + ".conv1", out, first, Activation::relu)
      .normalised_conv(name + ".conv2", out, three_by_three, Activation::none);
  const bool same = stride == 1 && shape_[0] == out;
  if (!same) shortcut.normalised_conv(name + ".projection", out, projection, Activation::none);
  return add(std::make_unique<Residual>(name, body.done(), same ? nullptr : shortcut.done(), Activation::relu));
}

// --- sequences -------------------------------------------------------------------------------------------------------

void Builder::require_steps() const {
  require(shape_.rank() == 2, "[model] {}: expected sequences [steps, features], got samples of {}", name_,
          shape_.text());
}

Builder& Builder::conv1d(const std::string& name, Index out, Index kernel, Index stride) {
  require_steps();
  return add(
      std::make_unique<Conv1d>(Conv1dOptions{.name = name,
                                             .in = shape_[1],
                                             .out = out,
                                             .window = {.kernel = kernel, .stride = stride, .padding = kernel / 2},
                                             .activation = Activation::relu,
                                             .pattern = born(name, out, shape_[1] * kernel)},
                               options_.seed));
}

Builder& Builder::gru(const std::string& name, Index units) {
  require_steps();
  return add(std::make_unique<Gru>(GruOptions{.name = name,
                                              .in = shape_[1],
                                              .units = units,
                                              .input_pattern = born(name + ".input", 3 * units, shape_[1]),
                                              .hidden_pattern = born(name + ".hidden", 3 * units, units)},
                                   options_.seed));
}

Builder& Builder::mean_over_time() {
  return add(std::make_unique<MeanOverTime>());
}

// --- memory ----------------------------------------------------------------------------------------------------------

// Per weight: value, one optimizer slot and, if sparse, column, transposed column and slot number. Per row and column,
// if sparse: where it begins.
void Builder::require_memory(double rows, double cols) {
  const bool sparse = options_.density < 1;
  *bytes_ += rows * cols * options_.density * (sparse ? 24 : 8) + (sparse ? (rows + cols) * 8 : 0);
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  require(*bytes_ < memory,
          "[model] {}: expected a model that fits into this machine's {:.1f} GB, got one that needs {:.1f} GB", name_,
          memory * 1e-9, *bytes_ * 1e-9);
}

void Builder::require_bytes_at_birth(double bytes) {
  *bytes_at_birth_ += bytes;
  require(*bytes_at_birth_ <= options_.most_bytes_at_birth,
          "[model] {}: expected a model that takes at most {:.0f} MB besides its weights, got a larger one", name_,
          options_.most_bytes_at_birth * 1e-6);
}

// Per row: where it begins, and of each unit a bias, a scale, moments; while a file is read, all of it a second time.
// Per matrix: what describes it.
PatternPtr Builder::born(const std::string& name, Index rows, Index cols) {
  constexpr double bytes_of_row = 64, bytes_of_matrix = 2048;
  require_bytes_at_birth(bytes_of_matrix + bytes_of_row * static_cast<double>(rows));
  require_memory(static_cast<double>(rows), static_cast<double>(cols));
  if (options_.density >= 1) return nullptr;
  const auto live = std::llround(options_.density * static_cast<double>(rows) * static_cast<double>(cols));
  return Pattern::random(rows, cols, std::max<Index>(live, 1), Random(options_.seed, "born-sparse/" + name));
}

}  // namespace espalier
