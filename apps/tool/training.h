// Training one model as a configuration says, dense or pruned.
#pragma once

#include <functional>
#include <optional>

#include "apps/tool/config.h"
#include "apps/tool/data.h"
#include "layers/module.h"
#include "optim/fit.h"
#include "pruning/pruner.h"

namespace espalier {

struct Trained {
  ModulePtr model;
  Evaluation validation, test;  // at the final epoch
  double train_seconds = 0;     // without evaluations
  Flops train_flops;            // all rounds
};

// What happened on the way, as it happens.
struct Observer {
  std::function<void(const EpochResult&, Index round)> epoch = nullptr;
  std::function<void(const std::vector<PruneEvent>&)> pruned = nullptr;
};

int threads_of(const RunConfig& config);
PrunerOptions pruner_options(const RunConfig& config);

// label begins the progress line. With `prune` false the same model, budget and seed train dense.
Trained train_model(const RunConfig& config, const Data& data, bool prune, const std::string& label,
                    const Observer& observer);

// Asked between steps; set by Ctrl-C.
bool interrupted();
void watch_for_interrupt();

}  // namespace espalier
