#include "espalier/core/settle.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"

namespace espalier {

Ledger::Ledger(std::span<Parameter* const> parameters)
    : parameters_(parameters.begin(), parameters.end()), outers_(parameters.size()), directs_(parameters.size()) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const bool fresh = index_.emplace(parameters_[i], i).second;
    require(fresh, "[ledger] {}: expected each parameter once", parameters_[i]->name());
  }
}

void Ledger::collect(std::span<Tape* const> tapes) {
  for (auto& pairs : outers_) pairs.clear();
  for (auto& gradients : directs_) gradients.clear();
  for (const Tape* tape : tapes)
    for (const Debt& debt : tape->debts()) {
      const auto found = index_.find(debt.parameter);
      require(found != index_.end(), "[ledger] {}: expected a parameter of the model, got one it does not list",
              debt.parameter->name());
      if (debt.X)
        outers_[found->second].push_back({&debt.dY, &debt.X});
      else
        directs_[found->second].push_back(&debt.dY);
    }
}

void Ledger::settle(std::size_t parameter, std::size_t block, std::span<Real> G) const {
  const Parameter& W = *parameters_[parameter];
  outer(W, block, outers_[parameter], G);
  const Index first = W.blocks()[block].first;
  for (const Tensor* gradient : directs_[parameter])
    kernels::add(gradient->data() + first, G.data(), static_cast<Index>(G.size()));
}

}  // namespace espalier
