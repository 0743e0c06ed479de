#include "espalier/datasets/noise.h"

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {

Noise::Noise(Shape shape, Index classes, Index samples, std::uint64_t seed)
    : shape_(shape), classes_(classes), samples_(samples), seed_(seed) {
  require(classes > 0 && samples > 0, "[noise] expected positive numbers of classes and samples, got {} and {}",
          classes, samples);
}

void Noise::read(Index i, std::span<Real> features) const {
  const Random random(seed_, "noise/features", 0, static_cast<std::uint64_t>(i));
  for (std::size_t f = 0; f < features.size(); ++f) features[f] = static_cast<Real>(random.uniform(f));
}

std::int32_t Noise::label(Index i) const {
  return static_cast<std::int32_t>(
      Random(seed_, "noise/labels").below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(classes_)));
}

}  // namespace espalier
