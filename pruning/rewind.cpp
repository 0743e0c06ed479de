#include "pruning/rewind.h"

#include <algorithm>

#include "core/error.h"

namespace espalier {

Snapshot::Snapshot(std::span<Parameter* const> parameters) {
  for (const Parameter* parameter : parameters) {
    Parameter& copy = copies_.emplace_back(*parameter);
    for (const std::string& slot : copy.slot_names()) copy.remove_slot(slot);
  }
}

void Snapshot::restore(std::span<Parameter* const> parameters) const {
  require(parameters.size() == copies_.size(), "[rewind] expected {} parameters, got {}", copies_.size(),
          parameters.size());
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    const Parameter &W = *parameters[i], &then = copies_[i];
    require(then.name() == W.name() && then.rows() == W.rows() && then.cols() == W.cols(),
            "[rewind] expected parameter {} ({} x {}), got {} ({} x {})", then.name(), then.rows(), then.cols(),
            W.name(), W.rows(), W.cols());
  }
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    Parameter& W = *parameters[i];
    Parameter then = copies_[i];
    then.become(W.pattern(), W.storage());
    std::ranges::copy(then.value(), W.value().begin());
  }
}

std::vector<Parameter*> Snapshot::copies() {
  std::vector<Parameter*> all;
  for (Parameter& copy : copies_) all.push_back(&copy);
  return all;
}

}  // namespace espalier
