#include "espalier/pruning/rewind.h"

#include <algorithm>
#include <charconv>

#include "espalier/core/error.h"

namespace espalier {

Rewind rewind_named(std::string_view text) {
  if (text == "none") return {};
  if (text == "rate") return {Rewind::Kind::rate};
  if (text == "init") return {Rewind::Kind::step, 0};
  Index step = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, step);
  require(error == std::errc() && end == last && step >= 0,
          "[rewind] expected none, init, rate or a step number, got \"{}\"", text);
  return {Rewind::Kind::step, step};
}

std::string name_of(const Rewind& rewind) {
  if (rewind.kind == Rewind::Kind::none) return "none";
  if (rewind.kind == Rewind::Kind::rate) return "rate";
  return rewind.step == 0 ? "init" : fmt::format("{}", rewind.step);
}

Snapshot::Snapshot(std::span<Parameter* const> parameters, std::span<const NamedNumbers> state) {
  for (const Parameter* parameter : parameters) {
    Parameter& copy = copies_.emplace_back(*parameter);
    for (const std::string& slot : copy.slot_names()) copy.remove_slot(slot);
  }
  for (const auto& [name, numbers] : state) state_.push_back({name, {numbers.begin(), numbers.end()}});
}

void Snapshot::restore(std::span<Parameter* const> parameters, std::span<const NamedNumbers> state) const {
  require(parameters.size() == copies_.size(), "[rewind] expected {} parameters, got {}", copies_.size(),
          parameters.size());
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    const Parameter &W = *parameters[i], &then = copies_[i];
    require(then.name() == W.name() && then.rows() == W.rows() && then.cols() == W.cols(),
            "[rewind] expected parameter {} ({} x {}), got {} ({} x {})", then.name(), then.rows(), then.cols(),
            W.name(), W.rows(), W.cols());
  }
  require(state.size() == state_.size(), "[rewind] expected {} arrays of state, got {}", state_.size(), state.size());
  for (std::size_t i = 0; i < state_.size(); ++i)
    require(state_[i].name == state[i].name && state_[i].numbers.size() == state[i].numbers.size(),
            "[rewind] expected state {} ({} numbers), got {} ({})", state_[i].name, state_[i].numbers.size(),
            state[i].name, state[i].numbers.size());
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    Parameter& W = *parameters[i];
    Parameter then = copies_[i];
    then.become(W.pattern(), W.storage());
    std::ranges::copy(then.value(), W.value().begin());
  }
  for (std::size_t i = 0; i < state_.size(); ++i) std::ranges::copy(state_[i].numbers, state[i].numbers.begin());
}

std::vector<Parameter*> Snapshot::copies() {
  std::vector<Parameter*> all;
  for (Parameter& copy : copies_) all.push_back(&copy);
  return all;
}

std::vector<NamedNumbers> Snapshot::state() {
  std::vector<NamedNumbers> all;
  for (auto& [name, numbers] : state_) all.push_back({name, numbers});
  return all;
}

}  // namespace espalier
