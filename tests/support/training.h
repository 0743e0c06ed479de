// Small data sets and the bits of a model, for tests that train.
#pragma once

#include <string>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/datasets/dataset.h"
#include "espalier/layers/module.h"

namespace espalier::testing {

// Each class has a pattern of bright and dark features; samples are that pattern and noise. Easy, but not separable by
// one feature.
inline DatasetPtr blobs(Index samples, Index features = 12, Index classes = 3, std::uint64_t seed = 1) {
  std::vector<std::uint8_t> bytes;
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < samples; ++i) {
    const auto label = static_cast<std::uint64_t>(i % classes);
    const Random pattern(seed, "blob-pattern", label), noise(seed, "blob-noise", 0, static_cast<std::uint64_t>(i));
    for (std::uint64_t f = 0; f < static_cast<std::uint64_t>(features); ++f)
      bytes.push_back(static_cast<std::uint8_t>((pattern.bits(f) & 1 ? 130 : 30) + noise.below(f, 96)));
    labels.push_back(static_cast<std::int32_t>(label));
  }
  return std::make_shared<ByteSamples>("blobs", Shape{features}, classes, std::move(bytes), std::move(labels));
}

// Regression: x in [-1, 1]^4, targets (x0 + 2 x1 x2, x3 - x0 + 0.5).
class Surface final : public Dataset {
 public:
  explicit Surface(Index samples, TargetScale scale = {}) : samples_(samples), scale_(scale) {}
  std::string name() const override { return "surface"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return {4}; }
  Index classes() const override { return 0; }
  Index outputs() const override { return 2; }
  void read(Index i, std::span<Real> x) const override {
    const Random random(1, "surface", 0, static_cast<std::uint64_t>(i));
    for (std::size_t f = 0; f < 4; ++f) x[f] = static_cast<Real>(2 * random.uniform(f) - 1);
  }
  void target(Index i, std::span<Real> y) const override {
    std::vector<Real> x(4);
    read(i, x);
    y[0] = x[0] + 2 * x[1] * x[2];
    y[1] = x[3] - x[0] + Real{0.5};
  }
  TargetScale target_scale() const override { return scale_; }

 private:
  Index samples_;
  TargetScale scale_;
};

// Every array of every parameter, and what is live, in one list: equal lists are equal models, to the bit.
inline std::vector<std::vector<Real>> bits_of(const std::vector<Parameter*>& parameters) {
  std::vector<std::vector<Real>> arrays;
  for (const Parameter* W : parameters) {
    arrays.emplace_back(W->value().begin(), W->value().end());
    for (const std::string& name : W->slot_names()) arrays.emplace_back(W->slot(name).begin(), W->slot(name).end());
    std::vector<Real>& live = arrays.emplace_back();
    W->for_each_weight([&](Index r, Index c, Index) { live.push_back(static_cast<Real>(r * W->cols() + c)); });
  }
  return arrays;
}

// The weights of a parameter as a full matrix, zero where pruned: for comparing storages.
inline std::vector<Real> dense_values(const Parameter& W) {
  std::vector<Real> values(W.positions(), 0);
  W.for_each_weight([&](Index r, Index c, Index at) { values[r * W.cols() + c] = W.value()[at]; });
  return values;
}

}  // namespace espalier::testing
