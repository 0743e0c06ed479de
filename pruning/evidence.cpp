// What all evidence shares; gradients, flow and inputs have a file of their own each.
#include "espalier/pruning/evidence.h"

#include "espalier/core/error.h"

namespace espalier {

Evidence::Evidence(Trainer& trainer, const Loader& data, Index batches)
    : trainer_(trainer), data_(data), batches_(batches) {
  require(data.batches() > 0, "[evidence] expected at least 1 batch of training data, got none");
  require(batches >= 1, "[evidence] expected to look at 1 batch or more, got {}", batches);
  for (std::size_t p = 0; p < trainer.parameters().size(); ++p) index_[trainer.parameters()[p]] = p;
}

void Evidence::begin(Index step) {
  step_ = step;
  for (Arrays* known :
       {&gradient_, &dense_gradient_, &squared_batch_gradient_, &squared_gradient_, &hessian_gradient_, &flow_})
    known->clear();
  input_squares_.clear();
  led_to_.clear();
  input_products_.clear();
}

std::size_t Evidence::index_of(const Parameter& W) const {
  const auto found = index_.find(&W);
  require(found != index_.end(), "[evidence] {}: expected a parameter of the model in training", W.name());
  return found->second;
}

}  // namespace espalier
