#include "pruning/random_network.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <type_traits>

#include "core/error.h"

namespace espalier {
namespace {

using Key = std::conditional_t<sizeof(Real) == 8, std::uint64_t, std::uint32_t>;

// In the order of the numbers: the sign bit flipped, all bits of negative ones.
Key key_of(Real number) {
  constexpr Key sign = Key{1} << (8 * sizeof(Key) - 1);
  const Key bits = std::bit_cast<Key>(number);
  return bits & sign ? ~bits : bits | sign;
}

}  // namespace

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
  for (std::size_t i = 0; i < W.size(); ++i) W[i] = live[i] ? scale * random_[l][i] : Real{0};
}

std::vector<Setting> random_network_settings(double score_rate) {
  return {{"score-rate", score_rate, "learning rate of the scores, as a multiple of --rate"},
          {"normal", 0, "1: weights drawn from a normal distribution; 0: constants with a random sign"}};
}

Real mark_top_k(std::span<const Real> scores, Index k, std::span<std::uint8_t> live) {
  require(k >= 1 && static_cast<std::size_t>(k) <= scores.size() && live.size() == scores.size(),
          "[mark_top_k] expected 1 to {} weights to mark, got {}", scores.size(), k);
  constexpr int shift = 8 * sizeof(Key) - 16;
  std::vector<Index> count(1 << 16, 0);
  for (const Real s : scores) ++count[key_of(s) >> shift];
  std::size_t bin = count.size() - 1;
  Index left = k;  // how many of this bin
  while (count[bin] < left) left -= count[bin--];
  std::vector<Key> inside;
  inside.reserve(static_cast<std::size_t>(count[bin]));
  for (const Real s : scores)
    if (key_of(s) >> shift == bin) inside.push_back(key_of(s));
  std::nth_element(inside.begin(), inside.begin() + (left - 1), inside.end(), std::greater{});
  const Key last = inside[static_cast<std::size_t>(left - 1)];
  Index ties = left - std::count_if(inside.begin(), inside.end(), [&](Key key) { return key > last; });
  Real threshold = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Key key = key_of(scores[i]);
    live[i] = key > last || (key == last && ties-- > 0);
    if (key == last) threshold = scores[i];
  }
  return threshold;
}

}  // namespace espalier
