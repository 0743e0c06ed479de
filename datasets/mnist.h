// MNIST: 70,000 handwritten digits, 28 x 28 grey pixels each. Other sets in the same four files: datasets/idx_set.h.
//
// Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.
#pragma once

#include <filesystem>

#include "espalier/datasets/parts.h"

namespace espalier {

// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte from
// `folder`, `folder`/raw or `folder`/MNIST/raw, in any of the spellings in idx_set.h. Returns sets of shape [1, H, W]
// with 10 classes and pixels in [0, 1]; H and W are what the files say.
//
// provenance says whether the contents are the published ones, by their checksums. Throws FileError for missing or
// damaged files (see idx.h), image and label files of different counts, test images of another size than the training
// images, and labels above 9.
DataParts mnist(const std::filesystem::path& folder);

// Whether a folder holds any of the four files. One is enough: that the others are missing should then be said by
// mnist(), and not pass for "no data here".
bool holds_mnist(const std::filesystem::path& folder);

}  // namespace espalier
