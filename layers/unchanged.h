// A scope at whose end a model is again what it was, byte for byte, whatever happened to it in between: a model can be
// trained to time a step, packed to time a sample, given other weights to look at them.
//
// The parameters proper wait aside, with their slots, patterns and packed copies, while copies stand in their places;
// running statistics are copied and written back. So spans of the parameters' arrays that were taken before are not
// those of the copies, and are valid again afterwards. In between nothing else may use the model.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

class Unchanged {
 public:
  explicit Unchanged(Module& model) : parameters_(parameters_of(model)), state_(state_of(model)) {
    for (const Parameter* W : parameters_) aside_.push_back(*W);
    for (const NamedNumbers& array : state_) numbers_.emplace_back(array.numbers.begin(), array.numbers.end());
    swap();
  }
  ~Unchanged() {
    swap();
    for (std::size_t i = 0; i < state_.size(); ++i) std::ranges::copy(numbers_[i], state_[i].numbers.begin());
  }
  Unchanged(const Unchanged&) = delete;
  Unchanged& operator=(const Unchanged&) = delete;

 private:
  void swap() {
    for (std::size_t p = 0; p < aside_.size(); ++p) std::swap(*parameters_[p], aside_[p]);
  }
  std::vector<Parameter*> parameters_;
  std::vector<Parameter> aside_;  // the parameters proper
  std::vector<NamedNumbers> state_;
  std::vector<std::vector<Real>> numbers_;
};

}  // namespace espalier
