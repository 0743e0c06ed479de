// safetensors: named arrays in a file that can be read without trusting it.
// (https://github.com/huggingface/safetensors)
//
//    byte 0     8                                  8 + N                                          end of the file
//         +-----+----------------------------------+----------------------+----------------+------+
//         |  N  | N bytes of JSON, spaces at the   | fc1.weight           | fc1.bias       |  ... |
//         |     | end until 8 divides N            | 940,800 bytes        | 1,200 bytes    |      |
//         +-----+----------------------------------+----------------------+----------------+------+
//          u64                                     ^ data_offsets count from here
//
//    {"__metadata__": {"format": "espalier-1"},                                                 strings only
//     "fc1.weight": {"dtype": "F32", "shape": [300, 784], "data_offsets": [0, 940800]},         [begin, end)
//     "fc1.bias":   {"dtype": "F32", "shape": [300, 1],   "data_offsets": [940800, 942000]}}
//
// Everything is little-endian, row-major and uncompressed: a reader could map the file into memory and point at it.
// Nothing in it is executed, unlike a pickle, and nothing in it has to be believed:
//
//   1. The header lies in the file, and is at most 100 MB.
//   2. The header is one JSON object, in which no key occurs twice; metadata are strings.
//   3. A tensor has a known dtype, and as many bytes as its shape says, computed without overflow.
//   4. The tensors' bytes follow each other without overlap, without a hole, and end where the file ends. So nothing
//      can hide in the file, and no size in it makes a reader allocate more than the file is long.
//
// A file may be *sealed*: its metadata then have checksums, eight hexadecimal digits each. They are zlib's CRC-32,
// which differs between two files of which one came about by flipping a bit, or any number of bits within 32, of the
// other:
//
//     "crc32": "5f0c2a91"                of the N bytes of the header, with 00000000 in the place of these eight digits
//     "crc32/fc1.weight": "a1b2c3d4"     of the bytes of a tensor, one for each
//
//   5. The checksums of a sealed file are complete and right. So damage of any bit is noticed, as damage of the length
//      is by rule 4. They do not protect against those who want to deceive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

struct SafeTensor {
  std::string name;
  std::string dtype;                // "F32", "U8", ...: see dtype_bytes
  std::vector<std::int64_t> shape;  // empty: one number
  std::vector<std::byte> data;
  bool operator==(const SafeTensor&) const = default;
};

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::vector<SafeTensor> tensors;
  bool sealed = false;  // to be written with checksums; read: it had them, and they are no longer among the metadata
  bool operator==(const SafeTensors&) const = default;
};

// The dtype of Real: "F32", or "F64" in the test-only build over double.
inline constexpr std::string_view real_dtype = sizeof(Real) == 4 ? "F32" : "F64";

// Bytes per number of a dtype: BOOL U8 I8 F8_E5M2 F8_E4M3 (1), U16 I16 F16 BF16 (2), U32 I32 F32 (4), U64 I64 F64 (8);
// 0 if unknown.
std::size_t dtype_bytes(std::string_view dtype);

// Bytes of the data that dtype and shape say, whether the data are there or not.
std::uintmax_t bytes_of(const SafeTensor& tensor);
std::uintmax_t bytes_of(const std::vector<SafeTensor>& tensors);

// The bytes of the file, tensors in the order given: equal contents give equal bytes. Throws UsageError on tensors that
// no file could hold: unknown dtypes, data that do not fit their shapes, names used twice or not UTF-8; and on metadata
// that are called like checksums.
//
// The order is the caller's. Numbers start at a multiple of their width, which some readers want, if the widest come
// first.
std::string encode(const SafeTensors& file);

// The same file up to where the data begin. Data may be missing: their sizes are taken from dtypes and shapes, so that
// the size of a file can be known without making it. (Their checksums are then those of no bytes.)
std::string encode_header(const SafeTensors& file);

// The tensors in the order of their data. Throws FileError, one line that begins with source_name, on anything that
// breaks a rule above: byte offset or tensor, what was expected, what was found.
SafeTensors decode(std::string_view bytes, const std::string& source_name);

// save returns the bytes written; the file appears whole or not at all.
std::uintmax_t save_safetensors(const SafeTensors& file, const std::filesystem::path& path);
SafeTensors load_safetensors(const std::filesystem::path& path);
// No file larger than that is read: it and its tensors are in memory at the same time.
std::uintmax_t largest_safetensors();

// For messages: in quotes, one line of ASCII, at most 80 bytes of the text, whatever it was.
std::string in_quotes(std::string_view text);

}  // namespace espalier
