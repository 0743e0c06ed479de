#include "pruning/evidence.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace espalier {
namespace {

// While it lives, every parameter is a dense array, in which the dead are zeros. The parameters proper, with their
// slots and patterns, wait aside and come back untouched.
class AllDense {
 public:
  explicit AllDense(const std::vector<Parameter*>& parameters) : parameters_(parameters) {
    for (Parameter* W : parameters_) {
      Parameter dense(W->name(), W->rows(), W->cols(), W->role());
      const std::span<const Real> from = std::as_const(*W).value();
      const std::span<Real> to = dense.value();
      W->for_each_weight([&](Index row, Index column, Index at) {
        to[static_cast<std::size_t>(row * W->cols() + column)] = from[static_cast<std::size_t>(at)];
      });
      dense_.push_back(std::move(dense));
    }
    swap();
  }
  ~AllDense() { swap(); }
  AllDense(const AllDense&) = delete;
  AllDense& operator=(const AllDense&) = delete;

 private:
  void swap() {
    for (std::size_t p = 0; p < dense_.size(); ++p) std::swap(*parameters_[p], dense_[p]);
  }
  const std::vector<Parameter*>& parameters_;
  std::vector<Parameter> dense_;
};

}  // namespace

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
  if (batches_ == 1) return trainer_.gradients(data_, batch(0), loss);
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
    const AllDense all_dense(trainer_.parameters());
    dense_gradient_ = mean_gradients();
  }
  return dense_gradient_[p];
}

}  // namespace espalier
