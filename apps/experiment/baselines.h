// Baselines: what a network has to beat before it has learnt anything of use.
//
//   majority, mean    constant: the training set's frequencies, or its mean target
//   linear            the best linear model of the training data (linear.h): the same whatever the network is, and
//                     however it is trained. Of tokens there is none, for as quantities they mean nothing
#pragma once

#include "espalier/datasets/parts.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/result.h"

namespace espalier {

// Whether they stand beside the networks without being asked for: tables are what linear models are good at.
bool wants_baselines(const RunConfig& config, const DataParts& data);

// The constant one, then the linear one, if there is one; it has failed if its loss is not finite. Throws
// InterruptedError.
std::vector<BaselineResult> baselines_of(const DataParts& data, int threads);

}  // namespace espalier
