#include "espalier/experiment/linear.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/experiment/interrupt.h"
#include "espalier/pruning/cholesky.h"

namespace espalier {
namespace {

using Numbers = std::vector<double>;

constexpr Index most_row_numbers = Index{1} << 25;
constexpr std::array ridges{1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
constexpr double ridge_unasked = 1e-4;  // without validation samples, or time

double dot(const Numbers& a, const Numbers& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// --- rows ----------------------------------------------------------------------------------------------------------

// Samples as the numbers that are not zero: one-hot words, counts of words.
struct TrainingRows {
  Index features = 0, outputs = 0;
  bool classes = false;
  std::vector<std::size_t> begin{0};  // [rows + 1]
  std::vector<std::uint32_t> index;
  std::vector<float> value;
  std::vector<std::int32_t> label;  // [rows], of classes
  std::vector<float> target;        // [rows, outputs], else

  explicit TrainingRows(const Dataset& data)
      : features(data.shape().features()), outputs(outputs_for(data)), classes(data.classes() > 0) {
    const Index used = std::min(data.samples(), std::max<Index>(most_row_numbers / features, 1));
    std::vector<Real> x(features), t(data.outputs());
    for (Index i = 0; i < used; ++i) {
      const Index sample = i * data.samples() / used;
      data.read(sample, x);
      for (Index f = 0; f < features; ++f) {
        if (x[f] == 0) continue;
        index.push_back(static_cast<std::uint32_t>(f));
        value.push_back(static_cast<float>(x[f]));
      }
      begin.push_back(index.size());
      if (classes) {
        label.push_back(data.label(sample));
      } else {
        data.target(sample, t);
        target.insert(target.end(), t.begin(), t.end());
      }
    }
  }
  Index count() const { return static_cast<Index>(begin.size()) - 1; }

  // z = x W + b of row i, for weights [features + 1, outputs].
  void apply(Index i, const Numbers& W, std::span<double> z) const {
    std::copy_n(W.end() - outputs, outputs, z.begin());
    for (std::size_t n = begin[i]; n < begin[i + 1]; ++n) {
      const double* const w = &W[index[n] * static_cast<std::size_t>(outputs)];
      for (Index k = 0; k < outputs; ++k) z[k] += static_cast<double>(value[n]) * w[k];
    }
  }
  // Adds x' dz to the gradient of the same weights.
  void add_gradient(Index i, std::span<const double> dz, Numbers& G) const {
    for (std::size_t n = begin[i]; n < begin[i + 1]; ++n) {
      double* const g = &G[index[n] * static_cast<std::size_t>(outputs)];
      for (Index k = 0; k < outputs; ++k) g[k] += static_cast<double>(value[n]) * dz[k];
    }
    for (Index k = 0; k < outputs; ++k) G[features * outputs + k] += dz[k];
  }
  // The loss of row i; z becomes dloss/dz.
  double loss(Index i, std::span<double> z) const {
    if (!classes) {
      double sum = 0;
      for (Index k = 0; k < outputs; ++k) {
        z[k] -= static_cast<double>(target[i * outputs + k]);
        sum += z[k] * z[k] / 2;
      }
      return sum;
    }
    const double highest = *std::ranges::max_element(z), own = z[label[i]];
    double sum = 0;
    for (double& each : z) sum += each = std::exp(each - highest);
    for (double& each : z) each /= sum;
    z[label[i]] -= 1;
    return std::log(sum) + highest - own;
  }
};

// The deviation of each feature, at least of those that have one; the others get 1.
Numbers deviations(const TrainingRows& rows) {
  const auto n = static_cast<double>(rows.count());
  Numbers sum(rows.features), squares(rows.features), result(rows.features, 1);
  for (std::size_t e = 0; e < rows.index.size(); ++e) {
    const auto x = static_cast<double>(rows.value[e]);
    sum[rows.index[e]] += x;
    squares[rows.index[e]] += x * x;
  }
  for (Index f = 0; f < rows.features; ++f) {
    const double variance = (squares[f] - sum[f] * sum[f] / n) / n;
    if (variance > 1e-12 * squares[f] / n) result[f] = std::sqrt(variance);
  }
  return result;
}

// --- the loss of all rows --------------------------------------------------------------------------------------------

// Mean loss over the rows, in blocks that depend on the rows alone: the same sums on any number of threads.
class Objective {
 public:
  Objective(const TrainingRows& rows, int threads)
      : rows_(rows), threads_(threads), width_((rows.features + 1) * rows.outputs) {
    constexpr Index most_gradients = Index{1} << 22;
    blocks_.resize(std::clamp<Index>(most_gradients / width_, 1, 64));
  }
  Index width() const { return width_; }
  Index passes() const { return passes_; }

  // gradient: null if it is not asked for.
  double operator()(const Numbers& W, double ridge, Numbers* gradient) {
    if (interrupted()) throw InterruptedError("the linear baseline was stopped");
    ++passes_;
    const auto count = static_cast<Index>(blocks_.size());
    parallel_for(count, threads_, [&](Index b) {
      Block& own = blocks_[b];
      own.loss = 0;
      if (gradient) own.gradient.assign(width_, 0);
      Numbers z(rows_.outputs);
      for (Index i = b * rows_.count() / count; i < (b + 1) * rows_.count() / count; ++i) {
        rows_.apply(i, W, z);
        own.loss += rows_.loss(i, z);
        if (gradient) rows_.add_gradient(i, z, own.gradient);
      }
    });
    const auto n = static_cast<double>(rows_.count());
    double loss = 0;
    for (const Block& block : blocks_) loss += block.loss / n;
    const Index free = rows_.outputs;  // b
    for (Index w = 0; w < width_ - free; ++w) loss += ridge / 2 * W[w] * W[w];
    if (!gradient) return loss;
    gradient->assign(width_, 0);
    for (const Block& block : blocks_)
      for (Index w = 0; w < width_; ++w) (*gradient)[w] += block.gradient[w] / n;
    for (Index w = 0; w < width_ - free; ++w) (*gradient)[w] += ridge * W[w];
    return loss;
  }

 private:
  struct Block {
    double loss = 0;
    Numbers gradient;
  };
  const TrainingRows& rows_;
  int threads_;
  Index width_, passes_ = 0;
  std::vector<Block> blocks_;
};

// --- solvers ---------------------------------------------------------------------------------------------------------

// The last steps and how the gradient changed along them: what L-BFGS knows of the curvature.
class Curvature {
 public:
  void add(Numbers step, Numbers change) {
    const double along = dot(step, change);
    if (!(along > 1e-12 * dot(change, change))) return;  // no curvature to learn from
    steps_.push_back({std::move(step), std::move(change), along});
    constexpr std::size_t memory = 10;
    if (steps_.size() > memory) steps_.pop_front();
  }
  // About H^-1 g.
  Numbers apply(Numbers g) const {
    Numbers weight(steps_.size());
    for (std::size_t i = steps_.size(); i-- > 0;) {
      const Step& s = steps_[i];
      weight[i] = dot(s.step, g) / s.along;
      for (std::size_t w = 0; w < g.size(); ++w) g[w] -= weight[i] * s.change[w];
    }
    if (!steps_.empty()) {
      const Step& last = steps_.back();
      const double scale = last.along / dot(last.change, last.change);
      for (double& each : g) each *= scale;
    }
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Step& s = steps_[i];
      const double correction = weight[i] - dot(s.change, g) / s.along;
      for (std::size_t w = 0; w < g.size(); ++w) g[w] += correction * s.step[w];
    }
    return g;
  }

 private:
  struct Step {
    Numbers step, change;
    double along;  // step · change
  };
  std::deque<Step> steps_;
};

// From W on to the minimum. False: still falling after so many passes.
bool minimise(Objective& objective, double ridge, Numbers& W, Index most_passes) {
  constexpr double flat = 1e-6;  // of the gradient: mean losses are of the order of 1
  const Index begin = objective.passes();
  Numbers g, next_g, next(W.size());
  double loss = objective(W, ridge, &g);
  Curvature curvature;
  while (objective.passes() - begin < most_passes) {
    const auto size = [](const Numbers& v) { return std::sqrt(dot(v, v)); };
    if (size(g) < flat) return true;
    const Numbers direction = curvature.apply(g);
    const double slope = dot(direction, g);
    double length = begin + 1 == objective.passes() ? std::min(1.0, 1 / size(g)) : 1;
    double next_loss = 0;
    while (true) {  // shorter, until the loss falls by a fair part of what the slope promises
      for (std::size_t w = 0; w < W.size(); ++w) next[w] = W[w] - length * direction[w];
      next_loss = objective(next, ridge, &next_g);
      if (next_loss <= loss - 1e-4 * length * slope) break;
      length /= 2;
      if (length < 1e-10) return true;  // nothing to gain within rounding
    }
    Numbers step(W.size()), change(W.size());
    for (std::size_t w = 0; w < W.size(); ++w) step[w] = next[w] - W[w], change[w] = next_g[w] - g[w];
    curvature.add(std::move(step), std::move(change));
    W.swap(next);
    g.swap(next_g);
    loss = next_loss;
  }
  return false;
}

// X'X / n and X't / n, with a last feature that is always 1.
class NormalEquations {
 public:
  explicit NormalEquations(const TrainingRows& rows)
      : size_(rows.features + 1), outputs_(rows.outputs), A_(size_ * size_), B_(size_ * outputs_) {
    const auto n = static_cast<double>(rows.count());
    for (Index i = 0; i < rows.count(); ++i) {
      std::vector<std::pair<std::size_t, double>> x;
      for (std::size_t e = rows.begin[i]; e < rows.begin[i + 1]; ++e)
        x.emplace_back(rows.index[e], static_cast<double>(rows.value[e]));
      x.emplace_back(size_ - 1, 1);
      for (std::size_t a = 0; a < x.size(); ++a) {
        for (std::size_t b = 0; b <= a; ++b) A_[x[a].first * size_ + x[b].first] += x[a].second * x[b].second / n;
        for (Index k = 0; k < outputs_; ++k)
          B_[k * size_ + x[a].first] += x[a].second * static_cast<double>(rows.target[i * outputs_ + k]) / n;
      }
    }
  }
  // What of rows and features is still quick.
  static bool suit(const TrainingRows& rows) {
    constexpr double most_products = 4e9, most_features = 4096;
    const auto per_row = static_cast<double>(rows.index.size()) / static_cast<double>(rows.count()) + 1;
    return !rows.classes && static_cast<double>(rows.features) <= most_features &&
           per_row * per_row / 2 * static_cast<double>(rows.count()) < most_products;
  }
  // [features + 1, outputs]; empty if rounding makes it impossible.
  Numbers solve(double ridge) const {
    Numbers A = A_;
    for (std::size_t f = 0; f + 1 < size_; ++f) A[f * size_ + f] += ridge;
    const Cholesky factors(std::move(A), size_);
    if (!factors.ok()) return {};
    Numbers W(size_ * static_cast<std::size_t>(outputs_));
    for (Index k = 0; k < outputs_; ++k) {
      const Numbers column = factors.solve({B_.begin() + k * size_, B_.begin() + (k + 1) * size_});
      for (std::size_t f = 0; f < size_; ++f) W[f * outputs_ + k] = column[f];
    }
    return W;
  }

 private:
  std::size_t size_;
  Index outputs_;
  Numbers A_, B_;  // A: [size, size]; B: [outputs, size]
};

// What goes down the list of ridges and keeps the best.
class Search {
 public:
  Search(const TrainingRows& rows, const TrainingRows& validation, int threads)
      : objective_(rows, threads), check_(validation, threads), checked_(validation.count() > 0) {
    if (NormalEquations::suit(rows)) equations_.emplace(rows);
    // Seconds, not minutes: where a pass costs much there are fewer of them, and one ridge.
    constexpr double most_work = 1e10, few_passes = 1000;
    const double work = static_cast<double>(rows.index.size() + 1) * static_cast<double>(rows.outputs);
    const double passes = most_work / work;
    searched_ = checked_ && (equations_ || passes >= few_passes);
    const double of_a_ridge = searched_ ? passes / static_cast<double>(ridges.size()) : passes;
    most_passes_ = std::clamp<Index>(static_cast<Index>(of_a_ridge), 30, 500);
  }
  LinearFit run() {
    LinearFit best;
    double lowest = std::numeric_limits<double>::infinity();
    Numbers W(objective_.width(), 0);
    int worse = 0;
    for (const double ridge : ridges) {
      if (!searched_ && ridge != ridge_unasked) continue;
      bool converged = true;
      if (equations_) {
        if (Numbers solved = equations_->solve(ridge); !solved.empty())
          W = std::move(solved);
        else
          break;
      } else {
        converged = minimise(objective_, ridge, W, most_passes_);
      }
      const double loss = checked_ ? check_(W, 0, nullptr) : 0;
      if (loss < lowest) {
        lowest = loss;
        best.weights = W;
        best.ridge = ridge;
        best.converged = converged;
        worse = 0;
      } else if (++worse == 2) {
        break;
      }
    }
    best.passes = equations_ ? 1 : objective_.passes();
    return best;
  }

 private:
  Objective objective_, check_;
  bool checked_, searched_ = false;  // whether there are validation rows; whether several ridges are tried
  std::optional<NormalEquations> equations_;
  Index most_passes_ = 0;
};

}  // namespace

std::vector<Real> LinearFit::outputs_for(const Dataset& data) const {
  std::vector<Real> x(features), result;
  result.reserve(data.samples() * outputs);
  Numbers z(outputs);
  for (Index i = 0; i < data.samples(); ++i) {
    data.read(i, x);
    std::copy_n(weights.end() - outputs, outputs, z.begin());
    for (Index f = 0; f < features; ++f)
      if (x[f] != 0)
        for (Index k = 0; k < outputs; ++k) z[k] += static_cast<double>(x[f]) * weights[f * outputs + k];
    for (const double each : z) result.push_back(static_cast<Real>(each));
  }
  return result;
}

LinearFit fit_linear(const Dataset& train, const Dataset& validation, int threads) {
  require(train.samples() > 0, "[linear] expected rows to learn from, got none");
  const Stopwatch watch;
  TrainingRows rows(train), check(validation);
  const Numbers deviation = deviations(rows);
  for (TrainingRows* each : {&rows, &check})
    for (std::size_t e = 0; e < each->index.size(); ++e)
      each->value[e] = static_cast<float>(static_cast<double>(each->value[e]) / deviation[each->index[e]]);
  LinearFit fit = Search(rows, check, threads).run();
  if (fit.weights.empty()) throw DivergedError("the linear model's loss is not finite");
  fit.features = rows.features;
  fit.outputs = rows.outputs;
  for (Index f = 0; f < fit.features; ++f)
    for (Index k = 0; k < fit.outputs; ++k) fit.weights[f * fit.outputs + k] /= deviation[f];
  fit.seconds = watch.seconds();
  return fit;
}

}  // namespace espalier
