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

// The two networks of a run: same model, budget and seed, one of them pruned.
enum class Side { dense, sparse };
std::string name_of(Side side);

Trained train_model(const RunConfig& config, const Data& data, Side side, const Observer& observer);

// Asked between steps; set by Ctrl-C.
bool interrupted();
void watch_for_interrupt();

}  // namespace espalier
