// Metrics: how good a network's outputs are, over a whole data set at once. (Inference::evaluate, which is for
// every epoch, computes fewer numbers and keeps no outputs.)
//
//   accuracy              fraction of samples whose largest output is their class
//   balanced accuracy     mean over classes of the fraction of that class's samples found: 1/K for a constant
//                         prediction, however rare the other classes are
//   AUC                   probability that a sample of the class has a higher score than a sample of another one, ties
//                         counting half; two classes: the score is z1 - z0; more: log p of each class against the rest,
//                         mean over classes
//   log-loss              mean of -log softmax(z)[label], natural logarithm, no class weights
//   RMSE, MAE             root of the mean squared error; mean absolute error: in original units (TargetScale)
//   R^2                   1 - (sum of squared errors) / (sum of squared distances from the mean target), the sums over
//                         all outputs, each with its own mean: 0 for predicting the mean, negative for worse
//
//   standard error        of the accuracy a: sqrt(a (1 - a) / n). Of the RMSE: the squared errors have a mean whose
//                         standard error is sd / sqrt(n), and the root divides that by 2 RMSE
//
// Classes without samples do not count. What is not defined is NaN: AUC where all samples are of one class, R^2 where
// all targets are equal, and everything of an empty set.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "espalier/datasets/dataset.h"

namespace espalier {

// Which of the `count` numbers at(0), at(1), ... is the largest; of equal ones the first. A network's answer is the
// class of its largest output.
template <typename At>
Index arg_max(Index count, At&& at) {
  Index best = 0;
  for (Index i = 1; i < count; ++i)
    if (at(i) > at(best)) best = i;
  return best;
}
inline Index arg_max(std::span<const Real> z) {
  return arg_max(static_cast<Index>(z.size()), [&](Index i) { return z[i]; });
}

struct Metrics {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  Index samples = 0;
  Index classes = 0;                                                                          // 0: regression
  double accuracy = unknown, balanced_accuracy = unknown, auc = unknown, log_loss = unknown;  // classification
  double rmse = unknown, mae = unknown, r2 = unknown;                                         // regression
  double standard_error = unknown;  // of the accuracy, or of the RMSE: what another sample as large might change
};

// outputs: [samples, classes], logits, row-major; labels: [samples], each in [0, classes). Throws UsageError.
Metrics classification_metrics(std::span<const Real> outputs, std::span<const std::int32_t> labels, Index classes);

// outputs, targets: [samples, width], row-major, on the data set's scale. Throws UsageError.
Metrics regression_metrics(std::span<const Real> outputs, std::span<const Real> targets, Index width,
                           TargetScale scale = {});

// Of outputs [samples, outputs_for(data)], row i for sample i, as Inference::outputs gives them.
Metrics metrics_of(std::span<const Real> outputs, const Dataset& data);

// The metrics, on `test`, of the best constant prediction: each class with its frequency in `train`, so that the most
// frequent class is the largest output; or the mean target of `train`.
Metrics baseline_metrics(const Dataset& train, const Dataset& test);

// [classes]
std::vector<Index> samples_of_class(const Dataset& data);

}  // namespace espalier
