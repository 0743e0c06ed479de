// A model in a safetensors file: the place where pruning has to show, in bytes that are counted.
//
// Each parameter is written in the form with the fewest bytes of data (weight_forms.h); ties go to the form named first
// there.
//
// Metadata: what the caller gives, and
//
//   format                  espalier-1
//   form/fc1.weight         dense | bitmap | delta8 | csr | seed | seed+bitmap | seed+delta8 | constant
//   shape/fc1.weight        300x784                       unless dense: there the tensor has it
//   seed/fc1.weight         1                             this and the next three: of the forms with a seed
//   initialiser/fc1.weight  signed-constant
//   scale/fc1.weight        1.4142135
//   check/fc1.weight        9c1b00d5a7f3e224              of the values: the bits of a normal distribution depend on
//                                                         the mathematical library, which need not be the writer's
//   value/fc1.bias          0                             of a constant
//
// What Module::visit_state visits is in tensors state/NAME [count]. Tensors of wide numbers come first, so that each
// begins at a multiple of its numbers' width. The test-only build over double writes F64 for F32.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"
#include "espalier/layers/weight_forms.h"

namespace espalier {

struct StoredLayer {
  std::string name;  // of a parameter, or state/NAME
  std::string form;
  std::uintmax_t bytes = 0;  // of data; their sum and the header are the file
  bool operator==(const StoredLayer&) const = default;
};

struct SavedModel {
  std::uintmax_t file_bytes = 0;
  std::vector<StoredLayer> layers;
  bool operator==(const SavedModel&) const = default;
};

// Writes the model; equal models give equal bytes. Throws FileError, and leaves what stood under that name, if it
// cannot be written; UsageError if the model has a name twice, or the metadata have keys that the format keeps for
// itself. origin: of weights that were never trained; parameters of which it is not true are written with their values.
SavedModel save_model(Module& model, const std::map<std::string, std::string>& metadata,
                      const std::filesystem::path& path, const std::optional<Origin>& origin = {});

// What save_model would return, without writing or even making the file.
SavedModel model_bytes(Module& model, const std::map<std::string, std::string>& metadata,
                       const std::optional<Origin>& origin = {});

// Loads into a model of the same names and shapes, whatever its own storage; returns the metadata given to save_model.
// Every bit of a value comes back, drawn or read. Pruned parameters become csr, others dense; optimizer slots go the
// way become() sends them. Throws FileError, naming file and tensor, if the file is broken or is not this model's: the
// model is then as it was.
std::map<std::string, std::string> load_model(Module& model, const std::filesystem::path& path);

}  // namespace espalier
