#include "espalier/pruning/random_network.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"

namespace espalier {
RandomNetwork::RandomNetwork(const MethodContext& context)
    : LatentMethod(context),
      origin_{setting("normal") != 0 ? Initialiser::kaiming : Initialiser::signed_constant, context.options.seed} {
  for (Parameter* W : trainer().parameters())
    if (W->prunable()) initialise(*W, origin_.initialiser, origin_.seed);
  for (std::size_t l = 0; l < layers(); ++l) random_.emplace_back(layer(l).value().begin(), layer(l).value().end());
}

std::vector<Parameter*> RandomNetwork::latents() {
  std::vector<Parameter*> all;
  for (Parameter& score : scores_) all.push_back(&score);
  return all;
}

Index RandomNetwork::kept(std::size_t l) const {
  const auto positions = static_cast<double>(layer(l).positions());
  return std::max<Index>(1, std::llround(options().schedule.density * positions));
}

void RandomNetwork::mask(std::size_t l, Real scale, std::span<const std::uint8_t> live, std::span<Real> W) const {
  const std::span<const Real> random(random_[l]);
  for (std::size_t i = 0; i < W.size(); ++i) {
    const Real w = scale * random[i];  // computed in any case: no branch
    W[i] = live[i] ? w : Real{0};
  }
}

std::vector<Setting> random_network_settings(double score_rate) {
  return {{"score-rate", score_rate, "learning rate of the scores, as a multiple of the rate"},
          {"normal", 0, "1: weights drawn from a normal distribution; 0: constants with a random sign"}};
}

Real mark_top_k(std::span<const Real> scores, Index k, std::span<std::uint8_t> live) {
  require(k >= 1 && static_cast<std::size_t>(k) <= scores.size() && live.size() == scores.size(),
          "[mark_top_k] expected 1 to {} weights to mark, got {}", scores.size(), k);
  const Real limit = kth_highest(scores, k).score;
  Index marked = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) marked += live[i] = scores[i] >= limit;
  for (std::size_t i = scores.size(); marked > k; --i)  // of those at the limit the last ones, if they are too many
    if (scores[i - 1] == limit) live[i - 1] = 0, --marked;
  return limit;
}

}  // namespace espalier
