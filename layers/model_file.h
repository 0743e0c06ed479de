// A model in a safetensors file: where pruning has to show, in bytes that are counted.
//
// Each parameter is written in the form with the fewest bytes of data (weight_forms.h), unless another layout is asked
// for; ties go to the form named first there.
//
// Metadata:
//
//   format                  espalier-2
//   version                 0.1.0                         of the Espalier that wrote it
//   crc32  crc32/...        of header and tensors         the file is sealed (core/safetensors.h)
//
//   model                   lenet-5                       these three, or none: what make_model needs
//   input                   1x28x28
//   outputs                 10
//   preprocessing           {"kind": "samples", ...}      JSON: how samples become features, what classes are called
//   dataset                 mnist                         this and the next two: where the weights come from
//   seed                    1
//   fingerprint             9c1b00d5a7f3e224              of the data
//   note/KEY                ...                           the caller's own
//
//   form/fc1.weight         dense | bitmap | delta8 | csr | seed | seed+bitmap | seed+delta8 | constant | scipy-csr |
//                           shared | shared+delta8 | linear8 | linear8+delta8
//   shape/fc1.weight        300x784                       unless dense: there the tensor has it
//   seed/fc1.weight         1                             this and the next three: in the forms with a seed
//   initialiser/fc1.weight  signed-constant
//   scale/fc1.weight        1.4142135
//   check/fc1.weight        9c1b00d5a7f3e224              a hash of the values: the bits of a normal distribution
//                                                         depend on the mathematical library, and the reader's may
//                                                         differ from the writer's
//   value/fc1.bias          0                             of a constant
//
// A network may be narrower than the one that make_model makes of its name, because units were taken out
// (layers/widths.h): its parameters then have fewer rows and columns, which their tensors and shape/W say, and nothing
// else has to be said.
//
// What Module::visit_state visits is in tensors state/NAME [count]. Tensors of wide numbers come first, so that each
// tensor begins at a multiple of the width of its numbers. The test-only build over double writes F64 for F32.
//
//   1. Keys that are none of these are refused, as are files without one that has to be there.
//   2. Any flipped bit and any truncation is refused.
//   3. Numbers are finite.
//   4. What is not in the file as it is, drawn, constant or compressed, is at most 2^28 numbers. So no small file takes
//      much memory.
//
// Files of format espalier-1 are read as well: they have no version and no checksums, of the keys in the middle only
// model and dataset, and the caller's own without "note/".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/layers/initialise.h"
#include "espalier/layers/module.h"
#include "espalier/layers/weight_forms.h"

namespace espalier {

struct StoredLayer {
  std::string name;  // of a parameter, or state/NAME
  std::string form;
  std::uintmax_t bytes = 0;  // of data; all layers' bytes and the header make the file
  bool operator==(const StoredLayer&) const = default;
};

struct SavedModel {
  std::uintmax_t file_bytes = 0;
  std::vector<StoredLayer> layers;
  bool operator==(const SavedModel&) const = default;
};

// What a file says of a model besides its weights. Any of it may be left out.
struct ModelCard {
  // The name by which make_model makes it, the shape of a sample, and how many numbers come out. A model that is made
  // by code of one's own has no such name.
  std::string model = {};
  Shape input = {};
  Index outputs = 0;
  std::string preprocessing = {};  // JSON, whose "kind" says what it is (datasets/sample_rules.h); none: a table's
  std::string dataset = {};
  std::optional<std::uint64_t> seed = {}, fingerprint = {};
  std::string version = {};  // of the Espalier that wrote the file, which puts in its own; empty: of espalier-1
  std::map<std::string, std::string> notes = {};  // the caller's own
  bool operator==(const ModelCard&) const = default;
};

// How weights lie in a file.
enum class Layout {
  smallest,   // of the forms that a reader can point at
  csr,        // every weight matrix in the form scipy-csr, which other programs take as it is
  compressed  // a matrix of at most 256 values in its compressed form, where that is smaller
};

// smallest, csr, compressed. Throws UsageError for any other name.
Layout layout_named(std::string_view name);

struct SaveOptions {
  Layout layout = Layout::smallest;
  // Where weights that were never trained come from; parameters that do not come from there are written with their
  // values. With the layout csr all are.
  std::optional<Origin> origin = {};
};
// What a card says, by the keys under which a model's file has it.
std::map<std::string, std::string> text_of(const ModelCard& card);

// Throws DivergedError, naming it, if a parameter or state of the model has a NaN or an infinite number.
void require_finite(const Module& model);

// Writes the model; equal models give equal bytes. Throws FileError if the file cannot be written, and leaves an older
// file of that name as it was; UsageError if the model has a name twice; DivergedError if a number is NaN or infinite.
SavedModel save_model(const Module& model, const ModelCard& card, const std::filesystem::path& path,
                      const SaveOptions& options = {});

// What save_model would return, without writing a file or, unless it is compressed, making its data.
SavedModel model_bytes(const Module& model, const ModelCard& card, const SaveOptions& options = {});

// Loads into a model of the same names and shapes, whatever its own storage; returns what was given to save_model.
// Every bit of a value comes back, drawn or read. Pruned parameters become csr, others dense; optimizer slots go the
// way become() sends them. Throws FileError, naming file and tensor, if the file is broken or is not this model's: the
// model is then as it was.
ModelCard load_model(Module& model, const std::filesystem::path& path);

// The same for a model that may be narrower in the file: it becomes so first. input: the shape of one sample. What held
// parts of the model has to be made anew. If it throws, the model may already be narrower.
ModelCard load_narrowed(Module& model, const Shape& input, const std::filesystem::path& path);

// A model that needs nothing but its file.
struct OpenedModel {
  ModulePtr model;
  ModelCard card;
};

// Makes the model that the file names, and loads it. input, outputs: of a file of format espalier-1, which does not say
// them. Throws FileError, also for a model that only code of one's own can make.
OpenedModel open_model(const std::filesystem::path& path, const Shape& input = {}, Index outputs = 0);

// What the file says besides the weights.
ModelCard read_card(const std::filesystem::path& path);

}  // namespace espalier
