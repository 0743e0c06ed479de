// L0 regularisation by hard-concrete gates.
//
//   w'_i = w_i z_i      s = sigmoid((logit u + log alpha_i) / beta)      z_i = min(1, max(0, s (zeta - gamma) + gamma))
//   L + lambda / N sum_i P(z_i != 0),   P(z != 0) = sigmoid(log alpha - beta log(-gamma / zeta))
//
// A gate that is noisy has a gradient even though it is mostly shut or mostly open, so the number of weights itself can
// be a penalty. beta = 2/3, gamma = -0.1, zeta = 1.1; one u per weight and step, the same for all samples of a batch.
// Gates are trained by Adam, as in the paper, whatever trains the weights. Evaluation takes the gate at u = 1/2 without
// beta. lambda is steered: the more gates are open than the schedule wants, the larger (Steering in latent_method.h).
// Gates that are open above the asked density at `end` are cut, lowest log alpha first; if fewer are open, fewer stay.
//
// When: every step until `end`; from then on the gates are multiplied into the weights, the pattern is fixed and the
// weights are trained alone.
//
// Exercise: a histogram of log alpha at `end`. How many gates have not made up their minds?
#include <iterator>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/random.h"
#include "espalier/pruning/latent_method.h"
#include "espalier/pruning/relaxations.h"

namespace espalier {
namespace {

class HardConcreteGates final : public LatentWeights {
 public:
  explicit HardConcreteGates(const MethodContext& context)
      : LatentWeights(context),
        gates_by_(make_optimizer({.name = "adam"})),
        gate_rate_(static_cast<Real>(setting("gate_rate"))),
        steering_(setting("lambda"), setting("gain"), setting("integral_gain")) {
    require(gate_rate_ > 0, "[l0] expected a gate_rate above 0, got {}", gate_rate_);
    for (std::size_t l = 0; l < layers(); ++l) {
      const auto n = static_cast<std::size_t>(layer(l).positions());
      Parameter& a =
          log_alpha_.emplace_back(layer(l).name() + "/log_alpha", layer(l).rows(), layer(l).cols(), Role::bias);
      gates_by_->prepare(a);
      const Random random(options().seed, "l0-start/" + layer(l).name());
      for (std::size_t i = 0; i < n; ++i) a.value()[i] = static_cast<Real>(setting("start") + 0.01 * random.normal(i));
      z_.emplace_back(n), slope_.emplace_back(n);
      positions_ += static_cast<Real>(n);
    }
  }
  std::vector<NamedNumbers> state() override {
    std::vector<NamedNumbers> all = LatentMethod::state();
    std::ranges::copy(steering_.state(), std::back_inserter(all));
    return all;
  }

 protected:
  Parameter* beside(std::size_t l) override { return &log_alpha_[l]; }
  const Parameter* source(std::size_t) const override { return nullptr; }  // w z is not a copy of w
  void decide(Index, double target) override {
    if (target < 1) steering_.observe(density(), target);
  }
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    std::ranges::copy(log_alpha_[l].value(), scores.begin());
    return true;
  }

  void derive_block(std::size_t l, const RowBlock& block, Mode mode, Index step, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto weights = w(l, block);
    const auto a = of_block(std::as_const(log_alpha_[l]).value(), block);
    for (std::size_t i = 0; i < W.size(); ++i) live[i] = a[i] > static_cast<Real>(-HardConcrete::edge);
    if (mode != Mode::training) {
      for (std::size_t i = 0; i < W.size(); ++i) W[i] = live[i] ? weights[i] * HardConcrete::gate(a[i]) : Real{0};
      return;
    }
    const auto z = of_block(std::span<Real>(z_[l]), block), slope = of_block(std::span<Real>(slope_[l]), block);
    const Random random(options().seed, "l0/" + layer(l).name(), static_cast<std::uint64_t>(step));
    const auto s = latent_scratch(W.size());
    const auto n = static_cast<Index>(W.size());
    for (std::size_t i = 0; i < W.size(); ++i) {
      const std::uint64_t bits = random.bits(static_cast<std::uint64_t>(block.first) + i);
      const Real u = (static_cast<Real>(static_cast<std::int32_t>(bits >> 41)) + Real{0.5}) * Real{0x1p-23};
      s[i] = u / (1 - u);
    }
    kernels::logarithms(s.data(), s.data(), n);
    for (std::size_t i = 0; i < W.size(); ++i) s[i] = (s[i] + a[i]) / static_cast<Real>(HardConcrete::beta);
    kernels::activate(Activation::sigmoid, s.data(), n);
    for (std::size_t i = 0; i < W.size(); ++i) {
      const auto gate = HardConcrete::stretched(s[i]);
      z[i] = gate.z, slope[i] = gate.slope;
      W[i] = weights[i] * gate.z;
    }
  }
  // dL/dw = z dL/dw'      dL/d log alpha = w dz/d log alpha dL/dw' + lambda / N P (1 - P)
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto weights = w(l, block);
    const auto a = of_block(std::as_const(log_alpha_[l]).value(), block);
    const auto z = of_block(std::span<const Real>(z_[l]), block),
               slope = of_block(std::span<const Real>(slope_[l]), block);
    const Real penalty = steering_.pressure() / positions_;
    const auto d = latent_scratch(G.size());
    for (std::size_t i = 0; i < G.size(); ++i) d[i] = a[i] - static_cast<Real>(HardConcrete::shift);
    kernels::activate(Activation::sigmoid, d.data(), static_cast<Index>(G.size()));
    for (std::size_t i = 0; i < G.size(); ++i) d[i] = weights[i] * slope[i] * G[i] + penalty * d[i] * (1 - d[i]);
    gates_by_->update(log_alpha_[l], block, d, gate_rate_, step);
    for (std::size_t i = 0; i < G.size(); ++i) d[i] = z[i] * G[i];
    train(l, block, d, rate, step);
  }

 private:
  std::unique_ptr<Optimizer> gates_by_;
  Real gate_rate_, positions_ = 0;
  Steering steering_;
  std::vector<Parameter> log_alpha_;
  std::vector<AlignedVector<Real>> z_, slope_;  // of the step under way
};

}  // namespace

namespace method_pages {
MethodInfo l0() {
  return {.name = "l0",
          .family = "during training",
          .line = "hard-concrete gates: the expected number of weights is a penalty",
          .source = "Louizos, Welling, Kingma, Learning sparse neural networks through L0 regularization, 2018",
          .formula =
              "w' = w z,  z = clip(sigmoid((logit u + log alpha) / beta) (zeta - gamma) + gamma);  "
              "L + lambda / N sum P(z != 0), lambda steered",
          .cost =
              "dense products, seven more arrays, a logarithm and two exponentials per weight and step until "
              "`end`",
          .caveat = "one draw per weight serves a whole batch: noisy; the paper has gates on units, which are fewer",
          .example = "espalier train --method l0 --density 0.05",
          .defaults = {.schedule = {.begin = 0.05, .end = 0.7}},
          .settings = {{"start", 2, "log alpha before training; 2: nearly all gates open"},
                       {"gate_rate", 0.01, "learning rate of log alpha"},
                       {"lambda", 1, "the penalty when the density is on its path"},
                       {"gain", 3, "how strongly lambda answers to log(density / target)"},
                       {"integral_gain", 0.003, "and to its sum over steps"}},
          .make = [](const MethodContext& context) { return std::make_unique<HardConcreteGates>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
