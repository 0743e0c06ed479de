#include "espalier/pruning/allocation.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

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

std::vector<Index> erdos_renyi(std::span<const Scored> layers, Index total, bool with_kernel) {
  std::vector<double> share;  // (in + out) / (in * out) * positions; erk: (in + out + kh + kw) / (in * out)
  for (const Scored& layer : layers) {
    const Window* kernel = with_kernel ? layer.window : nullptr;
    const Index in = layer.W->cols() / (kernel ? kernel->taps() : 1);
    const Index extents = kernel ? kernel->kernel_height + kernel->kernel_width : 0;
    share.push_back(static_cast<double>(in + layer.W->rows() + extents));
  }
  return proportional(layers, share, total);
}

std::vector<Index> global(std::span<const std::span<const Real>> scores, Index total) {
  std::vector<Real> pooled;
  for (const auto& layer : scores) pooled.insert(pooled.end(), layer.begin(), layer.end());
  const std::vector<std::uint32_t> chosen = top_k(pooled, total);
  std::vector<Index> keep;
  auto at = chosen.begin();
  std::size_t end = 0;
  for (const auto& layer : scores) {
    end += layer.size();
    const auto next = std::lower_bound(at, chosen.end(), end);
    keep.push_back(next - at);
    at = next;
  }
  return keep;
}

// score_u^2 / sum over v at least as important of score_v^2. Of equal scores the lower index is the more important, so
// that the best weight has exactly 1 and no other more than a half. A negative score counts as 0.
std::vector<Real> lamp_scores(std::span<const Real> scores) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, std::greater{}, [&](std::uint32_t i) { return scores[i]; });
  std::vector<Real> lamp(scores.size(), 0);
  double sum = 0;
  for (const std::uint32_t i : order) {
    const double score = std::max(static_cast<double>(scores[i]), 0.0);
    sum += score * score;
    if (sum > 0) lamp[i] = static_cast<Real>(score * score / sum);
  }
  if (!order.empty()) lamp[order.front()] = 1;  // even if it is 0
  return lamp;
}

std::vector<Index> allocate_by_scores(std::span<const Scored> layers, Index total, bool layer_adaptive) {
  std::vector<std::vector<Real>> adapted;
  std::vector<std::span<const Real>> scores;
  adapted.reserve(layers.size());  // spans look into it
  for (const Scored& layer : layers)
    scores.push_back(layer_adaptive ? adapted.emplace_back(lamp_scores(layer.scores)) : layer.scores);
  return global(scores, total);
}

std::vector<Index> as_given(const Allocation& given, std::span<const Scored> layers, double density) {
  const double final_density = overall_density(given, layers);
  const double part = final_density < 1 ? std::min(1.0, (1 - density) / (1 - final_density)) : 0;
  std::vector<Index> keep;
  for (const Scored& layer : layers) {
    const double of_layer = 1 - (1 - given.density_of.at(layer_of(layer.W->name()))) * part;
    keep.push_back(std::min(layer.W->nonzeros(), rounded(of_layer * static_cast<double>(layer.W->positions()))));
  }
  return keep;
}

// What each layer may fall to alone, all times the same factor. The factor depends on the density only, and counts fall
// with it: so along a schedule no weight is asked back.
std::vector<Index> by_sensitivity(const Allocation& measured, std::span<const Scored> layers, Index total) {
  std::vector<double> share;
  for (const Scored& layer : layers) {
    const auto found = measured.density_of.find(layer_of(layer.W->name()));
    require(found != measured.density_of.end(), "[allocation] {}: expected a measured density of {}, got none",
            name_of(measured), layer.W->name());
    share.push_back(found->second * static_cast<double>(layer.W->positions()));
  }
  return proportional(layers, share, total);
}

std::vector<Index> counts_of(const Allocation& allocation, std::span<const Scored> layers, double density,
                             Index total) {
  switch (allocation.rule) {
    case Allocation::uniform:
      return uniform(layers, density);
    case Allocation::er:
    case Allocation::erk:
      return erdos_renyi(layers, total, allocation.rule == Allocation::erk);
    case Allocation::global:
    case Allocation::lamp:
      return allocate_by_scores(layers, total, allocation.rule == Allocation::lamp);
    case Allocation::sensitivity:
      return by_sensitivity(allocation, layers, total);
    case Allocation::given:
      return as_given(allocation, layers, density);
  }
  return {};
}

constexpr std::pair<Allocation::Rule, const char*> allocation_rules[] = {{Allocation::uniform, "uniform"},
                                                                         {Allocation::er, "er"},
                                                                         {Allocation::erk, "erk"},
                                                                         {Allocation::global, "global"},
                                                                         {Allocation::lamp, "lamp"}};

// "0.05": a number above 0 and up to `most`, or nothing.
std::optional<double> number_in(std::string_view text, double most) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !(number > 0 && number <= most)) return std::nullopt;
  return number;
}

constexpr std::string_view sensitivity_word = "sensitivity";

// "sensitivity:1"
Allocation by_sensitivity_named(const std::string& name) {
  constexpr double most_points = 100;
  Allocation allocation(Allocation::sensitivity);
  const auto drop = name.size() > sensitivity_word.size()
                        ? number_in(std::string_view(name).substr(sensitivity_word.size() + 1), most_points)
                        : std::nullopt;
  require(
      drop.has_value(),
      "[allocation] expected sensitivity:DROP, the points above 0 and up to 100 that each layer alone may lose, such "
      "as sensitivity:1, got \"{}\"",
      name);
  allocation.drop = *drop;
  return allocation;
}

}  // namespace

std::string layer_of(const std::string& parameter) {
  constexpr std::string_view suffix = ".weight";
  return parameter.ends_with(suffix) ? parameter.substr(0, parameter.size() - suffix.size()) : parameter;
}

Allocation allocation_named(const std::string& name) {
  std::vector<std::string> rules;
  for (const auto& [rule, known] : allocation_rules) {
    if (name == known) return rule;
    rules.emplace_back(known);
  }
  if (name == sensitivity_word || name.starts_with(std::string(sensitivity_word) + ":"))
    return by_sensitivity_named(name);
  rules.emplace_back("sensitivity:DROP");
  require(name.find('=') != std::string::npos,
          "[allocation] expected {} or densities such as fc1=0.05,output=1, got \"{}\"{}", fmt::join(rules, ", "), name,
          did_you_mean(name, rules));
  Allocation given(Allocation::given);
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find(',', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const std::size_t equals = part.rfind('=');
    const auto density = equals == std::string::npos ? std::nullopt : number_in(part.substr(equals + 1), 1);
    require(density && equals > 0, "[allocation] expected layer=density with a density in (0, 1], got \"{}\"", part);
    const std::string layer = layer_of(part.substr(0, equals));
    require(given.density_of.emplace(layer, *density).second, "[allocation] expected every layer once, got {} again",
            layer);
    begin = end + 1;
  }
  return given;
}

std::string name_of(const Allocation& allocation) {
  for (const auto& [rule, known] : allocation_rules)
    if (allocation.rule == rule) return known;
  if (allocation.rule == Allocation::sensitivity) return fmt::format("{}:{}", sensitivity_word, allocation.drop);
  std::string text;
  for (const auto& [layer, density] : allocation.density_of)
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", layer, density);
  return text;
}

double overall_density(const Allocation& given, std::span<const Scored> layers) {
  std::vector<std::string> names;
  for (const Scored& layer : layers) names.push_back(layer_of(layer.W->name()));
  const auto complain = [&](const char* what, const std::string& name) {
    throw UsageError(fmt::format("[allocation] expected a density for each layer to prune ({}), got {} {}",
                                 fmt::join(names, ", "), what, name) +
                     (std::ranges::count(names, name) ? "" : did_you_mean(name, names)));
  };
  for (const auto& [name, density] : given.density_of)
    if (!std::ranges::count(names, name)) complain("one for", name);
  double live = 0, positions = 0;
  for (const Scored& layer : layers) {
    const auto found = given.density_of.find(layer_of(layer.W->name()));
    if (found == given.density_of.end()) complain("none for", layer_of(layer.W->name()));
    live += found->second * static_cast<double>(layer.W->positions());
    positions += static_cast<double>(layer.W->positions());
  }
  return live / positions;
}

std::vector<Index> allocate(const Allocation& allocation, std::span<const Scored> layers, double density) {
  require(density > 0 && density <= 1, "[allocation] expected a density in (0, 1], got {}", density);
  Index positions = 0, live = 0;
  for (const Scored& layer : layers) positions += layer.W->positions(), live += layer.W->nonzeros();
  const Index total = std::min(live, rounded(density * static_cast<double>(positions)));
  const std::vector<Index> keep = counts_of(allocation, layers, density, total);
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

// A histogram over leading bits tells among which few scores it is.
KthHighest kth_highest(std::span<const Real> scores, Index kth_place) {
  auto k = static_cast<std::size_t>(kth_place);
  using Bits = std::conditional_t<sizeof(Real) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;
  constexpr int width = 8 * sizeof(Bits), bucket_bits = 14;
  const auto bucket_of = [](Real score) {  // rises with the score
    constexpr Bits sign = Bits{1} << (width - 1);
    const auto bits = std::bit_cast<Bits>(score + Real{0});      // -0 is 0
    const Bits flip = (Bits{0} - (bits >> (width - 1))) | sign;  // negative: all bits, for more is less; else the sign
    return static_cast<std::size_t>((bits ^ flip) >> (width - bucket_bits));
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

std::vector<std::uint32_t> top_k(std::span<const Real> scores, Index k) {
  const auto count = static_cast<std::size_t>(std::clamp<Index>(k, 0, static_cast<Index>(scores.size())));
  std::vector<std::uint32_t> kept;
  if (count == 0) return kept;
  // The scores above the k-th highest stay, and of those that are equal to it the first.
  auto [limit, ties] = kth_highest(scores, static_cast<Index>(count));
  kept.reserve(count);
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (scores[i] > limit || (scores[i] == limit && ties-- > 0)) kept.push_back(static_cast<std::uint32_t>(i));
  return kept;
}

}  // namespace espalier
