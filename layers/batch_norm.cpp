#include "espalier/layers/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/kernels/normalise.h"
#include "espalier/layers/image.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

namespace {

// [2 C]: the mean of each channel, then the variance of each.
Tensor statistics_of(Tape& tape, const Tensor& x, const kernels::Pixels& pixels) {
  const Index C = channels_of(x.shape());
  Tensor statistics = tape.make_numbers(2 * C);
  for (Index c = 0; c < C; ++c) {
    const kernels::Moments moments = kernels::moments(pixels, plane(x, c));
    statistics.data()[c] = static_cast<Real>(moments.mean);
    statistics.data()[C + c] = static_cast<Real>(moments.variance);
  }
  return statistics;
}

// The running ones; on a tape of flow those with which normalising does nothing.
Tensor statistics_of(Tape& tape, const RunningStatistics& running) {
  const auto C = static_cast<Index>(running.mean.size());
  Tensor statistics = tape.make_numbers(2 * C);
  if (tape.options().flow) {
    std::fill_n(statistics.data(), C, Real{0});
    std::fill_n(statistics.data() + C, C, Real{1});
    return statistics;
  }
  std::ranges::copy(running.mean, statistics.data());
  std::ranges::copy(running.variance, statistics.data() + C);
  return statistics;
}

}  // namespace

Var batch_norm(const Var& x, const Parameter& gamma, const Parameter& beta, const RunningStatistics& running,
               Activation f, Real epsilon, Halo halo) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape(), halo);
  const kernels::Pixels pixels = pixels_of({&x.value(), &y});
  const Index n = pixels.values(), C = gamma.rows();
  const bool own = tape.training() && n > 1;  // statistics; but a single value is observed, too
  if (tape.training() && n > 0) tape.observe(&running, statistics_of(tape, x.value(), pixels), n);
  const Tensor statistics = own ? tape.observations().back().statistics : statistics_of(tape, running);
  // x^ = (x - mean) r  with  r = 1 / sqrt(variance + epsilon);   y = f(gamma x^ + beta)
  const Real *m = statistics.data(), *g = gamma.value().data(), *b = beta.value().data();
  const auto r = [C, epsilon](const Real* mean, Index c) { return 1 / std::sqrt(mean[C + c] + epsilon); };
  for (Index c = 0; c < C; ++c)
    kernels::normalise(pixels, plane(x.value(), c), m[c], g[c] * r(m, c), b[c], f, plane(y, c));
  return tape.record({.operation = "batch_norm",
                      .inputs = {x},
                      .parameters = {&gamma, &beta},
                      .state = {running.mean, running.variance}},
                     y, [x, y, statistics, r, own, n, C, f, &gamma, &beta](Tape& t, Tensor& dY) {
                       // dZ = dY f'(Z);  dbeta = sum dZ;  dgamma = sum dZ x^
                       // dX = gamma r (dZ - dbeta / n - x^ dgamma / n);  without the last two for running statistics
                       const auto dX = t.image_gradient_of(x);
                       const Real* mean = statistics.data();
                       Tensor dgamma = t.make_numbers(C), dbeta = t.make_numbers(C);
                       const kernels::Pixels p = pixels_of({&x.value(), &y, &dY, dX ? dX->tensor : &dY});
                       for (Index c = 0; c < C; ++c) {
                         const kernels::ConstPlane X = plane(x.value(), c), Y = plane(y, c), dy = plane(dY, c);
                         const kernels::NormaliseSums sums = kernels::normalise_sums(p, X, mean[c], f, Y, dy);
                         const Real scale = r(mean, c), a = gamma.value()[c] * scale;
                         dbeta.data()[c] = static_cast<Real>(sums.dZ);
                         dgamma.data()[c] = static_cast<Real>(sums.dZ_X) * scale;
                         if (!dX) continue;
                         const Real share = own ? a / static_cast<Real>(n) : 0;
                         kernels::normalise_backward(p, X, mean[c], f, Y, dy, a, -share * scale * dgamma.data()[c],
                                                     -share * dbeta.data()[c], plane(*dX->tensor, c),
                                                     dX->write == Write::add);
                       }
                       t.owe(std::move(dgamma), gamma);
                       t.owe(std::move(dbeta), beta);
                     });
}

Var scale_and_shift(const Var& x, const Parameter* gamma, const Parameter& beta, Activation f, Halo halo) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape(), halo);
  const kernels::Pixels pixels = pixels_of({&x.value(), &y});
  const Index C = beta.rows();
  const auto scale = [gamma](Index c) { return gamma ? gamma->value()[c] : Real{1}; };
  const Real* const b = beta.value().data();
  for (Index c = 0; c < C; ++c)
    kernels::normalise(pixels, plane(x.value(), c), Real{0}, scale(c), b[c], f, plane(y, c));
  return tape.record({.operation = "scale_and_shift", .inputs = {x}, .parameters = {gamma, &beta}}, y,
                     [x, y, C, f, scale, gamma, &beta](Tape& t, Tensor& dY) {
                       // dZ = dY f'(Z);  dbeta = sum dZ;  dgamma = sum dZ x;  dX = gamma dZ
                       const auto dX = t.image_gradient_of(x);
                       Tensor dgamma = t.make_numbers(C), dbeta = t.make_numbers(C);
                       const kernels::Pixels p = pixels_of({&x.value(), &y, &dY, dX ? dX->tensor : &dY});
                       for (Index c = 0; c < C; ++c) {
                         const kernels::ConstPlane X = plane(x.value(), c), Y = plane(y, c), dy = plane(dY, c);
                         const kernels::NormaliseSums sums = kernels::normalise_sums(p, X, Real{0}, f, Y, dy);
                         dbeta.data()[c] = static_cast<Real>(sums.dZ);
                         dgamma.data()[c] = static_cast<Real>(sums.dZ_X);
                         if (dX)
                           kernels::normalise_backward(p, X, Real{0}, f, Y, dy, scale(c), Real{0}, Real{0},
                                                       plane(*dX->tensor, c), dX->write == Write::add);
                       }
                       if (gamma) t.owe(std::move(dgamma), *gamma);
                       t.owe(std::move(dbeta), beta);
                     });
}

BatchNorm::BatchNorm(BatchNormOptions options)
    : options_(std::move(options)),
      gamma_(options_.name + ".gamma", options_.channels, 1, Role::scale),
      beta_(options_.name + ".beta", options_.channels, 1, Role::bias) {
  require(options_.channels >= 1, "[batch_norm] {}: expected at least 1 channel, got {}", options_.name,
          options_.channels);
  require(options_.epsilon > 0 && options_.momentum > 0 && options_.momentum <= 1,
          "[batch_norm] {}: expected an epsilon above 0 and a momentum in (0, 1], got {} and {}", options_.name,
          options_.epsilon, options_.momentum);
  std::ranges::fill(gamma_.value(), Real{1});
  running_.mean.assign(gamma_.value().size(), 0);
  running_.variance.assign(gamma_.value().size(), 1);
}

Shape BatchNorm::output_shape(const Shape& input) const {
  const Index C = beta_.rows();
  require((input.rank() == 1 || input.rank() == 3) && input[0] == C,
          "[batch_norm] {}: expected [{}] or an image [{}, H, W], got {}", options_.name, C, C, input.text());
  return input;
}

OnnxValue BatchNorm::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const Index C = beta_.rows();
  if (!has_statistics()) {
    // Numbers for each channel stand before the pixels' axes.
    std::vector<std::int64_t> extents{C};
    extents.resize(x.shape.rank() == 3 ? 3 : 1, 1);
    const OnnxValue scaled =
        has_scale() ? graph.add("Mul", name(), {x.name, graph.weights(gamma_, extents)}, x.shape) : x;
    return graph.activate(name(), options_.activation,
                          graph.add("Add", name(), {scaled.name, graph.weights(beta_, extents)}, x.shape));
  }
  const OnnxValue z = graph.add("BatchNormalization", name(),
                                {x.name, graph.weights(gamma_, {C}), graph.weights(beta_, {C}),
                                 graph.numbers(name() + ".running_mean", {C}, running_.mean),
                                 graph.numbers(name() + ".running_variance", {C}, running_.variance)},
                                x.shape, {{"epsilon", static_cast<float>(options_.epsilon)}});
  return graph.activate(name(), options_.activation, z);
}

bool BatchNorm::has_scale() const {
  return has_statistics() || std::ranges::any_of(gamma_.value(), [](Real g) { return g != 1; });
}

// Without statistics from now on: gamma and beta have them in them.
void BatchNorm::absorb(const RunningStatistics& s) {
  for (std::size_t c = 0; c < s.mean.size(); ++c) {
    Real &gamma = gamma_.value()[c], &beta = beta_.value()[c];
    gamma /= std::sqrt(s.variance[c] + options_.epsilon);
    beta -= gamma * s.mean[c];
  }
}

void BatchNorm::visit_parameters(const std::function<void(Parameter&)>& visit) {
  if (has_scale()) visit(gamma_);
  visit(beta_);
}

void BatchNorm::visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) {
  if (!has_statistics()) return;
  const RunningStatistics before = running_;
  visit(options_.name + ".running_mean", running_.mean);
  visit(options_.name + ".running_variance", running_.variance);
  if (!running_.mean.empty() || !running_.variance.empty()) return;
  absorb(before);
}

// From the tiles' means and variances to the batch's: the sum of squares about the common mean is what each tile has
// about its own, and what their means have about each other (Chan, Golub & LeVeque 1979).
void BatchNorm::merge_state(std::span<Tape* const> tapes, std::optional<double> weight) {
  const std::size_t C = running_.mean.size();
  mean_.assign(C, 0);
  squares_.assign(C, 0);
  double n = 0;
  for (const Tape* tape : tapes)
    for (const Observation& seen : tape->observations()) {
      if (seen.owner != &running_) continue;
      const double more = static_cast<double>(seen.values), all = n + more;
      const Real *mean = seen.statistics.data(), *variance = mean + C;
      for (std::size_t c = 0; c < C; ++c) {
        const double apart = static_cast<double>(mean[c]) - mean_[c];
        mean_[c] += apart * more / all;
        squares_[c] += static_cast<double>(variance[c]) * more + apart * apart * n * more / all;
      }
      n = all;
    }
  if (n < 2) return;  // one value has no variance
  const double w = weight.value_or(options_.momentum);
  const auto move = [w](Real& running, double batch) {
    running = static_cast<Real>((1 - w) * static_cast<double>(running) + w * batch);
  };
  for (std::size_t c = 0; c < C; ++c) {
    move(running_.mean[c], mean_[c]);
    move(running_.variance[c], squares_[c] / (n - 1));
  }
}

}  // namespace espalier
