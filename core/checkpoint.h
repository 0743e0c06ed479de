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
//
// Several sets of parameters may stand in one file (the weights as they are, and as they were at an earlier time): then
// W and NAME begin with the part's name and '@'. One file is whole or is not there, which two files together are not.
//
//   metadata        format = espalier-checkpoint-3
//
// The file is sealed (core/safetensors.h), so that no flipped bit can go unnoticed. A checkpoint is not believed all
// the same: what it holds must fit the parameters, and weights must be finite.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/core/safetensors.h"

namespace espalier {

// Parameters and state that belong together.
struct CheckpointPart {
  std::string name = {};  // empty: their names stand in the file as they are
  std::vector<Parameter*> parameters = {};
  std::vector<NamedNumbers> state = {};
};

// Throws FileError, and leaves what stood under that name, if it cannot be written.
void save_checkpoint(std::span<const CheckpointPart> parts, const std::map<std::string, std::string>& metadata,
                     const std::filesystem::path& path);
void save_checkpoint(std::span<Parameter* const> parameters, const std::map<std::string, std::string>& metadata,
                     const std::filesystem::path& path, std::span<const NamedNumbers> state = {});

// A checkpoint that has been read.
class CheckpointFile {
 public:
  // Throws FileError if it is broken, or not as it was written.
  explicit CheckpointFile(const std::filesystem::path& path);
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // the caller's
  const std::string& path() const { return path_; }
  // Into parameters of the same names and shapes, whatever their own storage, and state of the same names and lengths.
  // Slots that a parameter has must be in the file, others that are there are added.
  // Throws FileError, naming file and tensor, if the file is not theirs: they are then as they were.
  void load(std::span<const CheckpointPart> parts) const;

 private:
  std::string path_;
  SafeTensors file_;
  std::map<std::string, std::string> metadata_;
};

// The same for one part without a name; returns the caller's metadata.
std::map<std::string, std::string> load_checkpoint(std::span<Parameter* const> parameters,
                                                   const std::filesystem::path& path,
                                                   std::span<const NamedNumbers> state = {});

}  // namespace espalier
