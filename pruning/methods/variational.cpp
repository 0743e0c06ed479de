// Sparse variational dropout.
//
//   w' = theta + sigma e,  e ~ N(0, 1)      alpha = sigma^2 / theta^2      dropped where log alpha > 3
//   L + pressure / samples sum KL(log alpha),   KL = -k1 sigmoid(k2 + k3 log alpha) + log(1 + 1 / alpha) / 2
//
// Each weight learns how much noise it can bear; one that is nearly all noise says nothing. theta is trained by the
// run's optimizer without weight decay (KL is the regulariser), log sigma^2 by Adam as in the paper. What differs:
//  * Noise. The paper draws the outputs of a layer, sample by sample (local reparameterisation); here one e per weight
//    and step, a sum of four uniforms, serves the batch. Through that, dL/dlog sigma^2 = sigma e / 2 dL/dw' drowns in
//    noise; its mean is sigma^2 / 2 d2L/dw'^2 (Stein), and batch (dL/dw')^2 stands for the curvature (Gauss-Newton, as
//    in Khan et al. 2018). sigma^2 then settles where the loss begins to feel it.
//  * Density. The paper takes what comes of KL and hundreds of epochs. Here weights are off as well if their log alpha
//    is among the largest, as many as the schedule wants, so that the others can adapt; they are trained on and may
//    return. KL warms up along the same path: pressure 0 at density 1, all of it at the density asked for. If fewer
//    weights have log alpha <= 3, fewer stay.
//
// When: KL and noise in every step, a choice every `interval` steps, until `end`; from then on noise is off, the
// pattern is fixed and the weights are trained alone.
//
// Exercise: at `end`, compare the ranking by -log alpha with that of obd, w^2 d2L/dw^2 / 2. Why are they alike?
#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/nearly_normal.h"
#include "espalier/core/random.h"
#include "espalier/pruning/latent_method.h"
#include "espalier/pruning/relaxations.h"

namespace espalier {
namespace {

class Variational final : public LatentWeights {
 public:
  explicit Variational(const MethodContext& context)
      : LatentWeights(context, "theta", Role::bias),
        noise_by_(make_optimizer({.name = "adam"})),
        noise_rate_(static_cast<Real>(setting("noise_rate"))),
        samples_(static_cast<Real>(context.train.data().samples())),
        batch_(static_cast<Real>(context.train.options().batch)),
        limit_(layers(), noisiest) {
    require(noise_rate_ > 0 && setting("pressure") >= 0,
            "[variational] expected a noise_rate above 0 and a pressure of at least 0, got {} and {}", noise_rate_,
            setting("pressure"));
    for (std::size_t l = 0; l < layers(); ++l) {
      Parameter& s =
          log_sigma2_.emplace_back(layer(l).name() + "/log_sigma2", layer(l).rows(), layer(l).cols(), Role::bias);
      noise_by_->prepare(s);
      std::ranges::fill(s.value(), static_cast<Real>(setting("start")));
    }
  }
  std::vector<NamedNumbers> state() override {
    std::vector<NamedNumbers> all = LatentMethod::state();
    all.insert(all.end(), {{"variational/limit", limit_}, {"variational/pressure", {&pressure_, 1}}});
    return all;
  }

 protected:
  Parameter* beside(std::size_t l) override { return &log_sigma2_[l]; }
  void decide(Index step, double density) override {
    if (density >= 1 || step % options().schedule.interval != 0) return;
    pressure_ = static_cast<Real>(setting("pressure") * (1 - density) / (1 - options().schedule.density));
    const std::vector<Real> least = thresholds(density);
    for (std::size_t l = 0; l < layers(); ++l) limit_[l] = std::min(noisiest, std::exp(-least[l] / 2));
  }
  void conclude() override { std::ranges::fill(limit_, noisiest); }  // freezing cuts to exactly what was asked
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    const auto theta = w(l), s = log_sigma2_[l].value();
    for (std::size_t i = 0; i < theta.size(); ++i) scores[i] = -log_alpha(theta[i], s[i]);
    return true;
  }

  void derive_block(std::size_t l, const RowBlock& block, Mode mode, Index step, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto theta = w(l, block);
    const auto s = of_block(std::as_const(log_sigma2_[l]).value(), block);
    const Random random(options().seed, "variational/" + layer(l).name(), static_cast<std::uint64_t>(step));
    const auto first = static_cast<std::uint64_t>(block.first);
    const Real limit = limit_[l];
    const auto sigma = latent_scratch(W.size());
    for (std::size_t i = 0; i < W.size(); ++i) sigma[i] = s[i] / 2;
    kernels::exponentials(sigma.data(), sigma.data(), static_cast<Index>(W.size()));
    for (std::size_t i = 0; i < W.size(); ++i) {
      live[i] = sigma[i] <= limit * std::abs(theta[i]);  // log alpha <= 2 log limit
      const Real e = mode != Mode::training ? Real{0} : nearly_normal<Real>(random.bits(first + i));
      W[i] = live[i] ? theta[i] + sigma[i] * e : Real{0};
    }
  }
  // dlog alpha/dtheta = -2 / theta      dlog alpha/dlog sigma^2 = 1
  // KL pulls theta by at most a tenth of itself: where theta is small, its gradient, up to 1 / sigma, would throw it
  // far beyond zero.
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto theta = w(l, block);
    const auto s = of_block(std::as_const(log_sigma2_[l]).value(), block);
    const Real weight = pressure_ / samples_, limit_of_pull = Real{0.1} / rate;
    const auto n = static_cast<Index>(G.size());
    const auto all = latent_scratch(3 * G.size());
    const auto dtheta = all.first(G.size()), ds = all.subspan(G.size(), G.size()), sigma2 = all.last(G.size());
    for (std::size_t i = 0; i < G.size(); ++i) ds[i] = theta[i] * theta[i] + tiny;
    kernels::logarithms(ds.data(), ds.data(), n);
    for (std::size_t i = 0; i < G.size(); ++i) {
      const Real log_alpha = s[i] - ds[i];
      dtheta[i] = VariationalKl::place(log_alpha), ds[i] = -log_alpha;
    }
    kernels::activate(Activation::sigmoid, all.data(), 2 * n);  // both
    kernels::exponentials(s.data(), sigma2.data(), n);
    for (std::size_t i = 0; i < G.size(); ++i) {
      const Real slope = weight * VariationalKl::slope(dtheta[i], ds[i]);
      dtheta[i] = G[i] + theta[i] * std::min(-2 * slope / (theta[i] * theta[i] + tiny), limit_of_pull);
      ds[i] = sigma2[i] * batch_ * G[i] * G[i] / 2 + slope;
    }
    train(l, block, dtheta, rate, step);
    noise_by_->update(log_sigma2_[l], block, ds, noise_rate_, step);
  }

 private:
  static constexpr Real noisiest = Real{4.4816890703};  // sigma / |theta| where log alpha = 3
  static constexpr Real tiny = Real{1e-8};
  static Real log_alpha(Real theta, Real log_sigma2) { return log_sigma2 - std::log(theta * theta + tiny); }
  std::unique_ptr<Optimizer> noise_by_;
  Real noise_rate_, samples_, batch_;
  std::vector<Real> limit_;  // of sigma / |theta|, per layer
  Real pressure_ = 0;
  std::vector<Parameter> log_sigma2_;
};

}  // namespace

namespace method_pages {
MethodInfo variational() {
  return {.name = "variational",
          .family = "during training",
          .line = "sparse variational dropout: weights that are nearly all noise go",
          .source = "Molchanov, Ashukha, Vetrov, Variational dropout sparsifies deep neural networks, 2017",
          .formula =
              "w' = theta + sigma e;  L + pressure / samples sum KL(log alpha), alpha = sigma^2 / theta^2;  "
              "dropped: log alpha > 3, and the largest",
          .cost = "dense products, six more arrays and several exponentials per weight and step until `end`",
          .caveat =
              "one draw per weight serves a whole batch: noisier than the paper's; a pressure far above 1 thins "
              "out faster, and drowns the survivors in noise as well",
          .example = "espalier train --method variational --density 0.02",
          .defaults = {.schedule = {.begin = 0.05, .end = 0.7, .interval = 10}},
          .settings = {{"start", -10, "log sigma^2 before training"},
                       {"noise_rate", 0.02, "learning rate of log sigma^2"},
                       {"pressure", 1, "KL's weight at the density asked for; 1: the variational bound"}},
          .make = [](const MethodContext& context) { return std::make_unique<Variational>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
