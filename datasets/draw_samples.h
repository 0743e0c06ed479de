// What the data sets that a program draws have in common: sample i of part p is a function of (seed, p, i).
#pragma once

#include "espalier/core/random.h"
#include "espalier/datasets/parts.h"

namespace espalier {

struct Drawing {
  const char* name;  // "synthetic digits"; with a hyphen for each space also the purpose of its random numbers
  Shape shape;
  Index classes;
  std::int32_t (*draw)(const Random& random, std::span<std::uint8_t> sample);  // fills the sample, returns its class
};

// Part 0 to train on, part 1 to test on, drawn in parallel: the same bits for any number of threads, and more samples
// only append. caveat: what the samples are not, for the provenance. Throws UsageError unless both counts are positive.
DataParts draw_samples(const Drawing& drawing, Index train_samples, Index test_samples, std::uint64_t seed, int threads,
                       const char* caveat);

// Close to a standard normal number, from the one hash: the sum of four 16-bit uniform ones.
float roughly_normal(std::uint64_t bits);

}  // namespace espalier
