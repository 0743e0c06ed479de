// Noise: samples of any shape, made when read. For benchmarks, where only shapes matter, and for layers whose inputs
// would not fit into memory as a data set.
#pragma once

#include "espalier/datasets/dataset.h"

namespace espalier {

// Features uniform in [0, 1), labels uniform in [0, classes), both functions of (seed, sample).
class Noise final : public Dataset {
 public:
  // Throws UsageError unless samples and classes are positive.
  Noise(Shape shape, Index classes, Index samples, std::uint64_t seed);
  std::string name() const override { return "noise"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return shape_; }
  Index classes() const override { return classes_; }
  void read(Index i, std::span<Real> features) const override;
  std::int32_t label(Index i) const override;

 private:
  Shape shape_;
  Index classes_, samples_;
  std::uint64_t seed_;
};

}  // namespace espalier
