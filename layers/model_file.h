// A model in a safetensors file: the place where pruning has to show, in bytes that are counted.
//
// Position p = row * cols + column of every live weight must be in the file beside its value, and there is no free way
// to say it. A matrix of 2 x 8 with four live weights a b c d:
//
//      . a . . . b . .        positions 1 5 8 15
//      c . . . . . . d
//
//   form     tensors                                                               bytes, weights of 4
//   dense    W             0 a 0 0 0 b 0 0 c 0 0 0 0 0 0 d   F32 [rows, cols]      4 per position
//   bitmap   W.bitmap      01000100 10000001                 U8 [positions / 8]    1/8 per position, 4 per weight
//   delta8   W.deltas      1 3 2 6                           U8 [weights + ...]    5 per weight, 1 per 255 dead
//   csr      W.row_begin   0 2 4                             U32 [rows + 1]        4 per row
//            W.columns     1 5 0 7                           U16 [weights]         6 per weight
//   the last three also    W.values   a b c d                F32 [weights]         (counted above)
//
// A byte of the bitmap holds positions 8i to 8i + 7, lowest bit first: 0x22 0x81. A delta says how many dead positions
// to skip before the next live weight; 255 says to skip 255 and that no weight follows yet. More than 65,536 columns
// take U32, and csr then 8 per weight. Where which one is cheapest:
//
//   density    1         below 1 ........ 1/8 ........ about 1/370 ........ 0
//              dense     bitmap           delta8       csr if rows are long, else delta8
//
// Each parameter is written in the form with the fewest bytes of data; ties go to the form named first above. At 90 %
// sparsity a big matrix is 8.0x smaller than dense with deltas, 7.6x with a bitmap, 6.6x as csr and 5.0x as csr with
// 32-bit columns; never 10x. Two things are no matter of bytes: a pruned weight must still be pruned when the file is
// loaded, and a live weight that happens to be 0 must still be live. Dense cannot tell them apart. So it is for full
// matrices only, and a matrix that is pruned to a density above 31/32 takes more bytes than before.
//
// Random weights that were never trained need no values at all: `initialise` gives them again, up to one scale per
// parameter. What is left is which of them live, at least H(density) bits per position, H(d) = -d log2 d - (1 - d)
// log2 (1 - d): one whole bit at density 1/2, where a bitmap cannot be beaten.
//
//   seed+bitmap   W.bitmap                                                           1/8 per position
//   seed+delta8   W.deltas                                                           1 per weight, 1 per 255 dead
//   seed          nothing, if no weight is pruned                                    0
//   constant      nothing: a bias, or scale, that is the same number everywhere      0
//
// The writer is told where the weights come from (Origin), and believes it of those only that come back to the last
// bit; all others it writes as above.
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

namespace espalier {

// Bytes of data that a parameter takes in each form: O(nonzeros), whatever the storage.
struct FormBytes {
  std::uintmax_t dense = 0, bitmap = 0, delta8 = 0, csr = 0;
};
FormBytes form_bytes(const Parameter& parameter);

// What saying which weights live costs at least, if each position lives independently: H(density) positions / 8.
double mask_entropy_bytes(const Parameter& parameter);

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
SavedModel save_model(const Module& model, const std::map<std::string, std::string>& metadata,
                      const std::filesystem::path& path, const std::optional<Origin>& origin = {});

// What save_model would return, without writing or even making the file.
SavedModel model_bytes(const Module& model, const std::map<std::string, std::string>& metadata,
                       const std::optional<Origin>& origin = {});

// Loads into a model of the same names and shapes, whatever its own storage; returns the metadata given to save_model.
// Every bit of a value comes back, drawn or read. Pruned parameters become csr, others dense; optimizer slots go the
// way become() sends them. Throws FileError, naming file and tensor, if the file is broken or is not this model's: the
// model is then as it was.
std::map<std::string, std::string> load_model(Module& model, const std::filesystem::path& path);

}  // namespace espalier
