// Criterion: how important is each weight? The least important go first.
//
// To add one: a file with a class, a line in criterion_named, a row in tests/pruning/criterion_test.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/parameter.h"

namespace espalier {

struct CriterionContext {
  std::uint64_t seed = 1;
  std::uint64_t step = 0;
};

class Criterion {
 public:
  virtual ~Criterion() = default;
  // scores[n] for the n-th live weight of W in row-major order; higher is more important; finite.   [W.nonzeros()]
  virtual void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const = 0;
  virtual std::string name() const = 0;
};

// |w|: Han et al., "Learning both weights and connections for efficient neural networks", 2015.
// A weight that stayed small contributes little to what the layer computes. Costs one pass over the weights. Caveat:
// blind to how strongly an input varies, and to scale differences between layers. Try: espalier train --method
// magnitude --density 0.1
class Magnitude final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override;
  std::string name() const override { return "magnitude"; }
};

// A number drawn for each position: the control that every criterion must beat. What survives one step with a given
// seed is nested: a position's score depends on (seed, layer, position) only, so gradual random pruning converges on
// the same set as one-shot random pruning.
// Try: espalier train --method random --density 0.1
class RandomScore final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override;
  std::string name() const override { return "random"; }
};

// Throws UsageError listing the known names.
std::unique_ptr<Criterion> criterion_named(const std::string& name);

}  // namespace espalier
