// Samples from single files, to be asked about: pictures, and arrays of images or signals.
//
//   IDX (gzipped or not)             [n, H, W] bytes                 gray images
//   CIFAR's binary records           [n] of label and [3, 32, 32]    colour images, with labels
//   .npy (numpy, version 1 to 3)     [n, ...] or one sample          bytes, float32, float64, little-endian, C order
//   PGM, PPM (P2, P3, P5, P6)        one picture
//   PNG                              one picture                     where the library was built with libpng
//
// A picture has at most 2^21 pixels, a file at most 1 GB. A file is recognised by how it begins, CIFAR's by its length.
// Bytes and pixels become numbers in [0, 1], floats stay as they are: what a data set gives before it is standardised.
#pragma once

#include <filesystem>

#include "espalier/datasets/sample_rules.h"

namespace espalier {

struct SampleFile {
  DatasetPtr data;
  bool labelled = false;  // no: every label is 0
};

// The samples of a file, for a model of samples of this shape: an array may leave out a leading 1, or have one sample;
// a gray picture may be stored in colours that are gray, and is read as all channels of a model for colours. classes:
// of the model, CIFAR-100's records if there are 100; of labels none may reach them. Throws FileError for anything
// else.
SampleFile read_samples(const std::filesystem::path& file, const SampleRules& rules, Index classes);

}  // namespace espalier
