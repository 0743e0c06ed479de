#include "espalier/experiment/best_epoch.h"

#include <tuple>

#include "espalier/experiment/selection.h"

namespace espalier {
namespace {

bool is_better(const Evaluation& a, const Evaluation& b) {
  const SelectionMetric metric = selection_metric(a.classes);
  const auto order = [&](const Evaluation& e) { return std::tuple(error_of(metric, e), e.loss); };
  return order(a) < order(b);
}

}  // namespace

void BestEpoch::add(Index epoch, const Evaluation& validation) {
  if (!watches() || validation.samples == 0) return;
  ++since_;
  if (snapshot_ && !is_better(validation, best_)) return;
  since_ = 0;
  epoch_ = epoch;
  best_ = validation;
  snapshot_.emplace(parameters_, state_);
}

std::optional<Evaluation> BestEpoch::restore() {
  if (!snapshot_) return {};
  snapshot_->restore(parameters_, state_);
  return best_;
}

std::optional<BestEpoch::Found> BestEpoch::found() const {
  if (!snapshot_) return {};
  return Found{.epoch = epoch_, .since = since_, .validation = best_};
}

void BestEpoch::go_on(const Found& found) {
  epoch_ = found.epoch;
  since_ = found.since;
  best_ = found.validation;
  snapshot_.emplace(parameters_, state_);
}

void BestEpoch::forget() {
  epoch_ = since_ = 0;
  snapshot_.reset();
}

}  // namespace espalier
