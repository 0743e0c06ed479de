#include "espalier/datasets/parts.h"

#include <algorithm>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {

DataParts split(DatasetPtr data, Index validation_samples, std::uint64_t seed) {
  require(data != nullptr, "[split] expected a data set, got none");
  require(validation_samples >= 0 && validation_samples < data->samples(),
          "[split] {}: expected 0 to {} validation samples, got {}", data->name(), data->samples() - 1,
          validation_samples);
  std::vector<Index> order(data->samples());
  std::iota(order.begin(), order.end(), Index{0});
  Random(seed, "split").shuffle(std::span(order));
  const auto cut = order.begin() + validation_samples;
  std::sort(order.begin(), cut);
  std::sort(cut, order.end());
  return {.name = data->name(),
          .train = std::make_shared<Subset>(data, std::vector(cut, order.end())),
          .validation = std::make_shared<Subset>(data, std::vector(order.begin(), cut))};
}

DataParts hold_out(DataParts parts, Index samples, std::uint64_t seed) {
  require(parts.train != nullptr, "[hold out] {}: expected a part to train on, got none", parts.name);
  if (parts.validation != nullptr) return parts;
  const DataParts drawn = split(parts.train, std::min(samples, parts.train->samples() / 10), seed);
  parts.train = drawn.train;
  parts.validation = drawn.validation;
  return parts;
}

DataParts standardised(DataParts parts) {
  require(parts.train != nullptr, "[standardised] {}: expected a part to train on, got none", parts.name);
  if (parts.preprocessing != nullptr || parts.train->tokens() > 0) return parts;
  const ChannelMoments m = moments(*parts.train);
  for (DatasetPtr* part : {&parts.train, &parts.validation, &parts.test})
    if (*part != nullptr) *part = std::make_shared<Standardised>(*part, m.mean, m.deviation);
  parts.moments = m;
  return parts;
}

}  // namespace espalier
