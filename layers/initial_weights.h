// Weights to begin with, from a file: of a model of ours, or of another program.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "espalier/layers/module.h"

namespace espalier {

// Fills the model with the weights of a safetensors file.
//
//   a model's file of ours     the same names and shapes; a weight that was pruned becomes 0
//   any other                  tensors fc1.weight [out, in], conv1.weight [out, in, height, width], fc1.bias [out], of
//                              F32 or F64, as PyTorch's state_dict has them
//
// names: what a layer, a parameter or a state of the model is called in the file, where that is another name: fc1 -> 0
// takes fc1.weight from 0.weight, norm.gamma -> bn.weight that one parameter. Every parameter and state has to be
// there, and nothing else but counters (num_batches_tracked). Throws FileError, and UsageError for names that the model
// does not have; the model is then as it was.
void initialise_from(Module& model, const std::filesystem::path& file, const std::map<std::string, std::string>& names);

// The name of the model whose weights a file of ours has; empty: it has none, or another program wrote the file. Throws
// FileError.
std::string model_of_weights(const std::filesystem::path& file);

}  // namespace espalier
