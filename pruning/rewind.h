// Rewinding: what survived pruning goes back to what it was early in training, and is trained again.
// What layers learn without training it (running statistics) goes back with it: it describes the weights as they were.
//
// Frankle & Carbin, "The lottery ticket hypothesis", 2019: to initialisation. Frankle et al., "Linear mode connectivity
// and the lottery ticket hypothesis", 2020: to step k, a little later, which larger networks need.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/parameter.h"

namespace espalier {

// What each round of an iterative schedule begins again.
struct Rewind {
  enum class Kind {
    none,  // nothing: all rounds are within one training
    rate,  // the learning rate alone: every round is a training that goes on with the weights as they are
    step   // the weights as they were after `step` steps, and the training from there on
  };
  Kind kind = Kind::none;
  Index step = 0;  // 0: initialisation

  explicit operator bool() const { return kind != Kind::none; }
  bool operator==(const Rewind&) const = default;
};
// none, rate, init (step 0) or the number of a step. Throws UsageError for anything else.
Rewind rewind_named(std::string_view text);
std::string name_of(const Rewind& rewind);

class Snapshot {
 public:
  // Copies values (weights and biases) and state (running statistics), not optimizer slots.
  explicit Snapshot(std::span<Parameter* const> parameters, std::span<const NamedNumbers> state = {});
  // Every live weight gets the value it had; patterns and storage stay as they are now. Parameters and state must be
  // the same, in the same order; weights that were not live at the time get 0.
  void restore(std::span<Parameter* const> parameters, std::span<const NamedNumbers> state = {}) const;
  // The copies, for checkpoints.
  std::vector<Parameter*> copies();
  std::vector<NamedNumbers> state();

 private:
  struct Numbers {
    std::string name;
    std::vector<Real> numbers;
  };
  std::vector<Parameter> copies_;
  std::vector<Numbers> state_;
};

}  // namespace espalier
