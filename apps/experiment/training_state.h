// What a checkpoint of a training holds besides the parameters: how far it is, and what was counted so far.
//
// A training is kept in two files in turn. While one of them is written the other one stands, and of those that are
// whole and make sense the one with the higher number is gone on from:
//
//   checkpoint-sparse      number 1 . . 3 . . 5 . .
//   checkpoint-sparse.2             . 2 . . 4 . .
//
// Nothing in such a file is believed: every number must be one that this training can have had.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "espalier/experiment/best_epoch.h"
#include "espalier/experiment/experiment.h"

namespace espalier {

struct TrainingState {
  bool finished = false;
  Index round = 0, trainer_steps = 0;
  FitPosition position = {};
  Flops probe_flops = {};    // that no step has counted yet
  std::string noted = {};    // by the observer
  std::uint64_t number = 0;  // of the checkpoint, counted from 1
  Index pruned_step = -1;    // after which weights last left or came, without rewinding; -1: after none
};

// What a checkpoint is made of, and read into. `method`, `early` and `best`: null once the training is finished.
struct TrainingParts {
  Trained& trained;
  Method* method = nullptr;
  std::optional<Snapshot>* early = nullptr;  // what rewinding goes back to
  BestEpoch* best = nullptr;
  std::uint64_t config = 0;              // fingerprint of what else the training depends on; 0: it is not known
  const Narrowing* narrowing = nullptr;  // to be saved: the method's, also once the training is finished
};

// The numbers that a training can have.
struct TrainingLimits {
  Index steps = 0, batches = 1, batch = 1;  // of a round; of an epoch; samples of a batch
  Index first_step = 0, rewound_step = 0;   // where the first round begins, and the later ones
  Index rounds = 0, classes = 0;            // of the test set
  std::string name = {};                    // of the data, for messages
};

void save_training(const TrainingState& state, const TrainingParts& parts, const std::filesystem::path& file);

// The newest checkpoint that is valid, if there is one: what is said of one that is not goes to stderr. Throws
// FileError, naming the file, if there are checkpoints and none is valid (a model that units are taken out of then has
// no meaning), or if the training began with other data or another configuration.
std::optional<TrainingState> load_training(const TrainingParts& parts, const TrainingLimits& limits,
                                           const std::filesystem::path& file);

// Where the checkpoint of this number belongs.
std::filesystem::path checkpoint_file(const std::filesystem::path& checkpoint, std::uint64_t number);
// A control's training, and each that goes on after a finished one, has files of its own.
std::filesystem::path control_file(std::filesystem::path checkpoint);
std::filesystem::path later_file(std::filesystem::path checkpoint, std::size_t which);

}  // namespace espalier
