// .npy, numpy's file for one array (numpy.lib.format): a header that says type and shape, then the numbers.
//
//   byte 0  \x93NUMPY, version 1 0     then 2 bytes (from version 2 on 4) of header length, little-endian
//   header  {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }
//   then    the product of the extents numbers, and nothing after them
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

struct Npy {
  std::vector<Index> shape;
  std::vector<std::uint8_t> bytes;  // of |u1
  std::vector<Real> values;         // of floats
};

bool begins_npy(const std::string& bytes);

// An array of |u1, <f4 or <f8 in C order, of finite numbers. Throws FileError for anything else.
Npy npy_in(const std::string& bytes, const std::filesystem::path& file);

}  // namespace espalier
