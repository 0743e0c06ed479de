// Baselines: what a network has to beat before it has learnt anything of use.
//
//   majority, mean    constant: the training set's frequencies, or its mean target
//   linear            the model `linear`, dense, trained like the network: the same data, loss, optimizer, batch, rate
//                     schedule and seed; for at most 20 epochs; with sgd and nesterov at linear's own learning rate,
//                     which no choice for a deeper model changes
#pragma once

#include "espalier/experiment/from_config.h"
#include "espalier/experiment/result.h"

namespace espalier {

// Whether they stand beside the networks without being asked for: tables are what linear models are good at.
bool wants_baselines(const RunConfig& config, const DataParts& data);

// The constant one, then the linear one, which has failed if its training diverged.
std::vector<BaselineResult> baselines_of(const RunConfig& config, const DataParts& data,
                                         const Checkpoint& checkpoint = {});

}  // namespace espalier
