// What is compared when an epoch, a recipe or a length is chosen on validation samples.
//
//   regression   the RMSE
//   classes      the Brier score: how far, squared, the class probabilities are from the class. The share of right
//                answers would be what is wanted in the end, but two networks differ in few answers, and which of them
//                has one more is luck; the Brier score counts how sure all answers are. So does the loss, but without
//                bound: one answer that is sure and wrong outweighs hundreds.
#pragma once

#include <string>

#include "espalier/optim/inference.h"

namespace espalier {

enum class SelectionMetric { brier, rmse };
SelectionMetric selection_metric(Index classes);  // 0: regression

// Lower is better.
double error_of(SelectionMetric metric, const Evaluation& evaluation);
// How far an error is behind another one, as a share of that.
double gap_of(double error, double other);

const char* name_of(SelectionMetric metric);  // "Brier score"

}  // namespace espalier
