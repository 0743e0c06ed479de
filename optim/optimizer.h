// Optimizers: from a gradient to an update, one row block at a time.
//
// An optimizer is a map over weights: position i of the gradient, the value and the slots mean the same weight,
// whatever the storage. Its one duty towards sparsity: a weight that is 0 with zero slots and gets a zero gradient
// stays exactly 0 (masked storage relies on it; tests/optim/optimizer_test.cpp asks it of every optimizer in the
// table).
#pragma once

#include <memory>
#include <span>
#include <string>

#include "espalier/core/parameter.h"

namespace espalier {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Gives W the slots that update() needs; those it has already keep their contents.
  virtual void prepare(Parameter& W) const = 0;
  // W's weights in `block` move against G. rate: the learning rate of this step; step counts from 1. Re-entrant for
  // different blocks.    G: [block.weights()], in the order of W's arrays
  virtual void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) const = 0;
  virtual std::string name() const = 0;
};

struct OptimizerOptions {
  std::string name = "sgd";                           // sgd, nesterov, adam, adamw
  double momentum = 0.9;                              // sgd, nesterov
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // adam, adamw
  double weight_decay = 0;                            // on weights only, not on biases; adamw: decoupled
};

// Throws UsageError for unknown names and impossible numbers.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options);

// The part of an array that belongs to a row block.
template <typename T>
std::span<T> of_block(std::span<T> array, const RowBlock& block) {
  return array.subspan(static_cast<std::size_t>(block.first), static_cast<std::size_t>(block.weights()));
}

}  // namespace espalier
