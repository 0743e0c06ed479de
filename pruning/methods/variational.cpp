// Sparse variational dropout.
//
//   Molchanov, Ashukha, Vetrov, "Variational dropout sparsifies deep neural networks", 2017
//
//   w' = theta + sigma e,  e ~ N(0, 1)      alpha = sigma^2 / theta^2      dropped where log alpha > 3
//   L + pressure / samples sum KL(log alpha),   KL = -k1 sigmoid(k2 + k3 log alpha) + log(1 + 1 / alpha) / 2
//
// Each weight learns how much noise it can bear; one that is nearly all noise says nothing. theta is trained by the
// run's optimizer without weight decay (KL is the regulariser), log sigma^2 by Adam as in the paper. Two things differ:
//  * Noise. The paper draws the outputs of a layer, sample by sample (local reparameterisation); here one e per weight
//    and step serves the batch, drawn as a sum of four uniforms. Unbiased as well, but the gradient is noisier.
//  * Density. The paper warms KL up to its full weight and takes what comes of it; here KL's weight is 0 until `begin`
//    and then steered along the schedule's density (Steering in latent_method.h); pressure 1 is the true bound.
// When: every step until `end`; from then on noise is off, the pattern is fixed and the weights are trained alone.
// Cost: dense products, five more arrays, several exponentials per weight and step. Caveat: what is left above the
// asked density at `end` is cut, largest log alpha first; log sigma^2 moves slowly, so trainings are long. Try:
// espalier train --method variational --density 0.02 Exercise: print the pressure. Is it above or below 1 at the end,
// and what does Bayes say of that?
#include "core/random.h"
#include "pruning/latent_method.h"
#include "pruning/relaxations.h"

namespace espalier {
namespace {

class Variational final : public LatentMethod {
 public:
  explicit Variational(const MethodContext& context)
      : LatentMethod(context),
        noise_by_(make_optimizer({.name = "adam"})),
        noise_rate_(static_cast<Real>(setting("noise_rate"))),
        samples_(static_cast<Real>(context.train.data().samples())),
        steering_(setting("pressure"), setting("gain"), setting("integral_gain")) {
    for (std::size_t l = 0; l < layers(); ++l) {
      theta_.push_back(latent_like(l, "theta", Role::bias));
      std::ranges::copy(layer(l).value(), theta_.back().value().begin());
      Parameter& s =
          log_sigma2_.emplace_back(layer(l).name() + "/log_sigma2", layer(l).rows(), layer(l).cols(), Role::bias);
      noise_by_->prepare(s);
      std::ranges::fill(s.value(), static_cast<Real>(setting("start")));
    }
  }
  std::vector<Parameter*> latents() override {
    std::vector<Parameter*> all;
    for (std::size_t l = 0; l < layers(); ++l) all.insert(all.end(), {&theta_[l], &log_sigma2_[l]});
    return all;
  }
  std::vector<NamedNumbers> state() override {
    std::vector<NamedNumbers> all = LatentMethod::state();
    all.insert(all.end(), {steering_.state_integral(), steering_.state_pressure()});
    return all;
  }

 protected:
  void decide(Index, double target) override {
    if (target < 1) steering_.observe(density(), target);
  }
  double learns_until() const override { return options().schedule.end; }
  bool score_layer(std::size_t l, std::span<Real> scores) const override {
    const auto theta = theta_[l].value(), s = log_sigma2_[l].value();
    for (std::size_t i = 0; i < theta.size(); ++i) scores[i] = -log_alpha(theta[i], s[i]);
    return true;
  }
  const Parameter* source(std::size_t l) const override { return &theta_[l]; }

  void derive_block(std::size_t l, const RowBlock& block, Mode mode, Index step, std::span<Real> W,
                    std::span<std::uint8_t> live) override {
    const auto theta = of_block(std::as_const(theta_[l]).value(), block);
    const auto s = of_block(std::as_const(log_sigma2_[l]).value(), block);
    const Random random(options().seed, "variational/" + layer(l).name(), static_cast<std::uint64_t>(step));
    for (std::size_t i = 0; i < W.size(); ++i) {
      const Real sigma = exp_of(s[i] / 2);
      live[i] = sigma <= limit * std::abs(theta[i]);  // log alpha <= 3
      W[i] = mode != Mode::training
                 ? (live[i] ? theta[i] : Real{0})
                 : theta[i] + sigma * nearly_normal<Real>(random.bits(static_cast<std::uint64_t>(block.first) + i));
    }
  }
  // dw'/dlog sigma^2 = sigma e / 2 = (w' - theta) / 2     dlog alpha/dtheta = -2 / theta     dlog alpha/dlog sigma^2 =
  // 1 KL pulls theta by at most a tenth of itself: where theta is small, its gradient, up to 1 / sigma, would throw it
  // far beyond zero.
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto W = of_block(layer(l).value(), block);
    const auto theta = of_block(std::as_const(theta_[l]).value(), block);
    const auto s = of_block(std::as_const(log_sigma2_[l]).value(), block);
    const Real weight = steering_.pressure() / samples_, limit_of_pull = Real{0.1} / rate;
    const auto both = latent_scratch(2 * G.size());
    const auto dtheta = both.first(G.size()), ds = both.subspan(G.size(), G.size());
    for (std::size_t i = 0; i < G.size(); ++i) {
      const Real slope = weight * VariationalKl::slope(log_alpha(theta[i], s[i]));
      dtheta[i] = G[i] + theta[i] * std::min(-2 * slope / (theta[i] * theta[i] + tiny), limit_of_pull);
      ds[i] = G[i] * (W[i] - theta[i]) / 2 + slope;
    }
    optimizer().update(theta_[l], block, dtheta, rate, step);
    noise_by_->update(log_sigma2_[l], block, ds, noise_rate_, step);
  }

 private:
  static constexpr Real limit = Real{4.4816890703};  // e^(3/2)
  static constexpr Real tiny = Real{1e-8};
  static Real log_alpha(Real theta, Real log_sigma2) { return log_sigma2 - log_of(theta * theta + tiny); }
  std::unique_ptr<Optimizer> noise_by_;
  Real noise_rate_, samples_;
  Steering steering_;
  std::vector<Parameter> theta_, log_sigma2_;
};

}  // namespace

namespace methods {
MethodInfo variational() {
  return {.name = "variational",
          .family = "during training",
          .essence = "sparse variational dropout: weights that are nearly all noise go",
          .source = "Molchanov, Ashukha, Vetrov, Variational dropout sparsifies deep neural networks, 2017",
          .formula =
              "w' = theta + sigma e;  L + pressure / samples sum KL(log alpha), alpha = sigma^2 / theta^2;  "
              "dropped: log alpha > 3;  pressure steered",
          .cost = "dense products, five more arrays and several exponentials per weight and step until `end`",
          .caveat = "one draw per weight serves a whole batch: noisier than the paper's; wants long trainings",
          .example = "espalier train --method variational --density 0.02",
          .defaults = {.schedule = {.begin = 0.05, .end = 0.7}},
          .settings = {{"start", -10, "log sigma^2 before training"},
                       {"noise_rate", 0.01, "learning rate of log sigma^2"},
                       {"pressure", 1, "KL's weight when the density is on its path"},
                       {"gain", 3, "how strongly KL's weight answers to log(density / target)"},
                       {"integral_gain", 0.01, "and to its sum over steps"}},
          .make = [](const MethodContext& context) { return std::make_unique<Variational>(context); }};
}
}  // namespace methods

}  // namespace espalier
