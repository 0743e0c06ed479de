#include "espalier/datasets/scaling.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

namespace espalier {
namespace {

// Where x is among increasing points: a piece, and which part of it lies below x. Beyond the ends it is at them.
struct Place {
  std::size_t piece;
  double part;
};

Place place_of(double x, const std::vector<float>& points) {
  const auto upper = std::upper_bound(points.begin() + 1, points.end() - 1, x);
  const auto low = static_cast<double>(upper[-1]), high = static_cast<double>(*upper);
  return {.piece = static_cast<std::size_t>(upper - points.begin()) - 1,
          .part = std::clamp((x - low) / (high - low), 0.0, 1.0)};
}

// The z with Φ(z) = p, within ±most_score: Newton's method from 0. It never oversteps, for Φ is concave above 0 and
// convex below.
double normal_score(double p) {
  const auto probability_below = [](double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; };
  if (p <= probability_below(-most_score)) return -most_score;
  if (p >= probability_below(most_score)) return most_score;
  constexpr int steps = 12;  // eight lead from 0 to within 1e-5 of 3, and then each doubles the digits
  double z = 0;
  for (int step = 0; step < steps; ++step) {
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    z += (p - probability_below(z)) / density;
  }
  return z;
}

}  // namespace

ScalingChoice scaling_named(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, ScalingKind>, 5> kinds{{{"standard", ScalingKind::standard},
                                                                           {"robust", ScalingKind::robust},
                                                                           {"none", ScalingKind::none},
                                                                           {"quantile", ScalingKind::quantile},
                                                                           {"piecewise", ScalingKind::piecewise}}};
  std::vector<std::string> known;
  for (const auto& [name, kind] : kinds) {
    if (text == name) return {.kind = kind};
    known.emplace_back(name);
  }
  constexpr std::string_view with_bins = "piecewise:";
  ScalingChoice choice{.kind = ScalingKind::piecewise, .bins = 0};
  bool good = text.starts_with(with_bins);
  if (good) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + with_bins.size(), end, choice.bins);
    good = error == std::errc() && stop == end && choice.bins >= least_bins && choice.bins <= most_bins;
  }
  require(
      good,
      "[table] scaling: expected standard or robust or none or quantile or piecewise or piecewise:BINS (of {} to {} "
      "bins), got \"{}\"{}",
      least_bins, most_bins, text, did_you_mean(text, known));
  return choice;
}

// --- applied -----------------------------------------------------------------------------------------------------

std::string_view Scaling::beyond() const {
  if (!knots.empty() || !edges.empty()) return "treated as the nearest value of the training part";
  return bounded ? "smoothly clipped" : "extrapolated";
}

Real Scaling::score_of(double x) const {
  const auto [piece, part] = place_of(x, knots);
  // std::lerp does not fall where x rises, nor jump at a knot.
  return static_cast<Real>(std::lerp(static_cast<double>(scores[piece]), static_cast<double>(scores[piece + 1]), part));
}

double Scaling::write_bins(double x, std::span<Real> features) const {
  const auto [bin, part] = place_of(x, edges);
  std::fill_n(features.begin(), bin, Real{1});
  features[bin] = static_cast<Real>(part);
  return std::clamp(x, static_cast<double>(edges.front()), static_cast<double>(edges.back()));
}

// --- fitted ------------------------------------------------------------------------------------------------------

double quantile(std::span<const float> sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(below);
  const auto a = static_cast<double>(sorted[below]);
  return part > 0 ? a + part * (static_cast<double>(sorted[below + 1]) - a) : a;
}

namespace {

// Of sorted numbers: those at equal steps of rank, each once.
std::vector<float> knots_of(std::span<const float> sorted) {
  std::vector<float> knots;
  const std::size_t count = sorted.size(), pieces = std::min<std::size_t>(count, most_knots) - 1;
  for (std::size_t i = 0; i <= pieces; ++i) knots.push_back(sorted[i * (count - 1) / pieces]);
  // A number that many have stands in the middle of their ranks, and those next to it stand beside them: its neighbours
  // become knots, in two of the places that it does not need.
  for (auto run = knots.begin(); run != knots.end();) {
    const auto behind = std::upper_bound(run, knots.end(), *run);
    if (behind - run > 2) {
      const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), *run);
      if (first != sorted.begin()) *run = first[-1];
      if (last != sorted.end()) behind[-1] = *last;
    }
    run = behind;
  }
  std::ranges::sort(knots);  // of two such numbers side by side, each is now behind the other
  knots.erase(std::unique(knots.begin(), knots.end()), knots.end());
  return knots;
}

}  // namespace

Scaling normal_scores(std::span<const float> sorted) {
  Scaling scaling{.knots = knots_of(sorted)};
  for (const float x : scaling.knots) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), x);
    const auto below = static_cast<double>(first - sorted.begin()), equal = static_cast<double>(last - first);
    scaling.scores.push_back(
        static_cast<float>(normal_score((below + equal / 2) / static_cast<double>(sorted.size()))));
  }
  return scaling;
}

std::vector<float> bin_edges(std::span<const float> sorted, Index bins) {
  std::vector<float> edges(sorted.begin(), sorted.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  if (static_cast<Index>(edges.size()) <= bins + 1) return edges;
  edges = {sorted.front(), sorted.back()};
  std::vector<float> rest(sorted.begin(), sorted.end());
  for (bool found = true; found && bins > 1;) {  // with fewer rows and bins left, another number may be frequent
    found = false;
    std::vector<float> others;
    const auto share = static_cast<std::ptrdiff_t>(rest.size()) / bins;
    for (auto from = rest.begin(); from != rest.end();) {
      const auto to = std::upper_bound(from, rest.end(), *from);
      if (to - from > share && bins > 1) {
        edges.push_back(*from);
        --bins;
        found = true;
      } else {
        others.insert(others.end(), from, to);
      }
      from = to;
    }
    rest = std::move(others);
  }
  for (Index k = 1; k < bins && !rest.empty(); ++k)
    edges.push_back(static_cast<float>(quantile(rest, static_cast<double>(k) / static_cast<double>(bins))));
  std::ranges::sort(edges);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  return edges;
}

}  // namespace espalier
