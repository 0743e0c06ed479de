#include "pruning/evidence.h"

#include <algorithm>

#include "core/error.h"

namespace espalier {

Evidence::Evidence(Trainer& trainer, const Loader& data, Index batches)
    : trainer_(trainer), data_(data), batches_(batches) {
  require(data.batches() > 0, "[evidence] expected at least 1 batch of training data, got none");
  require(batches >= 1, "[evidence] expected to look at 1 batch or more, got {}", batches);
  for (std::size_t p = 0; p < trainer.parameters().size(); ++p) index_[trainer.parameters()[p]] = p;
}

void Evidence::begin(Index step) {
  step_ = step;
  gradient_.clear();
  dense_gradient_.clear();
}

std::size_t Evidence::index_of(const Parameter& W) const {
  const auto found = index_.find(&W);
  require(found != index_.end(), "[evidence] {}: expected a parameter of the model in training", W.name());
  return found->second;
}

Evidence::Arrays Evidence::mean_gradients(Loss loss) {
  Arrays mean;
  for (Index i = 0; i < batches_; ++i) {
    const Arrays& one = trainer_.gradients(data_, batch(i), loss);
    if (mean.empty()) mean.resize(one.size());
    for (std::size_t p = 0; p < one.size(); ++p) {
      mean[p].resize(one[p].size());
      for (std::size_t n = 0; n < one[p].size(); ++n) mean[p][n] += one[p][n] / static_cast<Real>(batches_);
    }
  }
  return mean;
}

std::span<const Real> Evidence::gradient(const Parameter& W) {
  const std::size_t p = index_of(W);
  if (gradient_.empty()) gradient_ = mean_gradients();
  return gradient_[p];
}

std::span<const Real> Evidence::dense_gradient(const Parameter& W) {
  const std::size_t p = index_of(W);
  if (dense_gradient_.empty()) {
    std::vector<std::pair<PatternPtr, Storage>> before;
    for (Parameter* V : trainer_.parameters()) {
      before.emplace_back(V->pattern(), V->storage());
      if (V->storage() != Storage::dense) V->become(nullptr, Storage::dense);  // the dead are newborn zeros now
    }
    dense_gradient_ = mean_gradients();
    for (std::size_t v = 0; v < before.size(); ++v)
      if (before[v].second != Storage::dense) trainer_.parameters()[v]->become(before[v].first, before[v].second);
  }
  return dense_gradient_[p];
}

}  // namespace espalier
