// Settling: from what the tiles' tapes owe to gradients, row block by row block, in tile order.
//
// G = sum over tiles of dY X' on W's pattern. Whichever thread computes it, the sum runs in the order of the tiles, so
// the result does not depend on the number of threads; and a block's gradient can be used up (update, probes) while it
// is still in cache, so that no second copy of a large gradient need ever exist.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/core/tape.h"

namespace espalier {

class Ledger {
 public:
  // The parameters of a model, in model order. They must outlive the ledger.
  explicit Ledger(std::span<Parameter* const> parameters);

  // Takes note of what the tapes owe, in their order; forgets what it knew. The tapes keep the tensors.
  void collect(std::span<Tape* const> tapes);

  // Whether anything is owed to this parameter.
  bool owes(std::size_t parameter) const { return !outers_[parameter].empty() || !directs_[parameter].empty(); }
  // G = the gradient of one row block, all zero if nothing is owed.    G: [block.weights()]
  void settle(std::size_t parameter, std::size_t block, std::span<Real> G) const;

 private:
  std::vector<Parameter*> parameters_;
  std::unordered_map<const Parameter*, std::size_t> index_;
  std::vector<std::vector<OuterPair>> outers_;
  std::vector<std::vector<const Tensor*>> directs_;
};

}  // namespace espalier
