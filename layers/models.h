// Models by name.
//
// A family makes the models of one name, or of all names that begin alike: "lenet-5", "mlp:...". To add one: its entry
// beside its relatives in layers/zoo, made with a Builder (layers/builder.h). From outside the tree:
// models().add({...}).
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/catalogue.h"
#include "espalier/layers/module.h"

namespace espalier {

struct ModelOptions {
  Shape input;        // of one sample
  Index outputs = 0;  // classes, or regression outputs
  std::uint64_t seed = 1;
  // Below 1 every weight matrix is born csr with a random pattern of this density: nothing dense is ever allocated.
  double density = 1;
  // What a model may take at birth, besides its weights. A name of a few letters can stand for a model of any size:
  // from a file that does not have its weights, it is refused before memory is asked for.
  double most_bytes_at_birth = std::numeric_limits<double>::infinity();
};

// What is known of a model without data. An mlp takes samples of any shape with that many features; a model of images
// takes images of other extents, too, and a model of sequences other [steps, features]; a model for tables takes
// anything, and has the extents of some table here.
struct ModelProfile {
  Shape input;             // of the data it was made for
  Index outputs = 10;      // of the same data
  bool images = false;     // takes images [C, H, W] only
  bool sequences = false;  // takes sequences [steps, features] only
  bool chain = false;      // only linear layers, one after the other, whose widths are in the name (with_extents)
  Index lanes = 64;        // samples side by side in a tile at which it runs well
  // A learning rate at which it learns with momentum 0.9, and the fraction of the steps over which to rise to it.
  // (LeNet-5 has no activations between its convolutions: without rising, 0.02 already diverges.)
  double rate = 0.1, warmup = 0;
  // Learning rates with other optimizers, by the optimizer's name, where the optimizer's own does not suit.
  std::map<std::string, double> rates = {};
  // The norm at which to clip the gradient; 0: never. Tables have outliers: a row a hundred deviations out gives a
  // squared error, and a gradient, as large as those of thousands of others.
  double clip_norm = 0;
};

struct ModelFamily {
  std::string name;  // "lenet-5"; or, ending in ':', what the names of its models begin with: "mlp:"
  std::string form;  // the name for people: "mlp:INPUTS-HIDDEN-...-OUTPUTS"
  std::string line;  // one line for people
  // Throws UsageError for a name that does not say a model.
  std::function<ModelProfile(const std::string& name)> profile;
  // The model. The options' density is possible, there is an output, and images and sequences have their rank.
  std::function<ModulePtr(const std::string& name, const ModelOptions&)> make;
  // Of a chain: the name of the same model with other hidden widths. extents: inputs, hidden ..., outputs
  std::function<std::string(const std::string& name, const std::vector<Index>& extents)> resized = nullptr;

  bool matches(std::string_view model) const { return name.ends_with(':') ? model.starts_with(name) : model == name; }
};

// The families of models.
Catalogue<ModelFamily>& models();

// The family that a model's name belongs to: of several, the one with the longest name. Throws UsageError, listing the
// forms of all names, if there is none.
const ModelFamily& model_family(std::string_view name);

// "lenet-300-100", "mlp:784-1024-1024-10", "conv-4", "gru:64" ... Throws UsageError on unknown names, on data that does
// not fit the model, and on models whose weights would not fit into this machine's memory.
//
// Models for tables name hidden widths only; inputs and outputs are the data's:
//
//   linear                  one layer: linear regression, or logistic with softmax cross-entropy
//   tabular:256-128         hidden layers fc1 and fc2 with ReLU, then output
//   tabular-resnet:128x3    width 128, 3 blocks  x + fc2(relu(fc1(norm(x)))), fc1 twice as wide (Gorishniy et al. 2021)
//   +norm                   behind either of the last two: batch norm before every ReLU
//   +dropout=0.1            behind either of the last two: dropout after every ReLU of a hidden layer
ModulePtr make_model(const std::string& name, const ModelOptions& options);

// What a model's name says. Throws UsageError on names that make_model would refuse whatever the data.
ModelProfile model_profile(const std::string& name);

// The name of the same model with other hidden widths. extents: inputs, hidden ..., outputs. Throws UsageError for
// models that are not chains.
std::string with_extents(const std::string& name, const std::vector<Index>& extents);

// The forms of all names, for help texts.
std::vector<std::string> known_models();

}  // namespace espalier
