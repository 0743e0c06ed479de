// The loader: the only place that knows in which order samples lie in a source. It writes tiles.
//
//   epoch   every sample once, in an order keyed by (seed, "shuffle", epoch)
//           and, with augmentation, in a view keyed by (seed, "augment", epoch, sample)
//   batch   `batch` samples of it; the last one may be shorter, and is kept
//   tile    `lanes` samples of a batch, side by side: [shape, lanes]; the last one of a batch may be padded
//
// Invariants (tests/datasets/loader_test.cpp names them by number):
//   1. In each epoch the tiles cover every sample exactly once.
//   2. What a tile holds depends on (data, options, epoch, batch, tile) only, and not on which thread fills it, when,
//      or what the tile held before.
//   3. Filling a tile again, with the same shape and lanes, allocates nothing; nor does starting another epoch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/core/tile.h"
#include "espalier/datasets/augment.h"
#include "espalier/datasets/dataset.h"

namespace espalier {

struct LoaderOptions {
  Index batch = 128;            // samples per optimizer step
  Index lanes = 64;             // samples per tile: 1 or a multiple of lane_quantum
  bool shuffle = true;          // false: the order of the source, in every epoch
  std::uint64_t seed = 1;       // of the shuffle and the augmentation
  Augmentation augment = {};    // for training only
  bool poison_padding = false;  // tests: padding lanes hold NaN instead of zeros
};

class Loader {
 public:
  // Starts epoch 0. Throws UsageError for a batch below 1, impossible lanes, and augmentation of data that are not
  // images.
  Loader(DatasetPtr data, LoaderOptions options);

  const Dataset& data() const { return *data_; }
  const LoaderOptions& options() const { return options_; }

  // Puts the samples into the order of `epoch`, which does not depend on the epochs before. Not while tiles are filled.
  void start_epoch(Index epoch);

  Index batches() const;                                           // 0 for an empty set
  Index batch_samples(Index b) const;                              // `batch`, or fewer in the last one
  Index tiles(Index b) const;                                      // of batch b
  Index sample(Index position) const { return order_[position]; }  // of the epoch

  // Writes tile t of batch b: input [shape, lanes], padding lanes zero; label [valid] or target [outputs, lanes];
  // first; denominator. Re-entrant for different tiles. An input that already has the right shape and lanes is kept,
  // with its halo if it has one.
  void fill(Index b, Index t, Tile& tile) const;

 private:
  DatasetPtr data_;
  LoaderOptions options_;
  std::string name_;  // of the data: asking it for one may allocate
  Shape shape_;
  Index samples_, epoch_ = 0;
  std::vector<Index> order_;  // [samples]: position in the epoch -> sample
};

}  // namespace espalier
