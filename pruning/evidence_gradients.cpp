// Evidence of gradients: of batches and of samples, of the dead, and along the Hessian.
#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <utility>

#include "espalier/core/kernels/elementwise.h"
#include "espalier/pruning/borrowed.h"
#include "espalier/pruning/evidence.h"

namespace espalier {
namespace {

constexpr Index fisher_samples = 256;

// mean += f(gradients of batch b) / count
template <typename F>
void add_gradients(Trainer& trainer, const Loader& loader, Index b, Index count, const Loss& loss, F&& f,
                   std::vector<AlignedVector<Real>>& mean) {
  const auto& one = trainer.gradients(loader, b, loss);
  mean.resize(one.size());
  for (std::size_t p = 0; p < one.size(); ++p) {
    mean[p].resize(one[p].size());
    for (std::size_t n = 0; n < one[p].size(); ++n) mean[p][n] += f(one[p][n]) / static_cast<Real>(count);
  }
}

Real square(Real g) {
  return g * g;
}

// x / divisor
Var divided(const Var& x, double divisor) {
  const auto factor = static_cast<Real>(1 / divisor);
  Tensor y = x.tape().make(x.shape());
  const auto scale = [factor](const Tensor& from, Tensor& to, Write write) {
    for (Index i = 0; i < to.features(); ++i)
      for (Index lane = 0; lane < to.lanes(); ++lane)
        to.row(i)[lane] = (write == Write::add ? to.row(i)[lane] : 0) + factor * from.row(i)[lane];
  };
  scale(x.value(), y, Write::overwrite);
  return x.tape().record({.operation = "divided", .inputs = {x}}, y, [x, scale](Tape& t, Tensor& dY) {
    if (const auto dX = t.gradient_of(x)) scale(dY, *dX->tensor, dX->write);
  });
}

// While it lives, every parameter is a dense array, in which the dead are zeros. The parameters proper, with their
// slots and patterns, wait aside and come back untouched.
class AllDense {
 public:
  explicit AllDense(const std::vector<Parameter*>& parameters) : parameters_(parameters) {
    for (Parameter* W : parameters_) {
      Parameter dense(W->name(), W->rows(), W->cols(), W->role());
      const std::span<const Real> from = std::as_const(*W).value();
      const std::span<Real> to = dense.value();
      W->for_each_weight([&](Index row, Index column, Index at) { to[row * W->cols() + column] = from[at]; });
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

Evidence::Arrays Evidence::mean_gradients(const Loss& loss) {
  if (batches_ == 1) return trainer_.gradients(data_, batch(0), loss);
  Arrays mean;
  for (Index i = 0; i < batches_; ++i) add_gradients(trainer_, data_, batch(i), batches_, loss, std::identity(), mean);
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

std::span<const Real> Evidence::squared_batch_gradient(const Parameter& W) {
  const std::size_t p = index_of(W);
  if (squared_batch_gradient_.empty())
    for (Index i = 0; i < batches_; ++i)
      add_gradients(trainer_, data_, batch(i), batches_, nullptr, square, squared_batch_gradient_);
  return squared_batch_gradient_[p];
}

Evidence::Arrays Evidence::compute_squared_gradients() {
  // A loader of batches of one sample: those of the batches that others look at, one after the other.
  const DatasetPtr all(DatasetPtr(), &data_.data());  // owns nothing: the loader, which does, outlives this
  const Index first = batch(0) * data_.options().batch, samples = std::min(fisher_samples, all->samples());
  std::vector<Index> chosen;
  for (Index i = 0; i < samples; ++i) chosen.push_back(data_.sample((first + i) % all->samples()));
  const Loader single(std::make_shared<Subset>(all, chosen), {.batch = 1, .lanes = 1, .shuffle = false});
  Arrays mean;
  for (Index i = 0; i < samples; ++i) add_gradients(trainer_, single, i, samples, nullptr, square, mean);
  return mean;
}

std::span<const Real> Evidence::squared_gradient(const Parameter& W) {
  const std::size_t p = index_of(W);
  if (squared_gradient_.empty()) squared_gradient_ = compute_squared_gradients();
  return squared_gradient_[p];
}

Evidence::Arrays Evidence::compute_hessian_gradients(double temperature) {
  const Loss loss = [&](const Var& y, const Tile& tile) { return trainer_.loss()(divided(y, temperature), tile); };
  const Arrays g = mean_gradients(loss);
  const std::vector<Parameter*>& parameters = trainer_.parameters();
  double ww = 0, gg = 0;
  for (std::size_t p = 0; p < parameters.size(); ++p)
    if (parameters[p]->prunable()) {
      const auto w = std::as_const(*parameters[p]).value();
      ww += kernels::sum_of_squares(w.data(), static_cast<Index>(w.size()));
      gg += kernels::sum_of_squares(g[p].data(), static_cast<Index>(w.size()));
    }
  const auto gradients_at = [&](double step) {
    std::deque<Borrowed> borrowed;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      if (!parameters[p]->prunable()) continue;
      const auto w = parameters[p]->value();
      borrowed.emplace_back(w);
      for (std::size_t n = 0; n < w.size(); ++n) w[n] += static_cast<Real>(step) * g[p][n];
    }
    return mean_gradients(loss);
  };
  // What central differences leave out grows with h^2, what rounding of the gradients puts in with epsilon / h: the
  // cube root of epsilon balances them, as the part by which the gradient is to change. How far that is takes a first,
  // short step to find out, for g points to where the loss bends most: half a percent of |w| is far too long.
  constexpr double first_part = 1e-4;
  const double part = std::cbrt(static_cast<double>(std::numeric_limits<Real>::epsilon()));
  double h = gg > 0 ? first_part * std::sqrt(ww / gg) : 1;
  Arrays Hg;
  for (const bool first : {true, false}) {
    Hg = gradients_at(h);
    const Arrays behind = gradients_at(-h);
    double changed = 0;  // |grad(w + h g) - grad(w - h g)|^2
    for (std::size_t p = 0; p < Hg.size(); ++p) {
      for (std::size_t n = 0; n < Hg[p].size(); ++n) Hg[p][n] -= behind[p][n];
      if (parameters[p]->prunable()) changed += kernels::sum_of_squares(Hg[p].data(), static_cast<Index>(Hg[p].size()));
    }
    if (first && changed > 0) h *= 2 * part * std::sqrt(gg / changed);
  }
  for (AlignedVector<Real>& array : Hg)
    for (Real& v : array) v /= static_cast<Real>(2 * h);
  return Hg;
}

std::span<const Real> Evidence::hessian_gradient(const Parameter& W, double temperature) {
  const std::size_t p = index_of(W);
  if (hessian_gradient_.empty() || temperature != temperature_)
    hessian_gradient_ = compute_hessian_gradients(temperature_ = temperature);
  return hessian_gradient_[p];
}

}  // namespace espalier
