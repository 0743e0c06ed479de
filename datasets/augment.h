// Augmentation: each epoch sees each training image a little differently, moved by some pixels and perhaps mirrored,
// since neither changes what it shows. The crops of a padded image (K. He, X. Zhang, S. Ren, J. Sun, "Deep residual
// learning for image recognition", 2016, section 4.2) are those moves:
//
//   ┌─────────────┐   pad zeros around the image, then an image's size out of the middle of that,
//   │ 0 ┌───────┐ │   anywhere: (2 pad + 1)² places
//   │   │  ┌────┼─┤
//   │   │  │    │ │   After standardising zero is the mean of the training set, so the border does not stand out.
//   └───┴──┴────┴─┘
//
// Invariants (tests/datasets/augment_test.cpp names them by number):
//   1. What happens to a sample is a function of (seed, epoch, sample), whatever tile it comes in and whichever
//      thread fills it.
//   2. Pixels are moved, never computed: each result is a number of the sample's own, or zero.
//   3. Nothing is allocated.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "espalier/core/tensor.h"

namespace espalier {

struct Augmentation {
  Index pad = 0;      // crops move an image by up to this many pixels; 0: no crops
  bool flip = false;  // mirrors every second image, at random, left to right
  bool none() const { return pad == 0 && !flip; }
};

// Throws UsageError, beginning with `name`, unless `how` can be done to samples of this shape: anything can be left
// alone, and images [C, H, W] moved by less than they are wide and high.
void require_augmentable(const Augmentation& how, const Shape& shape, const std::string& name);

// What chance decides about one sample.
struct View {
  Index down = 0, right = 0;  // where in the padded image the crop begins, less pad: from -pad to pad
  bool mirrored = false;
};

// Keyed by (seed, "augment", epoch, sample).
View view_of(const Augmentation& how, std::uint64_t seed, Index epoch, Index sample);

// image: [C, H, W], changed in place.    image[c, y, x] = image[c, y + down, x + right] or, outside, 0; then mirrored.
void apply(const View& view, const Shape& shape, std::span<Real> image);

}  // namespace espalier
