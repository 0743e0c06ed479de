// The pruner: criterion x allocation x structure x schedule x storage, applied to a model between two training steps.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "espalier/pruning/allocation.h"
#include "espalier/pruning/criterion.h"
#include "espalier/pruning/schedule.h"
#include "espalier/pruning/sensitivity.h"
#include "espalier/pruning/storage_rules.h"
#include "espalier/pruning/structure.h"

namespace espalier {

// How whole units are chosen, where the structure is one of units (group_method.h).
struct UnitOptions {
  std::string criterion = "auto";  // of group_criteria(); auto: the method's
  Index round_to = 1;              // each layer keeps a multiple of so many, if that is possible
  Index minimum = 1;               // so many of each layer stay, if it has so many
  bool operator==(const UnitOptions&) const = default;
};

struct PrunerOptions {
  Allocation allocation = Allocation::global;
  Structure structure{};
  Schedule schedule{};
  StorageRules storage{};
  std::vector<std::string> protect{};  // parameters that are never pruned; of units, names of widths (fc1)
  std::uint64_t seed = 1;
  int threads = 1;                                  // a method takes its trainer's; never changes the result
  std::map<std::string, LayerGeometry> geometry{};  // geometries_of(model, input), which erk wants to know
  UnitOptions units{};
  // What the allocation by sensitivity asks and says: how good the network is now; how far it is; what came of it.
  Judge judge = nullptr;
  SensitivityProgress measuring = nullptr;
  std::function<void(const std::string&)> measured = nullptr;
};

class Pruner {
 public:
  // Prunes the prunable ones among `parameters`, which must outlive the pruner. N:M fixes the final density, N / M, and
  // the allocation, uniform; an allocation that is given layer by layer fixes the final density: options() then has
  // these instead of what was passed. An allocation by sensitivity is measured at the first pruning, and kept.
  // evidence: what criteria that look at more than weights ask; without it they throw. Throws UsageError if there is no
  // criterion, if the schedule is impossible, if the structure does not suit a layer, or if there is no judge of
  // sensitivity.
  Pruner(std::span<Parameter* const> parameters, std::shared_ptr<const Criterion> criterion, PrunerOptions options,
         Evidence* evidence = nullptr);

  // To be called with step 0 before training and after every step; prunes when the schedule says so. Returns what was
  // done, nothing on most steps.
  std::vector<PruneEvent> after_step(Index step, Index steps);
  // Throws UsageError if pruning to `density` is bound to leave a layer without weights: to be asked before hours of
  // training, not after.
  void require_possible(double density) const;
  // Prunes to `density` now; in several rounds if the criterion wants it so.
  std::vector<PruneEvent> prune_to(double density, Index step);

  // What was measured and has to be remembered, for checkpoints: the density to which each layer alone may fall; 0: not
  // measured so far.
  std::vector<NamedNumbers> state();

  const PrunerOptions& options() const { return options_; }
  const std::vector<Parameter*>& layers() const { return layers_; }  // those it prunes

 private:
  std::vector<PruneEvent> prune_once(double density, Index step);
  // What the allocation may look at; without scores, it sees shapes only.
  std::vector<Scored> scored(std::span<const std::vector<Real>> scores = {}) const;
  // Sensitivity: what is known of it, measured now if it is not.
  void know_sensitivity(std::span<const std::vector<Real>> scores, Index step);
  void say_sensitivity(const Evaluation& before, Index step) const;

  std::vector<Parameter*> layers_;
  PrunerOptions options_;
  std::shared_ptr<const Criterion> criterion_;
  Evidence* evidence_;
  std::vector<Real> tolerated_;  // of each layer; empty unless allocated by sensitivity
};

// The prunable ones that are not protected. Throws UsageError for a protected name that no parameter has.
std::vector<Parameter*> pruned_layers(std::span<Parameter* const> parameters, std::span<const std::string> protect);
// The layers as allocations see them, without scores; they look into `options` for the kernels of convolutions.
std::vector<Scored> shapes_of(std::span<Parameter* const> layers, const PrunerOptions& options);
// Live weights of all weights.
double density_of(std::span<Parameter* const> layers);

// The pattern that keeps the given live weights of W (ascending, row-major live order).
PatternPtr keep_live(const Parameter& W, std::span<const std::uint32_t> kept);

}  // namespace espalier
