// Shrinking a trained network: dead units go, and what is left is stored as is cheapest. What it computes stays the
// same, to rounding. Columns of a table that nothing reads any more are left out of the model and of its preprocessing:
// it still takes rows that have them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/experiment/trained_network.h"
#include "espalier/layers/fold_norm.h"
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

struct ShrinkOptions {
  WidthGuards guards = {};
  bool fold_norm = false;    // batch norms become part of what stands before them (layers/fold_norm.h)
  bool keep_inputs = false;  // columns that nothing reads stay
};

struct Shrunk {
  DeadUnits dead;
  ModelSize before, after;
  std::optional<FoldedNorms> norms = {};       // if they were to be folded
  std::vector<std::string> columns_gone = {};  // of a table
  std::vector<std::string> columns_stay = {};  // that nothing reads either, and why_they_stay
  std::string why_they_stay = {};
};
// Throws UsageError for guards that name no layer, or for a model whose file does not say the shape of a sample.
Shrunk shrink(TrainedNetwork& network, const ShrinkOptions& options = {});

// A line for each layer, before and after, for people; then what went, and why some did not.
std::string text_of(const Shrunk& shrunk);
// The same for programs, with the features of a sample that are still read: the names of a table's columns, or the
// numbers of pixels.
std::string json_of(const Shrunk& shrunk, const TrainedNetwork& network);

}  // namespace espalier
