// The best epoch: which of the epochs after pruning has ended is the one to keep, by the validation samples.
//
//   validation |  o                     an epoch is better if it has the lower error (selection.h); of equal ones the
//   error      |    o                   lower loss decides
//              |      o : o   o   o
//              |        :   O   o   o   O is kept; after `patience` epochs without a better one it is enough
//              +---------------------- epoch
//                       pruning has ended
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/optim/inference.h"
#include "espalier/pruning/rewind.h"

namespace espalier {

class BestEpoch {
 public:
  // What is watched must outlive it. patience: 0: every epoch is the best so far, and it is never enough.
  BestEpoch(std::span<Parameter* const> parameters, std::vector<NamedNumbers> state, Index patience)
      : parameters_(parameters.begin(), parameters.end()), state_(std::move(state)), patience_(patience) {}

  // The model has become narrower: its state stands elsewhere. Not once an epoch was added.
  void watch(std::vector<NamedNumbers> state) { state_ = std::move(state); }

  bool watches() const { return patience_ > 0; }
  // An epoch has ended, after which no weight leaves the network or comes back.
  void add(Index epoch, const Evaluation& validation);
  bool enough() const { return watches() && since_ >= patience_; }
  // The weights of the best epoch, if one was added; returns it.
  std::optional<Evaluation> restore();
  Index epoch() const { return epoch_; }  // 0: none was added

  // What a checkpoint keeps of it besides the weights.
  struct Found {
    Index epoch = 0, since = 0;
    Evaluation validation = {};
  };
  std::optional<Found> found() const;
  // As it was when that was found, but for the weights, which are to be put into best().
  void go_on(const Found& found);
  void forget();
  // The weights of the best epoch; null: none was added.
  Snapshot* best() { return snapshot_ ? &*snapshot_ : nullptr; }

 private:
  std::vector<Parameter*> parameters_;
  std::vector<NamedNumbers> state_;
  Index patience_, epoch_ = 0, since_ = 0;
  Evaluation best_;
  std::optional<Snapshot> snapshot_;
};

}  // namespace espalier
