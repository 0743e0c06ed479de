#include "pruning/allocation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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

// Solves sum_l min(live_l, c * share_l) = total for c by raising full layers to their limit until none overflows, then
// hands out what rounding left to the largest remainders.
std::vector<Index> proportional(std::span<const Scored> layers, const std::vector<double>& share, Index total) {
  std::vector<double> exact(layers.size(), 0);
  std::vector<bool> full(layers.size(), false);
  for (bool changed = true; changed;) {
    changed = false;
    double left = static_cast<double>(total), open = 0;
    for (std::size_t l = 0; l < layers.size(); ++l)
      (full[l] ? left : open) += full[l] ? -static_cast<double>(layers[l].W->nonzeros()) : share[l];
    for (std::size_t l = 0; l < layers.size(); ++l) {
      exact[l] = full[l] ? static_cast<double>(layers[l].W->nonzeros()) : left * share[l] / open;
      if (!full[l] && exact[l] > static_cast<double>(layers[l].W->nonzeros())) full[l] = changed = true;
    }
  }
  std::vector<Index> keep(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) keep[l] = static_cast<Index>(exact[l]);
  std::vector<std::size_t> order(layers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t l) { return exact[l] - std::floor(exact[l]); });
  Index missing = total - std::accumulate(keep.begin(), keep.end(), Index{0});
  while (missing > 0)
    for (const std::size_t l : order)
      if (missing > 0 && keep[l] < layers[l].W->nonzeros()) ++keep[l], --missing;
  return keep;
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

std::vector<std::uint32_t> top_k(std::span<const Real> scores, Index k) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto count = static_cast<std::ptrdiff_t>(std::clamp<Index>(k, 0, static_cast<Index>(scores.size())));
  std::nth_element(order.begin(), order.begin() + count, order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  });
  order.resize(static_cast<std::size_t>(count));
  std::ranges::sort(order);
  return order;
}

}  // namespace espalier
