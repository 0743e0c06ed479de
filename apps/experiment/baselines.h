// Baselines: what a network has to beat before it has learnt anything of use.
//
//   majority, mean    constant: the training set's frequencies, or its mean target
//   linear            the model `linear`, dense, trained like the network: the same data, loss, optimizer, batch, rate
//                     schedule and seed; for at most 20 epochs; with sgd and nesterov at linear's own learning rate,
//                     which no choice for a deeper model changes
#pragma once

#include "espalier/experiment/result.h"
#include "espalier/experiment/training.h"

namespace espalier {

// Whether they stand beside the networks without being asked for: tables are what linear models are good at.
bool wants_baselines(const RunConfig& config, const Data& data);

// { "majority" or "mean": { test_... }, "linear": { test_..., parameters, epochs, train_seconds } }, the second with
// "failed" alone if its training diverged. checkpoint: as for train_model; afterwards it holds the finished training,
// too.
Json baselines_of(const RunConfig& config, const Data& data, const std::filesystem::path& checkpoint = {});

// For people, from a result that has "baselines"; else empty.
std::string baseline_table_of(const Json& result);

}  // namespace espalier
