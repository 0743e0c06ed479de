// The parts of a data set: one to train on, one to make choices on (when to stop, which density), one to test on, once,
// at the end. Every source returns this struct, every training takes it.
//
//   DataParts parts = standardised(hold_out(mnist(folder), 5000, seed));
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/datasets/dataset.h"

namespace espalier {

struct Preprocessing;  // datasets/preprocessing.h

struct DataParts {
  std::string name;                                              // "mnist"; of a table: its file's, without ending
  DatasetPtr train, validation, test;                            // validation: null until some of train is held out
  std::string provenance;                                        // one sentence for the report: what these samples are
  std::shared_ptr<const Preprocessing> preprocessing = nullptr;  // of a table: how rows became features
  std::vector<std::string> notes = {};                           // for people: what was replaced, ignored, left out
  std::vector<std::string> class_names = {};                     // none: their numbers; of a table: see preprocessing
  std::optional<ChannelMoments> moments = {};                    // with which all parts were standardised
  bool turned = false;                                           // images were stored column by column, and are not now
};

// Draws `validation_samples` samples at random, keyed by (seed, "split"), into validation, and leaves the others in
// train; both keep the order of the source. 0 gives an empty validation set. Throws UsageError unless at least one
// sample is left to train on.
DataParts split(DatasetPtr data, Index validation_samples, std::uint64_t seed);

// Moves `samples` samples, but at most a tenth, from train to validation, by split(). Parts that have a validation set
// are returned as they are.
DataParts hold_out(DataParts parts, Index samples, std::uint64_t seed);

// All parts, with the moments of train (Standardised). Tokens, and tables, whose preprocessing has scaled their
// columns, are returned as they are.
DataParts standardised(DataParts parts);

}  // namespace espalier
