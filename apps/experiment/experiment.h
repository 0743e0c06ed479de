// An experiment: one training of one network, as objects. Nothing in it is a name that has to be looked up, so that a
// layer, a criterion, a method, an optimizer, a loss or a data set of your own takes part like any other.
//
//   Experiment e{.model = std::move(net), .data = load("mnist"), .loss = softmax_cross_entropy,
//                .optimizer = make_optimizer({.name = "sgd"}), .epochs = 12, .pruning = prune_by("magnitude", 0.1)};
//   const Trained trained = train(e);
//
// What a training does, step by step, is the trainer's and the method's business (optim/trainer.h, pruning/method.h).
// Here they are put together: loaders, schedule, pruning, rewinding, evaluation, and checkpoints on the way.
//
// Invariants (tests/apps/experiment_test.cpp names them by number):
//   1. A training that goes on from any of its checkpoints ends with the bits, metrics and FLOPs of one that was not
//      interrupted.
//   2. What `train` returns is said of the model as it is then: scoring it again gives the same numbers.
//   3. The test samples are looked at once, after the last step.
//   4. A training never goes on with other data than it began with, or with another configuration.
//   5. Once there is a checkpoint there is always one that is whole, whenever the process ends.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/threads.h"
#include "espalier/datasets/augment.h"
#include "espalier/datasets/parts.h"
#include "espalier/experiment/interrupt.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/module.h"
#include "espalier/optim/confusion.h"
#include "espalier/optim/fit.h"
#include "espalier/optim/inference.h"
#include "espalier/optim/optimizer.h"
#include "espalier/optim/rate.h"
#include "espalier/pruning/method.h"
#include "espalier/pruning/rewind.h"

namespace espalier {

// How weights leave the network.
struct Pruning {
  MethodInfo method;           // one of methods(), or your own
  PrunerOptions options = {};  // seed, threads and, where it is empty, geometry are the experiment's
  Settings settings = {};      // the method's own numbers; those that are not given have its defaults
  // With rounds of the iterative schedule as whole trainings: what each of them begins with.
  Rewind rewind = {};
  // Where pruning is the last that happens to a network, no step follows in which running statistics (batch norm) would
  // come to describe it: they are then taken anew from the training samples. false: they stay those of the network
  // before.
  bool recalibrate = true;
};

// A method of the catalogue with its own structure, allocation, schedule and rewinding.
// density: of all prunable weights, in (0, 1]; 0: the method's own. Throws UsageError for an unknown name.
Pruning prune_by(const std::string& method, double density = 0);

struct Experiment {
  std::shared_ptr<Module> model;  // trained in place
  DataParts data;                 // validation and test parts may be empty sets, not null
  Loss loss;
  std::shared_ptr<const Optimizer> optimizer;
  RateOptions rate = {};
  // Of each round, with rewinding; with patience, at most; with epochs_before, those included. 0: the model is pruned
  // as it is, by a method that needs nothing but scores, and evaluated.
  Index epochs = 10;
  Index epochs_before = 0;  // that the model was trained for before: this training goes on behind them
  // Above 0: of the epochs after pruning has ended, in the last round, that with the best validation counts; after so
  // many without a better one the training ends. 0: the last epoch counts.
  Index patience = 0;
  Index batch = 128;          // samples per step
  Index lanes = 64;           // samples side by side in a tile
  Augmentation augment = {};  // of the samples trained on
  std::uint64_t seed = 1;     // of shuffling, augmentation, dropout and the method's choices
  int threads = default_threads();
  double clip_norm = 0;                 // the gradient's global norm is scaled down to this; 0: never
  std::optional<Pruning> pruning = {};  // none: a dense network stays dense
  std::string label = "training";       // begins the progress line
};

// What came of it.
struct Trained {
  std::shared_ptr<Module> model;
  Evaluation validation, test;          // at the epoch that counts
  Index epoch = 0;                      // that one, if it was chosen by validation; 0: it is the last
  Metrics metrics = {};                 // of the test set
  Confusion confusion = Confusion();    // of the test set, where classes are few; else of no classes
  double train_seconds = 0;             // without evaluations and checkpoints
  double checkpoint_seconds = 0;        // spent in writing these
  double event_seconds = 0;             // of train_seconds: observers', and counting what they are told of prunings
  Flops train_flops;                    // all rounds; of a control, with what it took to find its pattern
  std::optional<Origin> origin = {};    // of the weights, if none was ever trained
  std::optional<UnitsLeft> units = {};  // if whole units were taken out
  std::vector<std::string> notes = {};  // for people: what went otherwise than might be expected
  std::uint64_t data = 0;               // fingerprint of the data; 0: not known, for no checkpoint was asked for
  // The training, now done, as a checkpoint: its file or, where none could be written, why not. Both are empty if none
  // was asked for, or where several trainings make one network.
  std::filesystem::path kept_in = {};
  std::string not_kept = {};
};

// What happens on the way, as it happens. A FileError that an observer throws ends the training where it can go on.
struct Observer {
  // density: of all weights, or of the units where whole units go, at the end of the epoch
  std::function<void(const EpochResult&, Index round, double density)> epoch = nullptr;
  std::function<void(const std::vector<PruneEvent>&)> pruned = nullptr;
  // Training diverged; the model as it would be had it ended after `epoch`, the last one that ended well (or where the
  // training went on, in the one behind). Not called if there was none.
  std::function<void(const Module&, Index epoch)> diverged = nullptr;
  // What the observer has put down so far, for the checkpoint; a training that goes on from there gives it back first.
  std::function<std::string()> noted = nullptr;
  std::function<void(const std::string&)> go_on_behind = nullptr;
};

// Where a training is kept on the way and when it is done, and what ends it early. The files are the caller's to remove
// (remove_checkpoint).
constexpr double default_checkpoint_seconds = 60;
struct Checkpoint {
  std::filesystem::path file = {};           // empty: it is not kept
  std::function<bool()> stop = interrupted;  // asked between steps
  std::uint64_t data = 0;                    // fingerprint of the experiment's data; 0: it is computed
  double every =
      default_checkpoint_seconds;  // seconds from one to the next; 0: only when it is stopped, and at its end
  std::uint64_t config = 0;        // of what else the training depends on; 0: it is not compared
};

// Trains e.model. If there is a checkpoint, it goes on from there; a training that was finished then is returned as it
// was. Throws InterruptedError when it was stopped, DivergedError, UsageError for what does not go together, FileError
// for a checkpoint of another training, or of other data, and for one that cannot be written: the one before then
// stands.
Trained train(Experiment& e, const Observer& observer = {}, const Checkpoint& checkpoint = {});

// Throws UsageError if `train` is bound to fail, or to leave a layer without weights: before hours of training, not
// after. densities: to be asked instead of the experiment's own; empty: that one.
void require_possible(Experiment& e, const std::vector<double>& densities = {});

// Saves a training that is done, so that `train` with this checkpoint returns it again.
void save_finished(const Trained& trained, const std::filesystem::path& checkpoint);
// All files of this checkpoint, and of the trainings that followed it.
void remove_checkpoint(const std::filesystem::path& checkpoint);

}  // namespace espalier
