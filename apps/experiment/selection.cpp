#include "espalier/experiment/selection.h"

namespace espalier {

SelectionMetric selection_metric(Index classes) {
  return classes > 0 ? SelectionMetric::brier : SelectionMetric::rmse;
}

double error_of(SelectionMetric metric, const Evaluation& e) {
  return metric == SelectionMetric::brier ? e.brier : e.rmse;
}

double gap_of(double error, double other) {
  return error / other - 1;
}

const char* name_of(SelectionMetric metric) {
  return metric == SelectionMetric::brier ? "Brier score" : "RMSE";
}

}  // namespace espalier
