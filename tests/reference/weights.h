// A parameter as a map from (row, column) to numbers: what become() and select() mean, with no arrays to misalign.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/parameter.h"

namespace espalier::reference {

struct Weights {
  // live[(row, column)] = value, then every slot in the parameter's order
  std::map<std::pair<Index, Index>, std::vector<Real>> live;
  Index rows = 0, cols = 0;
  bool operator==(const Weights&) const = default;
};

inline Weights weights_of(const Parameter& W) {
  Weights weights{{}, W.rows(), W.cols()};
  W.for_each_weight([&](Index r, Index c, Index at) {
    std::vector<Real>& numbers = weights.live[{r, c}];
    numbers.push_back(W.value()[at]);
    for (const std::string& name : W.slot_names()) numbers.push_back(W.slot(name)[at]);
  });
  return weights;
}

// Survivors keep their numbers; newborn weights start at zero.
inline Weights become(const Weights& old, const Pattern& pattern, std::size_t numbers_per_weight) {
  Weights fresh{{}, old.rows, old.cols};
  for (Index r = 0; r < pattern.rows(); ++r)
    for (const std::uint32_t c : pattern.row(r)) {
      const auto survivor = old.live.find({r, Index{c}});
      fresh.live[{r, Index{c}}] =
          survivor != old.live.end() ? survivor->second : std::vector<Real>(numbers_per_weight, Real{0});
    }
  return fresh;
}

inline Weights select(const Weights& old, const std::vector<Index>& rows, const std::vector<Index>& columns) {
  Weights fresh{{}, static_cast<Index>(rows.size()), static_cast<Index>(columns.size())};
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (const auto survivor = old.live.find({rows[r], columns[c]}); survivor != old.live.end())
        fresh.live[{static_cast<Index>(r), static_cast<Index>(c)}] = survivor->second;
  return fresh;
}

}  // namespace espalier::reference
