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

// "lenet-300-100", "mlp:784-1024-1024-10". Throws UsageError on unknown names, on extents that do not fit the data, and
// on models whose weights would not fit into this machine's memory.
ModulePtr make_model(const std::string& name, const ModelOptions& options);

// The extents a name implies without data: input features first, outputs last. For benchmarks on synthetic input.
std::vector<Index> model_extents(const std::string& name);

// One line per known model, for help texts.
std::vector<std::string> known_models();

}  // namespace espalier
