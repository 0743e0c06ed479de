#include "pruning/allocation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>

#include "core/error.h"

namespace espalier {
namespace {

Index rounded(double count) {
  return static_cast<Index>(std::llround(count));
}

std::vector<Index> uniform(std::span<const Scored> layers, double density) {
  std::vector<Index> keep;
  for (const Scored& layer : layers)
    keep.push_back(std::min(layer.W->nonzeros(), rounded(density * static_cast<double>(layer.W->positions()))));
  return keep;
}

std::vector<Index> proportional(std::span<const Scored> layers, const std::vector<double>& share, Index total) {
  std::vector<Index> live;
  for (const Scored& layer : layers) live.push_back(layer.W->nonzeros());
  return share_out(total, share, live);
}

std::vector<Index> erdos_renyi(std::span<const Scored> layers, Index total) {
  std::vector<double> share;  // (in + out) / (in * out) * positions
  for (const Scored& layer : layers) share.push_back(static_cast<double>(layer.W->rows() + layer.W->cols()));
  return proportional(layers, share, total);
}

std::vector<Index> global(std::span<const Scored> layers, Index total) {
  std::vector<Real> pooled;
  for (const Scored& layer : layers) pooled.insert(pooled.end(), layer.scores.begin(), layer.scores.end());
  const std::vector<std::uint32_t> chosen = top_k(pooled, total);
  std::vector<Index> keep;
  auto at = chosen.begin();
  std::size_t end = 0;
  for (const Scored& layer : layers) {
    end += layer.scores.size();
    const auto next = std::lower_bound(at, chosen.end(), end);
    keep.push_back(next - at);
    at = next;
  }
  return keep;
}

// The k-th highest score, k from 1 on, and how many of those that are equal to it are among the k highest. A histogram
// over leading bits tells which few scores it is among.
std::pair<Real, std::ptrdiff_t> kth_highest(std::span<const Real> scores, std::size_t k) {
  using Bits = std::conditional_t<sizeof(Real) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;
  constexpr int width = 8 * sizeof(Bits), bucket_bits = 14;
  const auto bucket_of = [](Real score) {  // rises with the score
    constexpr Bits sign = Bits{1} << (width - 1);
    const auto bits = std::bit_cast<Bits>(score + Real{0});  // -0 is 0
    return static_cast<std::size_t>((bits & sign ? ~bits : bits | sign) >> (width - bucket_bits));
  };
  std::vector<std::uint32_t> in_bucket(std::size_t{1} << bucket_bits, 0);
  for (const Real score : scores) ++in_bucket[bucket_of(score)];
  std::size_t bucket = in_bucket.size() - 1;
  for (; in_bucket[bucket] < k; --bucket) k -= in_bucket[bucket];
  std::vector<Real> few;
  few.reserve(in_bucket[bucket]);
  for (const Real score : scores)
    if (bucket_of(score) == bucket) few.push_back(score);
  const auto kth = few.begin() + static_cast<std::ptrdiff_t>(k) - 1;
  std::nth_element(few.begin(), kth, few.end(), std::greater{});
  const Real limit = *kth;
  return {limit, kth + 1 - few.begin() - std::count_if(few.begin(), kth, [&](Real s) { return s > limit; })};
}

}  // namespace

Allocation allocation_named(const std::string& name) {
  for (const Allocation allocation : {Allocation::uniform, Allocation::er, Allocation::global})
    if (name == name_of(allocation)) return allocation;
  throw UsageError(fmt::format("[allocation] expected uniform, er or global, got \"{}\"", name));
}

std::string name_of(Allocation allocation) {
  switch (allocation) {
    case Allocation::uniform:
      return "uniform";
    case Allocation::er:
      return "er";
    case Allocation::global:
      return "global";
  }
  return "?";
}

std::vector<Index> allocate(Allocation allocation, std::span<const Scored> layers, double density) {
  require(density > 0 && density <= 1, "[allocation] expected a density in (0, 1], got {}", density);
  Index positions = 0, live = 0;
  for (const Scored& layer : layers) positions += layer.W->positions(), live += layer.W->nonzeros();
  const Index total = std::min(live, rounded(density * static_cast<double>(positions)));
  const std::vector<Index> keep = allocation == Allocation::uniform ? uniform(layers, density)
                                  : allocation == Allocation::er    ? erdos_renyi(layers, total)
                                                                    : global(layers, total);
  for (std::size_t l = 0; l < layers.size(); ++l)
    require(keep[l] > 0, "[allocation] {} at density {} would leave {} ({} x {}) without a single weight; ask for more",
            name_of(allocation), density, layers[l].W->name(), layers[l].W->rows(), layers[l].W->cols());
  return keep;
}

// Solves sum_l min(room_l, c * share_l) = count for c by raising full layers to their limit until none overflows, then
// hands out what rounding left to the largest remainders.
std::vector<Index> share_out(Index count, std::span<const double> share, std::span<const Index> room) {
  require(count <= std::accumulate(room.begin(), room.end(), Index{0}), "[allocation] expected room for {} weights",
          count);
  constexpr double least = 1e-30;  // of a share, so that layers without any are equal
  std::vector<double> exact(share.size(), 0);
  std::vector<bool> full(share.size(), false);
  for (bool changed = true; changed;) {
    changed = false;
    double left = static_cast<double>(count), open = 0;
    for (std::size_t l = 0; l < share.size(); ++l)
      (full[l] ? left : open) += full[l] ? -static_cast<double>(room[l]) : std::max(share[l], least);
    for (std::size_t l = 0; l < share.size(); ++l) {
      const auto limit = static_cast<double>(room[l]);
      exact[l] = full[l] ? limit : left * std::max(share[l], least) / open;
      if (!full[l] && exact[l] > limit) full[l] = changed = true;
    }
  }
  std::vector<Index> counts;
  for (const double e : exact) counts.push_back(static_cast<Index>(e));
  std::vector<std::size_t> order(share.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t l) { return exact[l] - std::floor(exact[l]); });
  Index missing = count - std::accumulate(counts.begin(), counts.end(), Index{0});
  while (missing > 0)
    for (const std::size_t l : order)
      if (missing > 0 && counts[l] < room[l]) ++counts[l], --missing;
  return counts;
}

std::vector<std::uint32_t> top_k(std::span<const Real> scores, Index k) {
  const auto count = static_cast<std::size_t>(std::clamp<Index>(k, 0, static_cast<Index>(scores.size())));
  std::vector<std::uint32_t> kept;
  if (count == 0) return kept;
  // Whoever is above the k-th highest stays, and of those that are equal to it the first.
  auto [limit, ties] = kth_highest(scores, count);
  kept.reserve(count);
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (scores[i] > limit || (scores[i] == limit && ties-- > 0)) kept.push_back(static_cast<std::uint32_t>(i));
  return kept;
}

}  // namespace espalier
