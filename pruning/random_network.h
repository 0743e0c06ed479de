// Strong lottery tickets: a random network has, inside, subnetworks that are as good as trained ones (Ramanujan et al.
// 2020; proved by Malach et al. 2020). What the methods that look for them have in common: weights are drawn and stay
// as they are, to the bit and up to one scale per layer; biases stay 0 and normalisation stays the identity. What is
// trained are scores, and all that a file of the result needs is the seed and the mask (layers/model_file.h).
//
//     scores  --select-->  mask          W = scale mask w          w: random, [rows, cols]
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "espalier/pruning/latent_method.h"

namespace espalier {

class RandomNetwork : public LatentMethod {
 public:
  std::vector<Parameter*> latents() override;
  std::optional<Origin> origin() const override { return origin_; }

 protected:
  // Draws every weight of the model anew, protected ones as well: signed constants, unless the setting "normal" is 1.
  explicit RandomNetwork(const MethodContext& context);
  bool never_trained(const Parameter&) const final { return true; }

  std::span<const Real> random(std::size_t l) const { return random_[l]; }
  // One score per weight, or what the method puts there instead.
  Parameter& scores(std::size_t l) { return scores_[l]; }
  std::vector<Parameter>& scores() { return scores_; }
  // Of layer l: round(density * positions), at least 1.
  Index kept(std::size_t l) const;
  // W = scale live w
  void mask(std::size_t l, Real scale, std::span<const std::uint8_t> live, std::span<Real> W) const;
  // G: [block.weights()] dL/dscore
  void train(std::size_t l, const RowBlock& block, std::span<const Real> G, Real rate, Index step) {
    optimizer().update(scores_[l], block, G, rate * static_cast<Real>(setting("score-rate")), step);
  }

 private:
  Origin origin_;
  std::vector<AlignedVector<Real>> random_;
  std::vector<Parameter> scores_;
};

// The settings that all such methods have.
std::vector<Setting> random_network_settings(double score_rate);

// live[i] = 1 for the k largest scores and 0 for the others, ties to the lowest index; 1 <= k <= scores.size(). Returns
// the k-th largest.
Real mark_top_k(std::span<const Real> scores, Index k, std::span<std::uint8_t> live);

}  // namespace espalier
