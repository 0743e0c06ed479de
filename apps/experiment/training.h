// Training one model as a configuration says, dense or pruned.
#pragma once

#include <functional>
#include <optional>

#include "espalier/experiment/config.h"
#include "espalier/experiment/data.h"
#include "espalier/layers/module.h"
#include "espalier/optim/fit.h"
#include "espalier/optim/metrics.h"
#include "espalier/pruning/method.h"

namespace espalier {

struct Trained {
  ModulePtr model;
  Evaluation validation, test;        // at the final epoch
  Metrics metrics = {};               // of the test set; no samples: nobody asked
  double train_seconds = 0;           // without evaluations
  Flops train_flops;                  // all rounds; of a control, with what it took to find its pattern
  std::optional<Origin> origin = {};  // of the weights, if none was ever trained
};

// What happened on the way, as it happens.
struct Observer {
  // density: of all weights, at the end of the epoch
  std::function<void(const EpochResult&, Index round, double density)> epoch = nullptr;
  std::function<void(const std::vector<PruneEvent>&)> pruned = nullptr;
};

int threads_of(const RunConfig& config);
// input: the shape of one sample
PrunerOptions pruner_options(const RunConfig& config, Module& model, const Shape& input);

// What is trained for: as the configuration says or, if it leaves it open, as the data have it. Throws UsageError for a
// loss that does not go with the data.
Loss loss_of(const RunConfig& config, const Data& data);

// The model that the configuration names, as its seed makes it.
ModulePtr model_of(const RunConfig& config, const Data& data);
// Throws UsageError for a method that does not go with model or data, and densities that would empty a layer.
void require_possible(const RunConfig& config, const Data& data, const std::vector<double>& densities);

// The two networks of a run: same model, budget and seed, one of them pruned. With a control, the pruned one is the
// control's: trained from the start without pruning, after the method has found its pattern.
enum class Side { dense, sparse };
std::string name_of(Side side);

// Ctrl-C ends it with InterruptedError after saving where it was to `checkpoint` (unless empty). If there is a
// checkpoint, it goes on from there, and ends with the bits of a training that was never interrupted.
Trained train_model(const RunConfig& config, const Data& data, Side side, const Observer& observer,
                    const std::filesystem::path& checkpoint = {});
// Saves a training that is done, so that train_model returns it again.
void save_finished(const Trained& trained, const std::filesystem::path& checkpoint);

// Asked between steps; set by Ctrl-C, or by a test.
bool interrupted();
void watch_for_interrupt();
void interrupt_after(Index steps);  // as if Ctrl-C came after this many more questions; below 0: never

}  // namespace espalier
