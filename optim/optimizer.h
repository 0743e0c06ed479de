// Optimizers: from a gradient to an update, one row block at a time.
//
// An optimizer is a map over weights: position i of the gradient, the value and the slots mean the same weight,
// whatever the storage. It has one duty towards sparsity: a weight that is 0, has slots that are 0 and gets a gradient
// of 0 stays exactly 0. Masked storage relies on it, and tests/optim/optimizer_test.cpp asks it of every optimizer in
// the catalogue.
//
// To add one: a header and a source beside sgd.h, its line in optim/optimizer.cpp, a row in the test. From outside the
// tree: optimizers().add({...}).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "espalier/core/catalogue.h"
#include "espalier/core/parameter.h"
#include "espalier/layers/models.h"

namespace espalier {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Gives W the slots that update() needs. Slots that W has already keep their contents.
  virtual void prepare(Parameter& W) const = 0;
  // Moves W's weights in `block` against G. rate: the learning rate of this step; step: counted from 1. Re-entrant for
  // different blocks.    G: [block.weights()], in the order of W's arrays
  virtual void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index step) const = 0;
  virtual std::string name() const = 0;
};

// Which optimizer, and its numbers. An optimizer ignores the numbers that it does not have.
struct OptimizerOptions {
  std::string name = "sgd";                           // of an entry of optimizers()
  double momentum = 0.9;                              // sgd, nesterov
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // adam, adamw
  double weight_decay = 0;                            // of weights, not of biases; adamw: decoupled
};

struct OptimizerEntry {
  std::string name, line;           // the name to type; one line for people
  OptimizerOptions defaults = {};   // the numbers that suit this optimizer; defaults.name is the entry's name
  double rate = 0.001;              // the learning rate that suits it, whatever the model
  bool rate_follows_model = false;  // if true, the rate that suits it is the model's (ModelProfile::rate) instead
  std::function<std::unique_ptr<Optimizer>(const OptimizerOptions&)> make;
};

// The optimizers, by name.
Catalogue<OptimizerEntry>& optimizers();

// The options, if their numbers are possible. Throws UsageError if not, or if there is no optimizer of that name.
OptimizerOptions settled(OptimizerOptions options);

// The optimizer of that name. Throws UsageError as settled() does.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options);

// The learning rate to begin with where none is given: what the model says of this optimizer, else the optimizer's own.
double default_rate(const OptimizerEntry& optimizer, const ModelProfile& model);

// The part of an array that belongs to a row block.
template <typename T>
std::span<T> of_block(std::span<T> array, const RowBlock& block) {
  return array.subspan(block.first, block.weights());
}

}  // namespace espalier
