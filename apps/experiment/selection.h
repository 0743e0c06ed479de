// What is compared when an epoch, a recipe or a length is chosen on validation samples.
//
//   regression                                the RMSE
//   classes, from few_samples samples on      the share of wrong answers
//   classes, on fewer samples                 the loss: there one more right answer, which is what tells two networks
//                                             apart, is luck; the loss counts how sure all the answers are
#pragma once

#include <string>

#include "espalier/optim/inference.h"

namespace espalier {

// From so many samples on, 0.1 percentage points are two answers.
constexpr Index few_samples = 2000;

enum class SelectionMetric { accuracy, loss, rmse };
// classes: 0: regression. samples: of validation.
SelectionMetric selection_metric(Index classes, Index samples);

// Lower is better.
double error_of(SelectionMetric metric, const Evaluation& evaluation);
// How far an error is behind another one: a difference of shares; or a share of the other one.
double gap_of(SelectionMetric metric, double error, double other);

const char* name_of(SelectionMetric metric);                  // "accuracy"
std::string text_of(SelectionMetric metric, double error);    // "97.31 %", "0.4711"
std::string text_of_gap(SelectionMetric metric, double gap);  // "0.10 pp", "0.25 %"

}  // namespace espalier
