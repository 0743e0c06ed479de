// CIFAR-10 and CIFAR-100: 60,000 colour photographs each, 32 x 32 pixels, in their "binary version".
//
//   CIFAR-10    data_batch_1.bin ... data_batch_5.bin, test_batch.bin     10,000 records a file
//               record: label | 1024 red | 1024 green | 1024 blue                    3,073 bytes
//   CIFAR-100   train.bin, test.bin                                       50,000 and 10,000 records
//               record: coarse label | fine label | 1024 red | 1024 green | 1024 blue   3,074 bytes
//
// Within a colour, pixels run row by row, so that the 3,072 bytes are [3, 32, 32] as they stand. There is no header: a
// file is recognised by nothing but its length and its labels.
//
// A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
#pragma once

#include <filesystem>

#include "espalier/datasets/parts.h"

namespace espalier {

// Reads the six files from `folder`, or from `folder`/cifar-10-batches-bin, as they come out of the archive. Returns
// sets of shape [3, 32, 32] with 10 classes and pixels in [0, 1]. Files may hold fewer records than the published ones;
// provenance says, by their checksums, whether they are those.
//
// Throws FileError for missing files, files that are empty, above 1 GB or whose length is not a multiple of the record,
// and labels out of range; the sizes of all files are checked before memory is asked for.
DataParts cifar10(const std::filesystem::path& folder);

// Reads train.bin and test.bin, from `folder` or `folder`/cifar-100-binary. The label is the fine one, of 100
// classes. The published checksums are not known here, and provenance says so.
DataParts cifar100(const std::filesystem::path& folder);

// Whether a folder, or its subfolder of the archive's name, holds any of the files. One is enough: that the others are
// missing should then be said by the reader, and not pass for "no data here".
bool holds_cifar10(const std::filesystem::path& folder);
bool holds_cifar100(const std::filesystem::path& folder);

}  // namespace espalier
