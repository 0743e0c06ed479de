// Neuron-subnetworks: whole neurons or filters of a random network stay, or go.
//
//   W_r = m_r w_r,   m_r = 1 for the largest scores s of a layer,   w random and never trained
//   ds_r = sum over columns c of dL/dW_rc w_rc
//
// A neuron is a randomly drawn feature: keep the useful ones. This is the control for edge-popup: the same random
// weights, the same number of them kept, but one choice per neuron instead of one per weight. The paper shows that such
// subnetworks are no better than random features, while weight-subnetworks approximate anything. Scores are trained
// like those of edge-popup (Ramanujan et al. 2020), one per row.
//
// The output layer keeps all its rows, for they are the classes; the others keep so many that the density of all
// weights is the one asked for. Columns that read a removed neuron stay in the file; `effective_nonzeros` in
// result.json does not count them.
//
// When: in every step.
//
// Exercise: how wide must fc1 and fc2 be (--model mlp:784-...-10) before it is as good as edge-popup at 300 and 100?
#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/pruning/random_network.h"

namespace espalier {
namespace {

class NeuronSubnetwork final : public RandomNetwork {
 public:
  explicit NeuronSubnetwork(const MethodContext& context)
      : RandomNetwork(context), fraction_(fraction(context.options.schedule.density)) {
    for (std::size_t l = 0; l < layers(); ++l) {
      Parameter& score = scores().emplace_back(layer(l).name() + "/score", layer(l).rows(), 1, Role::bias);
      optimizer().prepare(score);
      initialise(score, Initialiser::lecun_uniform, context.options.seed);
    }
  }
  void require_possible(double density) const override { fraction(density); }

 private:
  bool is_output(std::size_t l) const { return l + 1 == layers(); }
  // Of the rows of every layer but the last, so that `density` of all weights stay. Throws UsageError if none may.
  double fraction(double density) const {
    double all = 0;
    for (std::size_t l = 0; l < layers(); ++l) all += static_cast<double>(layer(l).positions());
    const auto output = static_cast<double>(layer(layers() - 1).positions());
    require(density * all > output,
            "[neuron-subnetwork] density {} of {} weights would not leave {} its {}; ask for more than {:.3f}", density,
            all, layer(layers() - 1).name(), output, output / all);
    return (density * all - output) / (all - output);
  }
  // Every layer but the first reads from a fraction of its columns only.
  Real scale(std::size_t l) const { return l == 0 ? Real{1} : static_cast<Real>(std::sqrt(1 / fraction_)); }

  void derive_layer(std::size_t l, Mode, Index, std::span<Real> W, std::span<std::uint8_t> live) override {
    const Index rows = layer(l).rows(), cols = layer(l).cols();
    std::vector<std::uint8_t> kept(rows, 1);
    const Index count = std::max<Index>(1, std::llround(fraction_ * static_cast<double>(rows)));
    if (!is_output(l)) mark_top_k(scores(l).value(), count, kept);
    for (std::size_t i = 0; i < live.size(); ++i) live[i] = kept[i / static_cast<std::size_t>(cols)];
    mask(l, scale(l), live, W);
  }
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    if (is_output(l)) return;
    const auto w = of_block(random(l), block);
    const auto cols = static_cast<std::size_t>(layer(l).cols()), rows = static_cast<std::size_t>(block.rows());
    const auto dS = latent_scratch(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::size_t i = r * cols; i < (r + 1) * cols; ++i) sum += static_cast<double>(G[i] * w[i]);
      dS[r] = static_cast<Real>(sum) * scale(l);
    }
    train(l, {block.first_row, block.last_row, block.first_row, block.last_row}, dS, rate, step);
  }

  double fraction_;
};

}  // namespace

namespace method_pages {
MethodInfo neuron_subnetwork() {
  return {.name = "neuron-subnetwork",
          .family = "strong lottery ticket",
          .line = "choose whole neurons of a random network: the control for edge-popup, provably weaker",
          .source =
              "Malach, Yehudai, Shalev-Shwartz, Shamir, Proving the lottery ticket hypothesis: pruning is all "
              "you need, 2020, section 3",
          .formula = "W_r = m_r w_r, m_r = 1 for the largest scores of a layer;  ds_r = sum_c dL/dW_rc w_rc",
          .cost = "dense training",
          .caveat = "no better than random features, as the paper proves",
          .example = "espalier train --data mnist --method neuron-subnetwork --epochs 20 --no-dense",
          .defaults = {.allocation = Allocation::uniform, .schedule = {.density = 0.5}},
          .settings = random_network_settings(10),
          .make = [](const MethodContext& context) { return std::make_unique<NeuronSubnetwork>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
