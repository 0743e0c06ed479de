// IDX, the file format of MNIST: a header that says type and extents, then the numbers.
//
//   byte 0  00 00          always
//   byte 2  08             the type: unsigned byte, the only one read here
//   byte 3  rank           number of extents
//   byte 4  rank x 4 bytes the extents, big-endian, slowest first: [60000, 28, 28]
//   then    the product of the extents bytes, row-major, and nothing after them
//
// A file may be gzipped; the reader goes by its content (1f 8b), not by its name. It may have 2 GiB of numbers. A
// reader is a door: a damaged file ends in one line that names the file, the byte, what was expected and what was
// found. It never ends in a crash, and never in an allocation larger than what the file could fill.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

struct Idx {
  std::vector<Index> extents;        // [rank], all positive
  std::vector<std::uint8_t> values;  // product of the extents
};

// Reads a plain or gzipped IDX file of `expected_rank` extents, 1 to 255. Throws FileError for everything that is not
// exactly that. Byte offsets in messages about a gzipped file count uncompressed bytes, unless they say "compressed".
Idx read_idx(const std::filesystem::path& path, int expected_rank);

// images: [samples, H, W] -> [samples, W, H]
void turn(Idx& idx);

// CRC-32 of the uncompressed file that holds these numbers, header included.
std::uint32_t checksum(const Idx& idx);

}  // namespace espalier
