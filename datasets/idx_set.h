// Sets in MNIST's format: four IDX files (datasets/idx.h), images and labels to train on and to test on. What they are
// called where they lie around:
//
//   train-images-idx3-ubyte      train-labels-idx1-ubyte      t10k-images-idx3-ubyte      t10k-labels-idx1-ubyte
//   train-images.idx3-ubyte      as well; each also with .gz; test- in the place of t10k-
//   emnist-letters-train-images-idx3-ubyte      behind a prefix, so that several sets share a folder
//
// They are looked for in a folder and in its sub-folders raw and MNIST/raw, where torchvision puts them, and gzip.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/datasets/idx.h"
#include "espalier/datasets/parts.h"

namespace espalier {

struct IdxFiles {
  std::filesystem::path images, labels;  // empty: not found
};

struct IdxSet {
  std::filesystem::path folder;
  std::string prefix;  // "emnist-letters", mostly empty
  IdxFiles train, test;
};

// Every set of which any file is there, folder by folder. One is enough: that the others are missing should then be
// said by the reader, and not pass for "no data here".
std::vector<IdxSet> idx_sets_below(const std::filesystem::path& folder);

// What belongs together.   images: [samples, H, W]   labels: [samples]
struct IdxPart {
  Idx images, labels;
  IdxFiles files;
};
// Both parts. Throws FileError for missing or damaged files (datasets/idx.h), image and label files of different
// counts, and test images of another size than the training images.
struct IdxParts {
  IdxPart train, test;
};
IdxParts read_idx_set(const IdxSet& set);

// Images may be stored column by column, as EMNIST's are: turned says whether to turn them. By name: if the set's name
// begins with "emnist".
enum class Turned { by_name, no, yes };

// The set in `folder`, or, where that holds several, in `folder`/PREFIX: the one of these files. Any size of image, and
// any labels: classes are counted from the lowest training label if that is 1, else from 0. Returns sets of shape [1,
// H, W] and pixels in [0, 1], called by the prefix or else by the folder; notes say what was turned and shifted.
//
// Throws FileError as above, for folders without such files, and for test labels that no training label reaches;
// UsageError for a folder with several sets, none of them without a prefix.
DataParts idx_set(const std::filesystem::path& folder, Turned turned = Turned::by_name);

}  // namespace espalier
