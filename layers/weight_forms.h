// The forms of weights in a file: the tensors that say which weights of a matrix live, and what they are.
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
// 32-bit columns; never 10x. Two things do not depend on bytes: a pruned weight must still be pruned when the file is
// loaded, and a live weight that happens to be 0 must still be live. The dense form cannot tell the two apart, so it is
// for full matrices only; a matrix that is pruned to a density above 31/32 takes more bytes than a full one.
//
// Random weights that were never trained need no values at all: `initialise` draws them again, up to one scale per
// parameter. The file only has to say which of them live. That takes at least H(density) bits per position, where
// H(d) = -d log2 d - (1 - d) log2 (1 - d): one whole bit at density 1/2, where a bitmap cannot be beaten.
//
//   seed+bitmap   W.bitmap                                                           1/8 per position
//   seed+delta8   W.deltas                                                           1 per weight, 1 per 255 dead
//   seed          nothing, if no weight is pruned                                    0
//   constant      nothing: a bias, or scale, that is the same number everywhere      0
//
// The writer is told where the weights come from (Origin), and leaves out the values of those parameters only that this
// origin gives again to the last bit.
//
// Two layouts are written on request only. For other programs, everything as scipy.sparse and the like have it:
//
//   scipy-csr       W.data F32 [weights]   W.indices I32 [weights]   W.indptr I32 or I64 [rows + 1]   W.shape I64 [2]
//
// And as few bytes as can be, for weights that share at most 256 values (layers/weight_sharing.h): compressed_forms.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/parameter.h"
#include "espalier/core/safetensors.h"
#include "espalier/layers/initialise.h"

namespace espalier {

enum class Form {
  dense,
  bitmap,
  delta8,
  csr,
  seed,
  seed_bitmap,
  seed_delta8,
  constant,
  scipy_csr,
  shared,
  shared_delta8,
  linear8,
  linear8_delta8
};
inline constexpr std::array all_forms{Form::dense,         Form::bitmap,      Form::delta8,        Form::csr,
                                      Form::seed,          Form::seed_bitmap, Form::seed_delta8,   Form::constant,
                                      Form::scipy_csr,     Form::shared,      Form::shared_delta8, Form::linear8,
                                      Form::linear8_delta8};

std::string_view name_of(Form form);
// The form of that name, if there is one.
std::optional<Form> find_form(std::string_view name);

// The most weights that a parameter can have in a file.
inline constexpr std::size_t most_weights = 0xffff'fffe;  // slots are 32-bit

// Bytes of data that a parameter takes in each form: O(nonzeros), whatever the storage.
struct FormBytes {
  std::uintmax_t dense = 0, bitmap = 0, delta8 = 0, csr = 0;
};
FormBytes form_bytes(const Parameter& parameter);

// The least bytes in which it can be said which weights live, if each position lives independently of the others:
// H(density) positions / 8.
double mask_entropy_bytes(const Parameter& parameter);

// --- writing ---------------------------------------------------------------------------------------------------------

// The form with the fewest bytes of data that keeps every value. Biases are dense: what is not prunable is not pruned.
Form cheapest_form(const Parameter& W, const FormBytes& bytes);

// The tensors of a form, without their data; not of the compressed ones, whose sizes depend on it.
std::vector<SafeTensor> form_tensors(const Parameter& W, Form form);
// Their data. tensors: as form_tensors gives them
void fill_form(const Parameter& W, Form form, std::vector<SafeTensor>& tensors);

// --- weights that can be drawn again ---------------------------------------------------------------------------------

// Weights that are scale * InitialValues of `origin`, W being full.
struct Drawn {
  Origin origin;
  Real scale = 1;
};

// How W comes from `origin`, if every live weight does, to the bit.
std::optional<Drawn> drawn_from(const Parameter& W, const Origin& origin);
// The live weights of W's name and shape, in row-major order. pattern: null: all live
std::vector<Real> drawn_values(const Parameter& W, const Pattern* pattern, const Drawn& drawn);
// A hash of the values' bits, in hexadecimal.
std::string check_of(std::span<const Real> values);
// Whether W is full, and one finite number everywhere.
bool is_constant(const Parameter& W);

// --- reading ---------------------------------------------------------------------------------------------------------

// The number of elements in the tensor of a bitmap.
Index bitmap_length(const Parameter& W);

// The numbers of a tensor of Real.
std::vector<Real> reals_in(const SafeTensor& tensor);
// tensor.data = numbers
void store_reals(SafeTensor& tensor, std::span<const Real> numbers);

// The deltas of the form delta8, as they are before they are compressed elsewhere.
SafeTensor deltas_of(const Parameter& W);

// Which weights of W live, as the tensors of a form say. values: how many values the file has; none in the forms with a
// seed. The tensors have the dtypes of form_tensors, a bitmap and row beginnings also their shapes. Throws FileError,
// naming the file and the tensor, for anything that no writer has written.
PatternPtr bitmap_pattern(const SafeTensor& bitmap, const Parameter& W, std::optional<std::size_t> values,
                          const std::string& file);
PatternPtr delta8_pattern(const SafeTensor& deltas, const Parameter& W, std::optional<std::size_t> values,
                          const std::string& file);
// Of csr, and of scipy-csr (indptr and indices).
PatternPtr csr_pattern(const SafeTensor& row_begin, const SafeTensor& columns, const Parameter& W,
                       const std::string& file);

// FileError: "FILE: KIND "NAME": expected EXPECTED, found FOUND"
[[noreturn]] void refuse_in_file(const std::string& file, std::string_view kind, const std::string& name,
                                 std::string_view expected, std::string_view found);

}  // namespace espalier
