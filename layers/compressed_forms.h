// Compressed forms of weights that share at most 256 values (layers/weight_sharing.h): the fewest bytes on a disk or a
// line, for a file that is unpacked as it is loaded. (Han, Mao & Dally, "Deep Compression", 2016)
//
//   form                             tensors
//   shared     shared+delta8         W.codebook F32 [values]   W.codes.zlib U8: a byte for each weight, the place of
//                                                              its value in the codebook
//   linear8    linear8+delta8        W.step F32 [1]            W.codes.zlib U8: likewise, value = step (code - 128)
//              the second of each    W.deltas.zlib U8: the deltas of delta8; the first is for full matrices
//
// A tensor NAME.zlib holds one zlib stream of bytes. Codes and deltas occur unequally often, so that a Huffman code
// takes about their entropy: at density d about H(d) / d bits for a delta, 5.7 of them at 0.05.
//
//   1. Compression loses nothing: what has no more than 256 values is written in one of these forms, and comes back to
//      the bit. Rounding to so few values comes before it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/layers/weight_forms.h"

namespace espalier {

// W in its compressed form, data included; none if it has more than 256 values.
struct CompressedWeights {
  Form form;
  std::vector<SafeTensor> tensors;
};
std::optional<CompressedWeights> compressed(const Parameter& W);

inline bool is_compressed(Form form) {
  return form >= Form::shared;
}

// The bytes in the stream of a tensor NAME.zlib, as a tensor NAME. Throws FileError if it holds more than `most`, or is
// not a stream.
SafeTensor unpacked(const SafeTensor& stream, std::size_t most, const std::string& file);

// The values that the codes stand for.    codebook: of shared its entries, of linear8 the step alone
// Throws FileError for codes without an entry.
std::vector<Real> decoded_values(Form form, const std::vector<Real>& codebook, const SafeTensor& codes,
                                 const std::string& file);

}  // namespace espalier
