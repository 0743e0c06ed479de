#include "espalier/pruning/sensitivity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/pruning/allocation.h"
#include "espalier/pruning/pruner.h"

namespace espalier {
namespace {

// A scope in which a layer has only some of its live weights. The parameter proper waits aside, so that it is again
// what it was, slots and all, when the scope ends.
class OnlyThese {
 public:
  OnlyThese(Parameter& W, std::span<const std::uint32_t> kept, StorageRules storage) : W_(W), aside_(W) {
    storage.histograms = false;
    std::swap(W_, aside_);
    storage.apply(W_, keep_live(W_, kept), /*step=*/0);
  }
  ~OnlyThese() { std::swap(W_, aside_); }
  OnlyThese(const OnlyThese&) = delete;
  OnlyThese& operator=(const OnlyThese&) = delete;

 private:
  Parameter& W_;
  Parameter aside_;
};

Index share_of(const Parameter& W, double density) {
  return std::max<Index>(1, std::llround(density * static_cast<double>(W.positions())));
}

}  // namespace

double points_lost(const Evaluation& before, const Evaluation& after) {
  constexpr double in_percent = 100, never = std::numeric_limits<double>::infinity();
  if (before.classes > 0) return in_percent * (before.accuracy - after.accuracy);
  if (!std::isfinite(after.rmse)) return never;
  if (before.rmse == 0) return after.rmse == 0 ? 0 : never;
  return in_percent * (after.rmse / before.rmse - 1);
}

void require_densities(const std::vector<double>& densities) {
  require(!densities.empty(), "[densities] expected fractions in (0, 1], got none");
  for (const double density : densities)
    require(density > 0 && density <= 1 && std::ranges::count(densities, density) == 1,
            "[densities] expected different fractions in (0, 1], got {}", fmt::join(densities, ","));
}

Sensitivity sensitivity_of(std::span<Parameter* const> layers, const Criterion& criterion,
                           const std::vector<double>& densities, const Judge& judge,
                           const SensitivityProgress& progress) {
  require_densities(densities);
  const Index most = 1 + std::ssize(layers) * std::ssize(densities);
  Index done = 0;
  const auto judged = [&](const std::string& layer) {
    if (progress) progress(done, most, layer);
    return judge();
  };
  Sensitivity all{.densities = densities, .before = judged("all layers"), .layers = {}};
  for (Parameter* W : layers) {
    LayerSensitivity& layer = all.layers.emplace_back(
        LayerSensitivity{.layer = W->name(), .positions = W->positions(), .live = W->nonzeros(), .kept = {}, .at = {}});
    std::vector<Real> scores(static_cast<std::size_t>(W->nonzeros()));
    criterion.score(*W, {}, scores);
    for (const double density : densities) {
      ++done;
      layer.kept.push_back(std::min(share_of(*W, density), layer.live));
      if (layer.kept.back() == layer.live) {
        layer.at.push_back(all.before);
        continue;
      }
      const OnlyThese fewer(*W, top_k(scores, layer.kept.back()), {});
      layer.at.push_back(judged(W->name()));
    }
  }
  return all;
}

std::span<const double> tolerance_densities() {
  static constexpr std::array densities{0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01};
  return densities;
}

std::vector<Real> tolerated_densities(std::span<Parameter* const> layers, std::span<const std::vector<Real>> scores,
                                      const ToleranceOptions& options, const Evaluation& before, const Judge& judge,
                                      const SensitivityProgress& progress) {
  const std::span<const double> grid = tolerance_densities();
  const Index most = std::ssize(layers) * std::ssize(grid);
  std::vector<Real> tolerated;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    Parameter& W = *layers[l];
    Real lowest = static_cast<Real>(W.density());
    for (std::size_t d = 0; d < grid.size(); ++d) {
      if (progress) progress(static_cast<Index>(l * grid.size() + d), most, W.name());
      const Index keep = share_of(W, grid[d]);
      if (keep >= W.nonzeros()) continue;  // it is there already
      if (keep < fewest(options.structure, W)) break;
      const OnlyThese fewer(W, select(options.structure, W, scores[l], keep), options.storage);
      if (!(points_lost(before, judge()) <= options.drop)) break;
      lowest = static_cast<Real>(grid[d]);
    }
    tolerated.push_back(lowest);
  }
  return tolerated;
}

}  // namespace espalier
