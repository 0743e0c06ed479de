#include "espalier/layers/weight_sharing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr std::size_t most_entries = 256;
constexpr int most_steps = 127;

std::vector<Real> live_values(const Parameter& W) {
  std::vector<Real> values;
  values.reserve(static_cast<std::size_t>(W.nonzeros()));
  W.for_each_weight([&](Index, Index, Index at) { values.push_back(W.value()[at]); });
  return values;
}

// -0 comes before 0: their bits differ.
bool before(Real a, Real b) {
  return a < b || (a == b && std::signbit(a) && !std::signbit(b));
}

// Where the clusters of these centres begin among ascending values: a value belongs to the nearest centre, the lower
// one of two.    [centres + 1]
std::vector<std::size_t> cluster_begins(std::span<const Real> ascending, std::span<const double> centres) {
  std::vector<std::size_t> begins{0};
  for (std::size_t k = 1; k < centres.size(); ++k) {
    const double middle = (centres[k - 1] + centres[k]) / 2;
    const auto at = std::ranges::partition_point(ascending, [&](Real x) { return static_cast<double>(x) <= middle; });
    begins.push_back(static_cast<std::size_t>(at - ascending.begin()));
  }
  begins.push_back(ascending.size());
  return begins;
}

// Lloyd's iteration in one dimension, in which clusters are stretches of the ascending values. Clusters that are empty
// in the end are left out.
std::vector<Real> centres_of(std::span<const Real> ascending, std::size_t clusters) {
  std::vector<double> sums(ascending.size() + 1, 0);
  for (std::size_t i = 0; i < ascending.size(); ++i) sums[i + 1] = sums[i] + static_cast<double>(ascending[i]);
  const auto low = static_cast<double>(ascending.front()), high = static_cast<double>(ascending.back());
  std::vector<double> centres(clusters);
  for (std::size_t k = 0; k < clusters; ++k)
    centres[k] = low + (high - low) * (static_cast<double>(k) + 0.5) / static_cast<double>(clusters);
  std::vector<std::size_t> begins;
  constexpr int most_rounds = 1000;  // it ends by itself, mostly after some dozens
  for (int round = 0; round < most_rounds; ++round) {
    std::vector<std::size_t> now = cluster_begins(ascending, centres);
    if (now == begins) break;
    begins = std::move(now);
    for (std::size_t k = 0; k < clusters; ++k)
      if (begins[k] < begins[k + 1])
        centres[k] = (sums[begins[k + 1]] - sums[begins[k]]) / static_cast<double>(begins[k + 1] - begins[k]);
  }
  std::vector<Real> used;
  for (std::size_t k = 0; k < clusters; ++k)
    if (begins[k] < begins[k + 1]) used.push_back(static_cast<Real>(centres[k]));
  return used;
}

std::uint8_t nearest(std::span<const Real> codebook, Real x) {
  const auto above = std::ranges::lower_bound(codebook, x);
  if (above == codebook.begin()) return 0;
  const auto below = above - 1;
  const bool down = above == codebook.end() || x - *below <= *above - x;
  return static_cast<std::uint8_t>((down ? below : above) - codebook.begin());
}

}  // namespace

Sharing kmeans_sharing(const Parameter& W, int bits) {
  require(bits >= 1 && bits <= 8, "[bits] expected 1 to 8, got {}", bits);
  const std::vector<Real> values = live_values(W);
  if (values.empty()) return {};
  std::vector<Real> ascending = values;
  std::ranges::sort(ascending);
  Sharing sharing{.codebook = centres_of(ascending, std::size_t{1} << bits), .codes = {}};
  for (const Real x : values) sharing.codes.push_back(nearest(sharing.codebook, x));
  return sharing;
}

Sharing equal_steps_sharing(const Parameter& W) {
  const std::vector<Real> values = live_values(W);
  Real largest = 0;
  for (const Real x : values) largest = std::max(largest, std::abs(x));
  const Real step = largest / Real{most_steps};
  Sharing sharing;
  for (int k = -most_steps; k <= most_steps; ++k) sharing.codebook.push_back(step * static_cast<Real>(k) + Real{0});
  for (const Real x : values)
    sharing.codes.push_back(static_cast<std::uint8_t>(step > 0 ? steps_in(x, step) + most_steps : most_steps));
  return sharing;
}

std::optional<Sharing> sharing_of(const Parameter& W) {
  Sharing sharing;
  const std::vector<Real> values = live_values(W);
  for (const Real x : values) {
    const auto at = std::ranges::lower_bound(sharing.codebook, x, before);
    if (at != sharing.codebook.end() && !before(x, *at)) continue;
    if (sharing.codebook.size() == most_entries) return {};
    sharing.codebook.insert(at, x);
  }
  for (const Real x : values)
    sharing.codes.push_back(
        static_cast<std::uint8_t>(std::ranges::lower_bound(sharing.codebook, x, before) - sharing.codebook.begin()));
  return sharing;
}

int steps_in(Real value, Real step) {
  const double steps = std::round(static_cast<double>(value) / static_cast<double>(step));
  return static_cast<int>(std::clamp<double>(steps, -most_steps, most_steps));
}

// The largest entry is 127 steps, rounded: their quotient is the step but for its last bits.
std::optional<Real> step_of(const Sharing& sharing) {
  Real largest = 0;
  for (const Real x : sharing.codebook) largest = std::max(largest, std::abs(x));
  const Real quotient = largest / Real{most_steps};
  if (quotient == 0 || !std::isfinite(quotient)) return {};
  for (const Real step : {quotient, std::nextafter(quotient, 2 * quotient), std::nextafter(quotient, Real{0})}) {
    const bool fits = std::ranges::all_of(sharing.codebook, [&](Real x) {
      const Real again = step * static_cast<Real>(steps_in(x, step)) + Real{0};
      return std::memcmp(&x, &again, sizeof x) == 0;
    });
    if (fits) return step;
  }
  return {};
}

void apply(const Sharing& sharing, Parameter& W) {
  auto code = sharing.codes.begin();
  const auto value = W.value();
  W.for_each_weight([&](Index, Index, Index at) { value[at] = sharing.codebook[*code++]; });
}

void average_shared(Sharing& sharing, Parameter& W) {
  std::vector<double> sums(sharing.codebook.size(), 0);
  std::vector<Index> counts(sharing.codebook.size(), 0);
  auto code = sharing.codes.begin();
  W.for_each_weight([&](Index, Index, Index at) {
    sums[*code] += static_cast<double>(std::as_const(W).value()[at]);
    ++counts[*code++];
  });
  for (std::size_t k = 0; k < sums.size(); ++k)
    if (counts[k] > 0) sharing.codebook[k] = static_cast<Real>(sums[k] / static_cast<double>(counts[k]));
  apply(sharing, W);
}

}  // namespace espalier
