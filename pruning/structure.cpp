#include "espalier/pruning/structure.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/pruning/allocation.h"

namespace espalier {
namespace {

// "2:4" at ':' or "4x4" at 'x': two numbers of at least 1, or nothing.
std::optional<std::pair<Index, Index>> two_numbers(std::string_view text, char between) {
  constexpr Index limit = Index{1} << 31;
  Index first = 0, second = 0;
  const char* const last = text.data() + text.size();
  const auto [middle, wrong] = std::from_chars(text.data(), last, first);
  if (wrong != std::errc() || middle == last || *middle != between) return std::nullopt;
  const auto [end, also_wrong] = std::from_chars(middle + 1, last, second);
  const auto possible = [](Index number) { return number >= 1 && number < limit; };
  if (also_wrong != std::errc() || end != last || !possible(first) || !possible(second)) return std::nullopt;
  return std::pair{first, second};
}

// f(first, last) for every `positions` consecutive ones of the matrix, row by row: first and last say which live
// weights are theirs, [first, last).
template <typename F>
void for_each_group(const Parameter& W, Index positions, F&& f) {
  Index group = 0;
  std::size_t first = 0, n = 0;
  W.for_each_weight([&](Index row, Index column, Index) {
    const Index at = (row * W.cols() + column) / positions;
    if (at != group) f(first, n), first = n;
    group = at;
    ++n;
  });
  f(first, n);
}

// The best `count` of each group, as far as they are live.
std::vector<std::uint32_t> best_of_each(const Parameter& W, std::span<const Real> scores, Index positions,
                                        Index count) {
  std::vector<std::uint32_t> kept;
  for_each_group(W, positions, [&](std::size_t first, std::size_t last) {
    for (const std::uint32_t i : top_k(scores.subspan(first, last - first), count))
      kept.push_back(static_cast<std::uint32_t>(first) + i);
  });
  return kept;
}

std::size_t block_of(const Structure& s, const Parameter& W, Index row, Index column) {
  return static_cast<std::size_t>(row / s.height * (W.cols() / s.width) + column / s.width);
}

std::vector<std::uint32_t> best_blocks(const Structure& s, const Parameter& W, std::span<const Real> scores,
                                       Index keep) {
  std::vector<double> score(W.positions() / (s.height * s.width), 0);
  std::vector<Index> live(score.size(), 0);
  std::size_t n = 0;
  W.for_each_weight([&](Index row, Index column, Index) {
    score[block_of(s, W, row, column)] += static_cast<double>(scores[n++]);
    ++live[block_of(s, W, row, column)];
  });
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), 0u);
  std::erase_if(order, [&](std::size_t block) { return live[block] == 0; });
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t block) { return score[block]; });
  std::vector<bool> stays(score.size(), false);
  for (const std::size_t block : order) {
    if (live[block] > keep) break;
    stays[block] = true;
    keep -= live[block];
  }
  std::vector<std::uint32_t> kept;
  std::uint32_t i = 0;
  W.for_each_weight([&](Index row, Index column, Index) {
    if (stays[block_of(s, W, row, column)]) kept.push_back(i);
    ++i;
  });
  return kept;
}

}  // namespace

std::optional<double> Structure::density() const {
  if (kind != Kind::n_of_m) return std::nullopt;
  return static_cast<double>(n) / static_cast<double>(m);
}

Structure structure_named(const std::string& text) {
  if (text == "elements") return {};
  if (text == "fan-in") return {.kind = Structure::Kind::fan_in};
  for (const Structure::Kind kind :
       {Structure::Kind::neurons, Structure::Kind::channels, Structure::Kind::heads, Structure::Kind::units})
    if (const Structure structure{.kind = kind}; text == name_of(structure)) return structure;
  constexpr std::string_view block = "block:";
  if (text.starts_with(block)) {
    if (const auto extents = two_numbers(std::string_view(text).substr(block.size()), 'x'))
      return {.kind = Structure::Kind::blocks, .height = extents->first, .width = extents->second};
  } else if (const auto group = two_numbers(text, ':'); group && group->first < group->second) {
    return {.kind = Structure::Kind::n_of_m, .n = group->first, .m = group->second};
  }
  throw UsageError(fmt::format(
      "[structure] expected elements, N:M (such as 2:4, N below M), block:RxC (such as block:4x4), fan-in, neurons, "
      "channels, heads or units, got \"{}\"{}",
      text, did_you_mean(text, {"elements", "fan-in", "neurons", "channels", "heads", "units"})));
}

std::string name_of(const Structure& s) {
  switch (s.kind) {
    case Structure::Kind::elements:
      return "elements";
    case Structure::Kind::n_of_m:
      return fmt::format("{}:{}", s.n, s.m);
    case Structure::Kind::blocks:
      return fmt::format("block:{}x{}", s.height, s.width);
    case Structure::Kind::fan_in:
      return "fan-in";
    case Structure::Kind::neurons:
      return "neurons";
    case Structure::Kind::channels:
      return "channels";
    case Structure::Kind::heads:
      return "heads";
    case Structure::Kind::units:
      return "units";
  }
  return "?";
}

void check(const Structure& s, const Parameter& W) {
  require(!s.of_units(), "[structure] {}: expected a structure of weights, not of units", W.name());
  if (s.kind == Structure::Kind::n_of_m)
    require(
        W.cols() % s.m == 0,
        "[structure] {}: expected the columns of {} ({} x {}) to be a multiple of {}; another structure, or protect "
        "that layer",
        name_of(s), W.name(), W.rows(), W.cols(), s.m);
  if (s.kind == Structure::Kind::blocks)
    require(W.rows() % s.height == 0 && W.cols() % s.width == 0,
            "[structure] {}: expected the rows and columns of {} ({} x {}) to be multiples of {} and {}; another "
            "structure, or protect that layer",
            name_of(s), W.name(), W.rows(), W.cols(), s.height, s.width);
}

Index fewest(const Structure& s, const Parameter& W) {
  switch (s.kind) {
    default:  // elements
      return 1;
    case Structure::Kind::n_of_m:
      return W.positions() / s.m * s.n;
    case Structure::Kind::blocks:
      return s.height * s.width;
    case Structure::Kind::fan_in:
      return W.rows();
  }
}

void share_scores(const Structure& s, const Parameter& W, std::span<Real> scores) {
  if (s.kind != Structure::Kind::blocks && s.kind != Structure::Kind::fan_in) return;
  std::vector<double> sum;    // of those that compete together
  std::vector<Index> number;  // how many they are
  std::vector<std::size_t> together(scores.size());
  const auto add = [&](std::size_t n, std::size_t group) {
    if (group >= sum.size()) sum.resize(group + 1, 0), number.resize(group + 1, 0);
    sum[group] += static_cast<double>(scores[n]), ++number[group];
    together[n] = group;
  };
  if (s.kind == Structure::Kind::blocks) {
    std::size_t n = 0;
    W.for_each_weight([&](Index row, Index column, Index) { add(n++, block_of(s, W, row, column)); });
  } else {
    for_each_group(W, W.cols(), [&](std::size_t first, std::size_t last) {
      std::vector<std::size_t> order(last - first);
      std::iota(order.begin(), order.end(), first);
      std::ranges::stable_sort(order, std::greater{}, [&](std::size_t n) { return scores[n]; });
      for (std::size_t place = 0; place < order.size(); ++place) add(order[place], place);
    });
  }
  for (std::size_t n = 0; n < scores.size(); ++n)
    scores[n] = static_cast<Real>(sum[together[n]] / static_cast<double>(number[together[n]]));
}

std::vector<std::uint32_t> select(const Structure& s, const Parameter& W, std::span<const Real> scores, Index keep) {
  check(s, W);
  std::vector<std::uint32_t> kept;
  switch (s.kind) {
    default:  // elements
      kept = top_k(scores, keep);
      break;
    case Structure::Kind::n_of_m: {
      const Index on_the_way = (keep * s.m + W.positions() - 1) / W.positions();  // ceil(keep / positions * m)
      kept = best_of_each(W, scores, s.m, std::max(s.n, on_the_way));
      break;
    }
    case Structure::Kind::blocks:
      kept = best_blocks(s, W, scores, keep);
      break;
    case Structure::Kind::fan_in:
      kept = best_of_each(W, scores, W.cols(), keep / W.rows());
      break;
  }
  require(!kept.empty(), "[structure] {}: {} of the weights of {} ({} x {}) are too few to keep any; ask for more",
          name_of(s), keep, W.name(), W.rows(), W.cols());
  return kept;
}

}  // namespace espalier
