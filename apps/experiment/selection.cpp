#include "espalier/experiment/selection.h"

#include <fmt/format.h>

namespace espalier {

SelectionMetric selection_metric(Index classes, Index samples) {
  if (classes == 0) return SelectionMetric::rmse;
  return samples < few_samples ? SelectionMetric::loss : SelectionMetric::accuracy;
}

double error_of(SelectionMetric metric, const Evaluation& e) {
  switch (metric) {
    case SelectionMetric::accuracy:
      return 1 - e.accuracy;
    case SelectionMetric::loss:
      return e.loss;
    case SelectionMetric::rmse:
      break;
  }
  return e.rmse;
}

double gap_of(SelectionMetric metric, double error, double other) {
  return metric == SelectionMetric::accuracy ? error - other : error / other - 1;
}

const char* name_of(SelectionMetric metric) {
  return metric == SelectionMetric::accuracy ? "accuracy" : metric == SelectionMetric::loss ? "loss" : "RMSE";
}

std::string text_of(SelectionMetric metric, double error) {
  return metric == SelectionMetric::accuracy ? fmt::format("{:.2f} %", 100 * (1 - error))
                                             : fmt::format("{:.4g}", error);
}

std::string text_of_gap(SelectionMetric metric, double gap) {
  return fmt::format("{:.2f} {}", 100 * gap, metric == SelectionMetric::accuracy ? "pp" : "%");
}

}  // namespace espalier
