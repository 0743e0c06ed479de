// Fingerprints: 64 bits that tell data apart, so that a training that goes on can notice other data than it began with,
// and a network rows that it was trained on. They do not protect against files that were made to look the same.
#pragma once

#include <cstdint>
#include <span>

#include "espalier/datasets/parts.h"

namespace espalier {

// Of the features of one sample: of their bits and number.
std::uint64_t fingerprint(std::span<const Real> features);

// Of a data set: the number of samples and their extents, every label or target, and the features of every sample, or
// of some that are spread evenly if all are more than 2^26 numbers.
std::uint64_t fingerprint(const Dataset& data);
// Of all parts that there are, and of how a table's rows become features.
std::uint64_t fingerprint(const DataParts& parts);

}  // namespace espalier
