// A builder of models: puts one layer after the other and keeps track of the shape in between.
//
//   Builder("lenet-5", options)                           // options.input: the first layer's input
//       .conv("conv1", 20, five_by_five, Activation::none, /*max_pool=*/true)
//       .linear("fc1", 500, Activation::relu)
//       .linear("output", options.outputs)
//       .done();
//
// Every weight matrix is drawn with options.seed and born with options.density. A matrix that would not fit into this
// machine's memory beside those before it is refused before it is allocated.
#pragma once

#include <memory>
#include <string>

#include "espalier/core/window.h"
#include "espalier/layers/model_names.h"
#include "espalier/layers/models.h"
#include "espalier/layers/sequential.h"

namespace espalier {

class Builder {
 public:
  static constexpr Window three_by_three{
      .kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};

  // name: the model's
  Builder(std::string name, const ModelOptions& options);

  // The shape of what the last layer gives.
  const Shape& shape() const { return shape_; }
  const ModelOptions& options() const { return options_; }

  // Any layer. Throws UsageError if it does not take what the last layer gives.
  Builder& add(ModulePtr module);

  // f(W x + b) of all features
  Builder& linear(const std::string& name, Index out, Activation f = Activation::none, bool bias = true);
  // relu(W x + b), or relu(norm(W x)), and dropout behind it
  Builder& hidden(const std::string& name, Index out, const HiddenOptions& hidden);
  // f(norm(x)), each feature on its own
  Builder& batch_norm(const std::string& name, Activation f);

  // Images. f(W * x + b), and a 2 x 2 maximum behind it
  Builder& conv(const std::string& name, Index out, const Window& window, Activation f = Activation::none,
                bool max_pool = false);
  // f(norm(W * x)). Normalising takes a bias away again, so there is none.
  Builder& normalised_conv(const std::string& name, Index out, const Window& window, Activation f);
  Builder& max_pool(const std::string& name);
  Builder& global_average_pool();

  // Sequences. relu(W * x + b), padded so that a stride of 1 keeps the number of steps
  Builder& conv1d(const std::string& name, Index out, Index kernel, Index stride);
  Builder& gru(const std::string& name, Index units);
  Builder& mean_over_time();

  // relu(body(x) + shortcut(x)) of two normalised 3 x 3 convolutions (He et al. 2016). The shortcut is the identity or,
  // where the shape changes, a normalised 1 x 1 convolution.
  Builder& residual_block(const std::string& name, Index out, Index stride);
  // x + fc2(hidden(norm(x))), fc1 twice as wide as x: nothing but the sum stands between two blocks.
  Builder& tabular_block(const std::string& name, const HiddenOptions& hidden);

  // A part of this model that begins with what its last layer gives, such as the body of a Residual.
  Builder branch(const std::string& name) const;

  // Refuses a matrix that would not fit into memory beside those before it, and counts it.
  void require_memory(double rows, double cols);
  // The same of what a model of any density is born with, against the options' own limit.
  void require_bytes_at_birth(double bytes);
  // The pattern that a matrix of these extents is born with; null: dense. Refuses and counts it as require_memory does.
  PatternPtr born(const std::string& name, Index rows, Index cols);

  ModulePtr done() { return std::move(model_); }

 private:
  void require_steps() const;
  ModulePtr convolution(const std::string& name, Index out, const Window& window, Activation f, bool max_pool,
                        bool bias);

  std::string name_;
  ModelOptions options_;
  std::unique_ptr<Sequential> model_;
  Shape shape_;
  std::shared_ptr<double> bytes_, bytes_at_birth_;  // of the model so far; a branch counts with its trunk
};

}  // namespace espalier
