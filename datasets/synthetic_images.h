// Colour images drawn by a program, in CIFAR-10's shape, for trying convolutions where no data is at hand: tests, first
// runs, machines without a network. They are not photographs, and an accuracy reached on them says nothing about CIFAR.
//
// Each image is one figure on a ground of two colours that run into each other. Seven classes are outlines: disc, ring,
// square, triangle, star, cross, crescent, filled with one colour. Three are textures: stripes, checkerboard, dots,
// inside an outline that may be a disc or a square. What the class does not decide is random: all colours, whether the
// figure is lighter or darker than the ground, place, scale, a tilt, aspect, the texture's period and phase, shading,
// noise:
//
//   pixel -> turn, scale -> signed distance to the outline -> coverage -> colour (or texture of two) -> noise -> bytes
//
// So no pixel by itself says anything about the class: a linear model finds little, while a small
// convolutional network, which can look for edges and corners anywhere, learns nearly all of it.
#pragma once

#include <cstdint>

#include "espalier/core/threads.h"
#include "espalier/datasets/parts.h"

namespace espalier {

// Sets of shape [3, 32, 32] with 10 classes and pixels in [0, 1]. Sample i of a part is a pure function of (seed, part,
// i): the same bits for any number of threads, and more samples only append. 14,000 samples take 0.6 s on one core.
// Throws UsageError unless both counts are positive.
DataParts synthetic_images(Index train_samples = 12000, Index test_samples = 2000, std::uint64_t seed = 1,
                           int threads = default_threads());

}  // namespace espalier
