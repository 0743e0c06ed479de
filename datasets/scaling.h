// What a number of a table becomes: one feature, or several.
//
//   standard   (x - centre) / scale, with the mean and the standard deviation
//   robust     u = (x - centre) / scale, with the median and the interquartile range; then u / sqrt(1 + (u/3)²), which
//              is u in the middle and never beyond 3 (Holzmüller, Grinsztajn, Steinwart 2024, "Better by default",
//              section 3)
//   none       centre 0, scale 1
//   quantile   the normal score of its rank: at a knot, Φ⁻¹(F(x)), at most 3 and at least -3, where F(x) is the part of
//              the training numbers that are less than x, and half of those that equal it; between knots, a straight
//              line. Φ⁻¹ is taken when it is fitted: applied, this is a search and a line
//   piecewise  what robust gives, and beside it a feature for each bin between two neighbouring edges (see bin_edges):
//              0 below the bin, 1 above it, (x - lower edge) / (upper edge - lower edge) within (Gorishniy, Rubachev,
//              Babenko 2022, "On embeddings for numerical features in tabular deep learning", section 3.2)
//
// A linear layer behind `piecewise` is a function of x with a kink at every edge, behind the others one line or curve.
// With the last two, numbers beyond the training part are its lowest and highest one. No feature falls where x rises.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/tensor.h"

namespace espalier {

enum class ScalingKind { standard, robust, none, quantile, piecewise };

// Sixteen bins hold six rows in a hundred each: enough to fit a slope to where a table has a thousand rows, and few
// enough that the first layer of the network does not become the larger part of it.
constexpr Index default_bins = 16, least_bins = 2, most_bins = 128;
constexpr Index most_knots = 256;
constexpr double most_score = 3;  // far out, as robust scaling has it

struct ScalingChoice {
  ScalingKind kind = ScalingKind::standard;
  Index bins = default_bins;  // piecewise; fewer if quantiles coincide
  // Whether it is fitted to the median and other quantiles, rather than to mean and deviation.
  bool by_quantiles() const { return kind != ScalingKind::standard && kind != ScalingKind::none; }
};
// "standard", "robust", "none", "quantile", "piecewise" or "piecewise:BINS". Throws UsageError for anything else.
ScalingChoice scaling_named(std::string_view text);

struct Scaling {
  double centre = 0, scale = 1;      // of all but quantile
  bool bounded = false;              // robust, piecewise: the last step
  std::vector<float> knots, scores;  // quantile: [2 to most_knots]; knots strictly increasing, scores not falling
  std::vector<float> edges;          // piecewise: [bins + 1], strictly increasing

  // One, and one for each bin.
  Index features() const { return edges.empty() ? 1 : static_cast<Index>(edges.size()); }
  // x -> features: [features()], which are 0 before, and finite whatever x is.
  void write(double x, std::span<Real> features) const {
    if (!knots.empty()) {
      features[0] = score_of(x);
      return;
    }
    if (!edges.empty()) x = write_bins(x, features.subspan(1));
    constexpr double most = std::numeric_limits<float>::max();
    double u = std::clamp((x - centre) / scale, -most, most);
    if (bounded) u /= std::sqrt(1 + u * u / 9);
    features[0] = static_cast<Real>(u);
  }
  // What becomes of numbers outside the range of the training part, for people.
  std::string_view beyond() const;

 private:
  Real score_of(double x) const;
  double write_bins(double x, std::span<Real> features) const;  // returns the nearest number within the edges
};

// Of sorted numbers, with linear interpolation; q in [0, 1].
double quantile(std::span<const float> sorted, double q);

// The scaling `quantile`, fitted to sorted numbers of which two differ.
Scaling normal_scores(std::span<const float> sorted);
// The edges of `piecewise`, of sorted numbers of which two differ: the lowest and the highest; each number that more
// rows have than there should be in a bin (a column of nearly only zeros is one number and a few rows of interest); and
// quantiles of the other rows. All numbers, if there are so few. At most bins + 1, each once.
std::vector<float> bin_edges(std::span<const float> sorted, Index bins);

}  // namespace espalier
