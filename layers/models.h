// Models by name: what `--model` understands.
#pragma once

#include <string>
#include <vector>

#include "espalier/layers/module.h"

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
//
// Models for tables name hidden widths only; inputs and outputs are the data's:
//
//   linear                  one layer: linear regression, or logistic with softmax cross-entropy
//   tabular:256-128         hidden layers fc1 and fc2 with ReLU, then output
//   tabular-resnet:128x3    width 128, 3 blocks  x + fc2(relu(fc1(norm(x)))), fc1 twice as wide (Gorishniy et al. 2021)
//   +norm                   behind either of the last two: batch norm before every ReLU
//   +dropout=0.1            likewise: dropout after every ReLU of a hidden layer
ModulePtr make_model(const std::string& name, const ModelOptions& options);

// What a model's name says of the data it was made for. An mlp takes samples of any shape with that many features, a
// convolutional model takes other images, too, a model of sequences other [steps, features]; models for tables take
// anything, and have some table's extents here.
struct ModelProfile {
  Shape input;
  Index outputs = 10;
  bool images = false;     // convolutional
  bool sequences = false;  // convolutional over time, or recurrent
  bool chain = false;      // nothing but linear layers, one after the other, whose widths the name says
  Index lanes = 64;        // samples side by side in a tile with which it runs well
  // A learning rate at which it learns with momentum 0.9, and the fraction of the steps over which to rise to it.
  // (LeNet-5 has no activations between its convolutions: without rising, 0.02 already diverges.)
  double rate = 0.1, warmup = 0;
  // To which the gradient's norm is best cut off; 0: never. Tables have outliers: a row a hundred deviations out gives
  // a squared error, and a gradient, as large as those of thousands of others.
  double clip_norm = 0;
};
ModelProfile model_profile(const std::string& name);

// The name of the same model with other hidden widths: `extents` are inputs, hidden ..., outputs. For chains.
std::string with_extents(const std::string& name, const std::vector<Index>& extents);

// One line per known model, for help texts.
std::vector<std::string> known_models();

}  // namespace espalier
