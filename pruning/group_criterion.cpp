#include "espalier/pruning/group_criterion.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

using Scores = std::vector<double>;

// visit(group, W, place in the arrays) for each live weight, bias or scale of each group.
template <typename Visit>
void for_each_coupled(const GroupQuestion& asked, Visit&& visit) {
  for (const Parameter* W : parameters_of(asked.model))
    for (const Place& place : asked.width.places) {
      const bool rows = place.of == Place::Of::rows;
      if (place.name != W->name() || (!rows && place.of != Place::Of::columns)) continue;
      W->for_each_weight([&](Index r, Index c, Index at) { visit(place.group[rows ? r : c], *W, at); });
    }
}

Scores none_so_far(const GroupQuestion& asked) {
  return Scores(static_cast<std::size_t>(asked.width.groups), 0);
}

Scores l1_scores(const GroupQuestion& asked) {
  Scores scores = none_so_far(asked);
  for_each_coupled(asked, [&](Index group, const Parameter& W, Index at) {
    if (W.prunable()) scores[group] += std::abs(static_cast<double>(W.value()[at]));
  });
  return scores;
}

Scores l2_scores(const GroupQuestion& asked) {
  Scores scores = none_so_far(asked);
  for_each_coupled(asked, [&](Index group, const Parameter& W, Index at) {
    if (W.prunable()) scores[group] += std::pow(static_cast<double>(W.value()[at]), 2);
  });
  for (double& score : scores) score = std::sqrt(score);
  return scores;
}

Scores norm_scale_scores(const GroupQuestion& asked) {
  Scores scores = none_so_far(asked);
  bool any = false;
  for_each_coupled(asked, [&](Index group, const Parameter& W, Index at) {
    if (W.role() != Role::scale) return;
    any = true;
    scores[group] += std::abs(static_cast<double>(W.value()[at]));
  });
  require(any, "[norm-scale] {}: expected a normalisation behind it, found none", asked.width.name);
  return scores;
}

Scores taylor_scores(const GroupQuestion& asked) {
  require(asked.gradient != nullptr, "[taylor] {}: expected gradients, got none", asked.width.name);
  Scores scores = none_so_far(asked);
  for_each_coupled(asked, [&](Index group, const Parameter& W, Index at) {
    scores[group] += static_cast<double>(W.value()[at]) * static_cast<double>(asked.gradient(W)[at]);
  });
  for (double& score : scores) score = std::abs(score);
  return scores;
}

// The distance of two groups is that of all their weights, pruned ones being zero: |a|^2 + |b|^2 - 2 a.b
Scores fpgm_scores(const GroupQuestion& asked) {
  const auto groups = static_cast<std::size_t>(asked.width.groups);
  std::vector<std::vector<double>> vectors(groups);
  for (const Parameter* W : parameters_of(asked.model))
    for (const Place& place : asked.width.places) {
      const bool rows = place.of == Place::Of::rows;
      if (!W->prunable() || place.name != W->name() || (!rows && place.of != Place::Of::columns)) continue;
      // Where in its group's vector the index begins: so many of the same group stand before it.
      const Index across = rows ? W->cols() : W->rows();
      std::vector<std::size_t> begin(place.group.size()), end(groups);
      for (std::size_t g = 0; g < groups; ++g) end[g] = vectors[g].size();
      for (std::size_t i = 0; i < place.group.size(); ++i)
        begin[i] = std::exchange(end[place.group[i]], end[place.group[i]] + static_cast<std::size_t>(across));
      for (std::size_t g = 0; g < groups; ++g) vectors[g].resize(end[g]);
      W->for_each_weight([&](Index r, Index c, Index at) {
        const Index i = rows ? r : c, j = rows ? c : r;
        vectors[place.group[i]][begin[i] + static_cast<std::size_t>(j)] = static_cast<double>(W->value()[at]);
      });
    }
  Scores scores = none_so_far(asked);
  for (std::size_t a = 0; a < groups; ++a)
    for (std::size_t b = 0; b < a; ++b) {
      double squares = 0;
      for (std::size_t i = 0; i < vectors[a].size(); ++i) squares += std::pow(vectors[a][i] - vectors[b][i], 2);
      scores[a] += std::sqrt(squares);
      scores[b] += std::sqrt(squares);
    }
  return scores;
}

Scores random_group_scores(const GroupQuestion& asked) {
  Scores scores = none_so_far(asked);
  const Random random(asked.seed, "groups/" + asked.width.name);
  for (std::size_t g = 0; g < scores.size(); ++g) scores[g] = random.uniform(g);
  return scores;
}

bool is_whole(const Width& width, const WidthGuards& guards) {
  return !width.fixed.empty() || std::ranges::find(guards.protect, width.name) != guards.protect.end();
}

// How many groups of a width stay at least.
Index fewest_of(const Width& width, const WidthGuards& guards) {
  return is_whole(width, guards) ? width.groups : std::min(width.groups, guards.minimum);
}

Index all_groups_of(std::size_t w, const std::vector<Width>& widths, const GroupShare& share) {
  return share.whole.empty() ? widths[w].groups : share.whole[w];
}

// All groups of a width, the best first.
std::vector<Index> ranked(const Scores& scores) {
  std::vector<Index> order(scores.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::ranges::stable_sort(order, [&](Index a, Index b) { return scores[a] > scores[b]; });
  return order;
}

Index rounded(Index count, const Width& width, Index fewest, Index round_to) {
  const Index up = (count + round_to - 1) / round_to * round_to, down = count / round_to * round_to;
  const Index nearest = count - down < up - count && down >= fewest ? down : up;
  return std::clamp(nearest, fewest, width.groups);
}

// How many groups each width keeps if all of them compete: those with the best scores, each relative to its width's.
std::vector<Index> counts_in_competition(const std::vector<Width>& widths, const std::vector<Scores>& scores,
                                         const GroupShare& share) {
  struct Candidate {
    double score;
    std::size_t width;
  };
  std::vector<Candidate> candidates;
  std::vector<Index> counts;
  Index total = 0;
  Index taken = 0;
  for (std::size_t w = 0; w < widths.size(); ++w) {
    const Index fewest = counts.emplace_back(fewest_of(widths[w], share.guards));
    if (is_whole(widths[w], share.guards)) continue;
    total += all_groups_of(w, widths, share);
    taken += fewest;
    const double mean =
        std::accumulate(scores[w].begin(), scores[w].end(), 0.0) / static_cast<double>(scores[w].size());
    Index place = 0;
    for (const Index g : ranked(scores[w]))
      if (place++ >= fewest) candidates.push_back({share.relative && mean > 0 ? scores[w][g] / mean : scores[w][g], w});
  }
  Index left = static_cast<Index>(std::llround(share.fraction * static_cast<double>(total))) - taken;
  std::ranges::stable_sort(candidates, std::greater{}, &Candidate::score);
  for (const Candidate& candidate : candidates)
    if (left-- > 0) ++counts[candidate.width];
  return counts;
}

}  // namespace

Catalogue<GroupCriterion>& group_criteria() {
  static Catalogue<GroupCriterion> all(
      "criterion of groups", {{"l1", "the sum of its weights' magnitudes", l1_scores},
                              {"l2", "the root of the sum of their squares", l2_scores},
                              {"norm-scale", "the magnitude of its normalisation's scale", norm_scale_scores},
                              {"taylor", "how much the loss would change without it, to first order", taylor_scores},
                              {"fpgm", "how far it is from all others", fpgm_scores},
                              {"random", "none: the control", random_group_scores}});
  return all;
}

Kept keep_best(const std::vector<Width>& widths, const std::vector<std::vector<double>>& scores,
               const GroupShare& share) {
  require(share.fraction > 0 && share.fraction <= 1, "[groups] expected a fraction in (0, 1], got {}", share.fraction);
  require(share.round_to >= 1 && share.guards.minimum >= 1,
          "[groups] expected multiples of, and a minimum of, at least "
          "1, got {} and {}",
          share.round_to, share.guards.minimum);
  require(scores.size() == widths.size(), "[groups] expected scores of {} widths, got {}", widths.size(),
          scores.size());
  require(share.whole.empty() || share.whole.size() == widths.size(), "[groups] expected {} counts, got {}",
          widths.size(), share.whole.size());
  for (const std::string& name : share.guards.protect) width_named(widths, name, "protect");
  for (std::size_t w = 0; w < widths.size(); ++w)
    require(!widths[w].fixed.empty() || std::ssize(scores[w]) == widths[w].groups,
            "[groups] {}: expected {} scores, got {}", widths[w].name, widths[w].groups, scores[w].size());
  std::vector<Index> counts(widths.size());
  if (share.global) counts = counts_in_competition(widths, scores, share);
  Kept kept = all_of(widths);
  for (std::size_t w = 0; w < widths.size(); ++w) {
    const Width& width = widths[w];
    const Index fewest = fewest_of(width, share.guards);
    if (fewest == width.groups) continue;
    const auto own =
        static_cast<Index>(std::llround(share.fraction * static_cast<double>(all_groups_of(w, widths, share))));
    const Index count = rounded(std::max(share.global ? counts[w] : own, fewest), width, fewest, share.round_to);
    std::vector<Index> order = ranked(scores[w]);
    order.resize(static_cast<std::size_t>(count));
    std::ranges::sort(order);
    kept[w] = std::move(order);
  }
  return kept;
}

}  // namespace espalier
