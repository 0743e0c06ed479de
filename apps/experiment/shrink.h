// Shrinking a trained network: dead units go, and what is left is stored as is cheapest. What it computes stays the
// same, to rounding.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/experiment/trained_network.h"
#include "espalier/pruning/dead_units.h"

namespace espalier {

struct LayerSize {
  std::string name;         // of the weights
  Index units = 0;          // that it makes
  Index parameters = 0;     // that live, with its biases and the like
  std::uint64_t flops = 0;  // of its product, forward, one sample: what lives
  std::uintmax_t bytes = 0;
};

struct ModelSize {
  std::vector<LayerSize> layers = {};  // one for each matrix
  Index parameters = 0;
  std::uint64_t flops = 0;
  std::uintmax_t file_bytes = 0;
};
// Looks at a model without changing it. card: what its file will say besides
ModelSize size_of(const Module& model, const Shape& input, const ModelCard& card);

struct Shrunk {
  DeadUnits dead;
  ModelSize before, after;
};
// Throws UsageError for guards that name no layer, or for a model whose file does not say the shape of a sample.
Shrunk shrink(TrainedNetwork& network, const WidthGuards& guards = {});

// A line for each layer, before and after, for people; then what went, and why some did not.
std::string text_of(const Shrunk& shrunk);
// The same for programs, with the features of a sample that are still read: the names of a table's columns, or the
// numbers of pixels.
std::string json_of(const Shrunk& shrunk, const TrainedNetwork& network);

}  // namespace espalier
