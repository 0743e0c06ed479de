// Digits drawn by a program, in MNIST's shape, for trying things where no data is at hand: tests, first runs, machines
// without a network. They are not handwriting, and an accuracy reached on them says nothing about MNIST.
//
// A digit is a handful of strokes on a plane. Each sample bends the plane (a smooth random field), shears, scales,
// turns and moves it, then draws the strokes with a pen of random width and adds noise:
//
//   strokes -> bend -> affine -> distance to the nearest stroke -> coverage by the pen -> noise -> bytes
//
// P. Simard, D. Steinkraus, J. Platt, "Best practices for convolutional neural networks applied to visual document
// analysis", 2003, distort real digits in the same two ways, elastic and affine, to get more of them.
#pragma once

#include <cstdint>

#include "espalier/core/threads.h"
#include "espalier/datasets/parts.h"

namespace espalier {

// Sets of shape [1, 28, 28] with 10 classes and pixels in [0, 1]. Sample i of a part is a pure function of (seed, part,
// i): the same bits for any number of threads, and more samples only append. 14,000 samples take well under a second
// on one core. Throws UsageError unless both counts are positive.
DataParts synthetic_digits(Index train_samples = 12000, Index test_samples = 2000, std::uint64_t seed = 1,
                           int threads = default_threads());

}  // namespace espalier
