// Edge-popup: strong lottery tickets by scores.
//
//   W = m w,   m = 1 for the d n largest scores s of a layer,   w = +-sqrt(2 / (d fan_in)), never trained
//   dL/ds = dL/dW w                                              straight through the selection, live or dead
//
// An edge whose weight would have been pushed towards growing, had it been allowed to, gains score, and pops up in
// place of another. d is the density: at one half there are most subnetworks to choose from. Scores do not decay. Only
// their order counts; if they shrank, steps of the same length would change more of it, and the network would never
// settle.
//
// When: in every step.
//
// Exercise: train with --density 0.1, 0.5 and 0.9. Why is the best one in the middle, and which file is smallest?
#include <cmath>

#include "espalier/pruning/random_network.h"

namespace espalier {
namespace {

class EdgePopup final : public RandomNetwork {
 public:
  explicit EdgePopup(const MethodContext& context)
      : RandomNetwork(context), scale_(static_cast<Real>(std::sqrt(1 / context.options.schedule.density))) {
    for (std::size_t l = 0; l < layers(); ++l)
      initialise(scores().emplace_back(latent_like(l, "score", Role::bias)), Initialiser::lecun_uniform,
                 context.options.seed);
  }

 private:
  void derive_layer(std::size_t l, Mode, Index, std::span<Real> W, std::span<std::uint8_t> live) override {
    mark_top_k(scores(l).value(), kept(l), live);
    mask(l, scale_, live, W);
  }
  void update_layer(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) override {
    const auto w = of_block(random(l), block);
    const auto dS = latent_scratch(G.size());
    for (std::size_t i = 0; i < G.size(); ++i) dS[i] = G[i] * scale_ * w[i];
    train(l, block, dS, rate, step);
  }

  Real scale_;
};

}  // namespace

namespace method_pages {
MethodInfo edge_popup() {
  return {.name = "edge-popup",
          .family = "strong lottery ticket",
          .line = "choose a subnetwork of a random network by trained scores; no weight is ever trained",
          .source =
              "Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari, What's hidden in a randomly weighted neural "
              "network?, 2020; that such subnetworks exist: Malach, Yehudai, Shalev-Shwartz, Shamir, Proving "
              "the lottery ticket hypothesis: pruning is all you need, 2020",
          .formula = "W = m w, m = 1 for the largest scores s of a layer;  dL/ds = dL/dW w",
          .cost = "dense training, plus a top-k selection in every step; the file holds a seed and a mask",
          .caveat =
              "wants a network several times as wide as a trained one, and a density near 0.5; saves nothing "
              "while it trains",
          .example = "espalier train --data mnist --method edge-popup --epochs 20",
          .defaults = {.allocation = Allocation::uniform, .schedule = {.density = 0.5}},
          .settings = random_network_settings(10),
          .make = [](const MethodContext& context) { return std::make_unique<EdgePopup>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
