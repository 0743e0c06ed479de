// Sensitivity: how much does a network lose when one layer alone is pruned?
//
//   before    how good the network is as it is
//   l, d      how good it is while layer l keeps its best round(d n_l) weights, and all other layers keep theirs
//
// One layer after the other is pruned, looked at on samples that the network does not learn from, and put back: nothing
// is trained in between, and afterwards the model is what it was, to the bit. A layer whose curve stays flat down to a
// few per cent can give most of its weights away; one that falls early should be left alone.
//
// Intuition: magnitude compares weights within a layer. Between layers only the network itself can tell.
// When: of a trained network; with `--allocation sensitivity:1` at the first pruning of a training.
// Cost: an evaluation for every layer and density.
// Caveat: layers are judged one at a time. Pruned together they lose more than the sum of what each loses alone, and
// training afterwards gives most of it back; so the curves say in what proportion to prune, not how far. Running
// statistics of batch norm are those of the unpruned network.
// Try: espalier sensitivity runs/mnist --svg sensitivity.svg
//      espalier train --allocation sensitivity:1 --density 0.05
// Exercise: multiply the weights of one layer by ten and divide those of the next by ten (ReLU: the network computes
// the same). What changes in the curves, and what in the counts of global allocation?
//
// S. Han, J. Pool, J. Tran, W. Dally, "Learning both weights and connections for efficient neural networks", 2015,
// figure 6; H. Li et al., "Pruning filters for efficient ConvNets", 2017, figure 2(b).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "espalier/optim/inference.h"
#include "espalier/pruning/criterion.h"
#include "espalier/pruning/storage_rules.h"
#include "espalier/pruning/structure.h"

namespace espalier {

// How good the network is now, on samples that it does not learn from.
using Judge = std::function<Evaluation()>;

// Told before each evaluation: which one of how many at most, and of which layer.
using SensitivityProgress = std::function<void(Index done, Index most, const std::string& layer)>;

// What is lost from `before` to `after`: percentage points of accuracy or, of numbers that are predicted, by how many
// per cent the RMSE is higher. Negative: it is better than before. Infinite if an output is not finite.
double points_lost(const Evaluation& before, const Evaluation& after);

struct LayerSensitivity {
  std::string layer;  // the parameter's name
  Index positions = 0, live = 0;
  std::vector<Index> kept;     // at each density: round(density * positions), at least 1, at most the live ones
  std::vector<Evaluation> at;  // with so many kept; where all live weights are kept, the network's as it is
};

struct Sensitivity {
  std::vector<double> densities;  // in the order in which they were asked for
  Evaluation before;
  std::vector<LayerSensitivity> layers;
};

// Throws UsageError unless there are some, different ones, in (0, 1].
void require_densities(const std::vector<double>& densities);

// Throws UsageError as require_densities does.
Sensitivity sensitivity_of(std::span<Parameter* const> layers, const Criterion& criterion,
                           const std::vector<double>& densities, const Judge& judge,
                           const SensitivityProgress& progress = nullptr);

// --- the allocation `sensitivity:DROP` -------------------------------------------------------------------------------

// The densities at which is looked, from the highest to the lowest: 0.8, 0.6 ... 0.02, 0.01.
std::span<const double> tolerance_densities();

struct ToleranceOptions {
  double drop = 1;  // points that each layer alone may lose
  Structure structure = {};
  StorageRules storage = {};
};

// Of each layer the lowest of tolerance_densities() at which, as at all higher ones, no more than `drop` is lost; 1 if
// it is none, and at most what lives. A curve that comes back after a fall is not believed.
//   scores: of each layer's live weights, row-major
std::vector<Real> tolerated_densities(std::span<Parameter* const> layers, std::span<const std::vector<Real>> scores,
                                      const ToleranceOptions& options, const Evaluation& before, const Judge& judge,
                                      const SensitivityProgress& progress = nullptr);

}  // namespace espalier
