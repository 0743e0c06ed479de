// Models by name: what `--model` understands.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace espalier {

struct ModelOptions {
  Shape input;        // of one sample
  Index outputs = 0;  // classes, or regression outputs
  std::uint64_t seed = 1;
  // Below 1 every weight matrix is born csr with a random pattern of this density: nothing dense is ever allocated.
  double density = 1;
};

// "lenet-300-100", "mlp:784-1024-1024-10", "conv-4", "gru:64" ... Throws UsageError on unknown names, on data that does
// not fit the model, and on models whose weights would not fit into this machine's memory.
ModulePtr make_model(const std::string& name, const ModelOptions& options);

// What a model's name says of the data it was made for. An mlp takes samples of any shape with that many features, a
// convolutional model takes other images, a model of sequences [steps, features] takes others of those.
struct ModelProfile {
  Shape input;
  Index outputs = 10;
  bool images = false;     // convolutional
  bool sequences = false;  // convolutional over time, or recurrent
  Index lanes = 64;        // samples side by side in a tile with which it runs well
  // A learning rate at which it learns with momentum 0.9, and the fraction of the steps over which to rise to it.
  // (LeNet-5 has no activations between its convolutions: without rising, 0.02 already diverges.)
  double rate = 0.1, warmup = 0;
};
ModelProfile model_profile(const std::string& name);

// One line per known model, for help texts.
std::vector<std::string> known_models();

}  // namespace espalier
