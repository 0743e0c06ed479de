// From words to objects: the one place where a configuration becomes a model, a loss, an optimizer, an experiment.
#pragma once

#include "espalier/experiment/config.h"
#include "espalier/experiment/experiment.h"

namespace espalier {

// The two networks of a run: same model, budget and seed, one of them pruned. With a control, the pruned one is the
// control's: trained from the start without pruning, after the method has found its pattern.
enum class Side { dense, sparse };
std::string name_of(Side side);

int threads_of(const RunConfig& config);

// What is trained for: as the configuration says or, if it leaves it open, as the data have it. Throws UsageError for a
// loss that does not go with the data.
Loss loss_of(const RunConfig& config, const DataParts& data);
// The model that the configuration names, as its seed makes it.
ModulePtr model_of(const RunConfig& config, const DataParts& data);
// Method, options and rewinding.
Pruning pruning_of(const RunConfig& config);

// The configuration must be settled. Of the sparse side of a small-dense control: the small network, unpruned.
Experiment experiment_of(const RunConfig& config, const DataParts& data, Side side);

// Throws UsageError for a method that does not go with model or data, and densities that would empty a layer.
void require_possible(const RunConfig& config, const DataParts& data, const std::vector<double>& densities);

// The name of the model that a training leaves: with members, their average's.
std::string trained_model_name(const RunConfig& config);
// Trains one side, and its control where one is asked for, which has a checkpoint of its own. With members, so many
// trainings one after the other, each with a checkpoint of its own; then their average is scored. A run that was
// continued: the sparse side goes on, the dense one ends where it ended the first time.
Trained train_side(const RunConfig& config, const DataParts& data, Side side, const Observer& observer = {},
                   const Checkpoint& checkpoint = {});
// The last continuation alone, of a network that was trained until then. Throws UsageError if there is none.
Trained train_on(const RunConfig& config, const DataParts& data, const Trained& before, const Observer& observer = {},
                 const Checkpoint& checkpoint = {});

}  // namespace espalier
