// A checkpoint: everything parameters and state are, to the bit, so that a training that was interrupted goes on as if
// it had not been.
//
//   a model file (layers/model_file.h)     values only, in the fewest bytes: what is shipped
//   a checkpoint                           values, optimizer slots, pattern and storage, as they are in memory
//
// In a safetensors file, for each parameter W:
//
//   W.value         F32 [positions, or nonzeros in csr]       W.slot/NAME     the same, one per slot
//   W.row_begin     I64 [rows + 1]                            W.columns       U32 [nonzeros]       unless dense
//   metadata        storage/W = dense | masked | csr, and what the caller gives under keys without '/'
//
// and for each array of state   state/NAME   F32 [numbers]
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "espalier/core/parameter.h"

namespace espalier {

// Throws FileError, and leaves what stood under that name, if it cannot be written.
void save_checkpoint(std::span<Parameter* const> parameters, const std::map<std::string, std::string>& metadata,
                     const std::filesystem::path& path, std::span<const NamedNumbers> state = {});

// Into parameters of the same names and shapes, whatever their own storage and slots, and state of the same names and
// lengths; returns the caller's metadata.
// Throws FileError, naming file and tensor, if the file is broken or is not theirs: they are then as they were.
std::map<std::string, std::string> load_checkpoint(std::span<Parameter* const> parameters,
                                                   const std::filesystem::path& path,
                                                   std::span<const NamedNumbers> state = {});

}  // namespace espalier
