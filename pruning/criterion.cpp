#include "espalier/pruning/criterion.h"

#include "espalier/core/error.h"

namespace espalier {

Evidence& CriterionContext::require_evidence(const char* criterion) const {
  require(evidence != nullptr,
          "[{}] expected a network in training and its data to take gradients of, got weights alone", criterion);
  return *evidence;
}

}  // namespace espalier
