// What a checkpoint of a training holds besides the parameters: how far it is, and what was counted so far.
#pragma once

#include <filesystem>

#include "espalier/experiment/experiment.h"

namespace espalier {

struct TrainingState {
  bool finished = false;
  Index round = 0, trainer_steps = 0;
  FitPosition position = {};
};

// method: null once the training is finished; a finished one is loaded without what the method remembered. `trained`
// gives its counts, and takes them back.
void save_training(const TrainingState& state, const Trained& trained, Method* method,
                   const std::filesystem::path& file);
// Throws FileError, naming the file, if its training began with other data than those of this fingerprint. name: of the
// data, for the message.
void require_data(std::uint64_t data, const std::string& name, const std::filesystem::path& file);
// Throws FileError, naming the file, if it is not a checkpoint of this training.
TrainingState load_training(Trained& trained, Method* method, const std::filesystem::path& file);

// With rewinding, what is gone back to stands in a file of its own. So does the best epoch, and a control's training.
std::filesystem::path early_file(std::filesystem::path checkpoint);
std::filesystem::path best_file(std::filesystem::path checkpoint);
std::filesystem::path control_file(std::filesystem::path checkpoint);

}  // namespace espalier
