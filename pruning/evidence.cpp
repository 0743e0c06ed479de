#include "espalier/pruning/evidence.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/kernels/dense.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/sequence.h"

namespace espalier {
namespace {

constexpr Index fisher_samples = 256;

// Numbers that are again what they were, to the bit, at the end of the scope.
class Borrowed {
 public:
  explicit Borrowed(std::span<Real> numbers) : numbers_(numbers), before_(numbers.begin(), numbers.end()) {}
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() { std::ranges::copy(before_, numbers_.begin()); }

 private:
  std::span<Real> numbers_;
  std::vector<Real> before_;
};

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

// R: the sum of one sample's outputs.
Var sum_of_outputs(const Var& y) {
  Tape& tape = y.tape();
  Tensor R = tape.make({1});
  R.fill(0);
  for (Index o = 0; o < y.value().features(); ++o) *R.row(0) += *y.value().row(o);
  return tape.record({.operation = "sum", .inputs = {y}}, R, [y](Tape& t, Tensor& dR) {
    Tensor dy = t.make(y.shape());
    dy.fill(*dR.row(0));
    t.give_gradient(y, std::move(dy));
  });
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

bool is_chain(const Tape& tape) {
  for (std::size_t n = 1; n < tape.nodes(); ++n)
    if (tape.node(n).inputs != std::vector<int>{static_cast<int>(n) - 1}) return false;
  return true;
}

// The power of two that brings the largest sum over a row of |w| into [1/2, 1): then nothing that flows forward exceeds
// 1, and what flows back no more than the number of outputs. A power of two rounds nothing.
Real flow_scale(const Parameter& W) {
  std::vector<double> sum(static_cast<std::size_t>(W.rows()), 0);
  W.for_each_weight([&](Index row, Index, Index at) {
    sum[static_cast<std::size_t>(row)] += std::abs(static_cast<double>(W.value()[static_cast<std::size_t>(at)]));
  });
  const double largest = std::ranges::max(sum);
  return largest > 0 ? static_cast<Real>(std::ldexp(1.0, -std::ilogb(largest) - 1)) : Real{1};
}

// sums[g * cols + j] += x_j^2, over the valid lanes and, of a convolution, over the patches; the j-th input of group g.
void add_squares(const Node& node, const Tensor& x, std::vector<double>& sums) {
  std::vector<double> squares(static_cast<std::size_t>(x.features()), 0);
  for (Index i = 0; i < x.features(); ++i)
    for (Index lane = 0; lane < x.valid(); ++lane)
      squares[static_cast<std::size_t>(i)] += static_cast<double>(x.row(i)[lane]) * static_cast<double>(x.row(i)[lane]);
  const std::optional<Window> w = window_of(node);
  if (!w) {
    sums.resize(squares.size());
    for (std::size_t j = 0; j < squares.size(); ++j) sums[j] += squares[j];
    return;
  }
  const Parameter& W = *node.parameters[0];
  const Index channels = x.shape()[0], height = x.shape()[1], width = x.shape()[2];
  const Shape y = output_shape(*w, x.shape(), W.rows(), "evidence", W.name());
  sums.resize(static_cast<std::size_t>(channels * w->taps()));
  std::size_t j = 0;  // of group after group: channel * taps + tap
  for (Index c = 0; c < channels; ++c)
    for (Index ky = 0; ky < w->kernel_height; ++ky)
      for (Index kx = 0; kx < w->kernel_width; ++kx, ++j)
        for (Index oy = 0; oy < y[1]; ++oy)
          for (Index ox = 0; ox < y[2]; ++ox) {
            const Index iy = oy * w->stride + ky - w->padding_height, ix = ox * w->stride + kx - w->padding_width;
            if (iy >= 0 && iy < height && ix >= 0 && ix < width)
              sums[j] += squares[static_cast<std::size_t>((c * height + iy) * width + ix)];
          }
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
  for (Arrays* known :
       {&gradient_, &dense_gradient_, &squared_batch_gradient_, &squared_gradient_, &hessian_gradient_, &flow_})
    known->clear();
  input_squares_.clear();
  input_products_.clear();
}

std::size_t Evidence::index_of(const Parameter& W) const {
  const auto found = index_.find(&W);
  require(found != index_.end(), "[evidence] {}: expected a parameter of the model in training", W.name());
  return found->second;
}

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
  const DatasetPtr all(DatasetPtr(), &data_.data());  // owns nothing: the loader, who does, outlives us
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

Evidence::Arrays Evidence::compute_flow() {
  const std::vector<Parameter*>& parameters = trainer_.parameters();
  std::deque<Borrowed> borrowed;
  trainer_.model().visit_state([&](const std::string& name, std::span<Real> numbers) {
    borrowed.emplace_back(numbers);
    std::ranges::fill(numbers, name.ends_with("variance") ? Real{1} : Real{0});
  });
  for (Parameter* V : parameters) {
    borrowed.emplace_back(V->value());
    if (V->prunable())
      std::ranges::transform(V->value(), V->value().begin(), [](Real w) { return std::abs(w); });
    else
      std::ranges::fill(V->value(), V->name().ends_with(".gamma") ? Real{1} : Real{0});
  }
  Tile ones;
  ones.input = Tensor(data_.data().shape(), {1, 1});
  ones.input.fill(1);
  Tape tape;
  const auto forward = [&] { return trainer_.model().forward(tape.begin(ones, {.mode = Mode::evaluation})); };
  // In a chain of layers R is a product over layers, and any factor of one layer is a factor of all scores: each layer
  // gets the factor that keeps the flow near 1. Beside a shortcut that would favour one branch.
  forward();
  if (is_chain(tape))
    for (Parameter* V : parameters)
      if (V->prunable()) {
        const Real scale = flow_scale(*V);
        for (Real& w : V->value()) w *= scale;
      }
  const Var R = sum_of_outputs(forward());
  require(std::isfinite(*R.value().row(0)) && *R.value().row(0) > 0,
          "[evidence] expected a flow from inputs to outputs that is above 0 and that float32 can hold, got {}",
          *R.value().row(0));
  tape.backward(R, 1);
  Ledger ledger(parameters);
  ledger.collect(std::vector<Tape*>{&tape});
  Arrays flow(parameters.size());
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const Parameter& V = *parameters[p];
    flow[p].resize(V.value().size());
    for (std::size_t b = 0; b < V.blocks().size(); ++b)
      ledger.settle(p, b, of_block(std::span<Real>(flow[p]), V.blocks()[b]));
    for (std::size_t n = 0; n < flow[p].size(); ++n) flow[p][n] *= V.value()[n];
  }
  return flow;
}

std::span<const Real> Evidence::flow(const Parameter& W) {
  const std::size_t p = index_of(W);
  if (flow_.empty()) flow_ = compute_flow();
  return flow_[p];
}

// An image for a convolution; else what the weights are multiplied by, of a layer over time once for each step.
template <typename Look>
void Evidence::examine_inputs(Look&& look) {
  for (Index i = 0; i < batches_; ++i)
    trainer_.examine(data_, batch(i), [&](const Tape& tape) {
      for (std::size_t n = 0; n < tape.nodes(); ++n) {
        const Node& node = tape.node(n);
        if (node.parameters.empty() || !node.parameters[0]->prunable()) continue;
        if (window_of(node))
          look(node, tape.node(static_cast<std::size_t>(node.inputs[0])).value);
        else
          for_each_operand(tape, node, [&](const Tensor& x) { look(node, x); });
      }
    });
}

std::span<const double> Evidence::input_squares(const Parameter& W) {
  index_of(W);
  if (input_squares_.empty()) {
    double samples = 0;
    for (Index i = 0; i < batches_; ++i) samples += static_cast<double>(data_.batch_samples(batch(i)));
    examine_inputs(
        [&](const Node& node, const Tensor& x) { add_squares(node, x, input_squares_[node.parameters[0]]); });
    for (auto& [V, squares] : input_squares_)
      for (double& s : squares) s /= samples;
  }
  return input_squares_[&W];
}

std::span<const Real> Evidence::input_products(const Parameter& W) {
  index_of(W);
  if (const auto known = input_products_.find(&W); known != input_products_.end()) return known->second;
  AlignedVector<Real>& H = input_products_[&W];
  Index samples = 0;
  examine_inputs([&](const Node& node, const Tensor& x) {
    if (node.parameters[0] != &W || window_of(node)) return;
    Tensor X({x.features()}, x.lane_counts());
    put(x, X, Write::overwrite);
    H.resize(static_cast<std::size_t>(W.cols() * W.cols()));
    // H += X X'
    kernels::dense_outer(X.data(), W.cols(), X.data(), W.cols(), X.stride(), X.valid(), /*add=*/true, H.data());
    samples += X.valid();
  });
  for (Real& h : H) h /= static_cast<Real>(samples);
  return H;
}

}  // namespace espalier
