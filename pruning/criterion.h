// Criterion: how important is each weight? The least important go first.
//
// To add one here: a file in pruning/methods, its line in pruning/methods.cpp, a row in
// tests/pruning/criterion_test.cpp. In a program of your own: a subclass, and Pruner takes it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "espalier/core/parameter.h"
#include "espalier/pruning/evidence.h"

namespace espalier {

using Settings = std::map<std::string, double>;  // numbers that one method has and others have not, by name

struct CriterionContext {
  std::uint64_t seed = 1;
  std::uint64_t step = 0;
  Evidence* evidence = nullptr;  // null: there is no training to ask

  // Throws UsageError, naming the criterion, if there is none.
  Evidence& require_evidence(const char* criterion) const;
};

class Criterion {
 public:
  virtual ~Criterion() = default;
  // scores[n] for the n-th live weight of W in row-major order; higher is more important; finite.   [W.nonzeros()]
  virtual void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const = 0;
  virtual std::string name() const = 0;
  // Into how many rounds, of equal factors, one pruning is divided; scores are taken anew in each.
  virtual Index rounds() const { return 1; }
  // Called when it is decided which live weights of W stay, before the others go: changes values so that the layer
  // feels the loss less. Most do not.     kept: ascending, row-major live order
  virtual void compensate(Parameter& /*W*/, std::span<const std::uint32_t> /*kept*/,
                          const CriterionContext& /*context*/) const {}
};

// The criterion of the method of this name. Throws UsageError listing the known names, or if the method does not prune
// by scores.
std::unique_ptr<Criterion> criterion_named(const std::string& name, const Settings& settings = {});

}  // namespace espalier
