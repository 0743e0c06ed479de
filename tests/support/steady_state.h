// A training step over several tiles whose tapes, ledger and gradient buffers live on, as in the training loop.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "support/allocation_counter.h"
#include "support/batch_pass.h"

namespace espalier::testing {

class SteadyState {
 public:
  SteadyState(Module& module, std::vector<Tile> tiles)
      : module_(module), tiles_(std::move(tiles)), parameters_(parameters_of(module)), ledger_(parameters_) {
    for (std::size_t t = 0; t < tiles_.size(); ++t)
      order_.push_back(tapes_.emplace_back(std::make_unique<Tape>()).get());
    std::size_t longest = 0;
    for (const Parameter* W : parameters_) longest = std::max(longest, W->value().size());
    G_.resize(longest);
  }

  // Forward, backward, collect, settle, merge; returns how often it asked for memory.
  std::uint64_t step() {
    const std::uint64_t before = allocations_so_far();
    for (std::size_t t = 0; t < tiles_.size(); ++t) {
      const Var x = order_[t]->begin(tiles_[t], {.step = step_});
      order_[t]->backward(linear_functional(module_.forward(x)), tiles_[t].denominator);
    }
    ledger_.collect(order_);
    for (std::size_t p = 0; p < parameters_.size(); ++p)
      for (std::size_t b = 0; b < parameters_[p]->blocks().size(); ++b)
        ledger_.settle(p, b, std::span(G_).first(parameters_[p]->blocks()[b].weights()));
    module_.merge_state(order_, std::nullopt);
    ++step_;
    return allocations_so_far() - before;
  }

  std::size_t bytes() const {
    std::size_t total = 0;
    for (const auto& tape : tapes_) total += tape->bytes();
    return total;
  }

 private:
  Module& module_;
  std::vector<Tile> tiles_;
  std::vector<Parameter*> parameters_;
  Ledger ledger_;
  std::vector<std::unique_ptr<Tape>> tapes_;
  std::vector<Tape*> order_;
  std::vector<Real> G_;
  std::uint64_t step_ = 0;
};

}  // namespace espalier::testing
