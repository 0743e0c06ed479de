#include "espalier/datasets/loader.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <span>

#include "espalier/core/aligned.h"
#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

// Gives `tensor` the wanted shape and lanes, keeping its buffer when only the valid lanes differ.
void prepare(Tensor& tensor, const Shape& shape, const Lanes& lanes) {
  if (tensor && tensor.shape() == shape && tensor.lanes() == lanes.count)
    tensor.set_valid(lanes.valid);
  else
    tensor = Tensor(shape, lanes);
}

// Rows to columns: to.row(f)[first + s] = from[s * features + f] for sixteen samples s and all features f.
//
// In squares of 4 x 4: four loads, a shuffle in registers and four stores of four numbers each, which compilers turn
// into vector code. One number at a time takes three times as long.
void turn(const Real* from, Index features, Tensor& to, Index first) {
  constexpr Index edge = 4;
  Index f = 0;
  for (; f + edge <= features; f += edge) {
    const std::array<Real*, edge> row{to.row(f) + first, to.row(f + 1) + first, to.row(f + 2) + first,
                                      to.row(f + 3) + first};
    for (Index s = 0; s < lane_quantum; s += edge) {
      const Real *a = from + s * features + f, *b = a + features, *c = b + features, *d = c + features;
      std::array<Real, edge * edge> square;
      for (std::size_t k = 0; k < edge; ++k) {
        square[edge * k] = a[k];
        square[edge * k + 1] = b[k];
        square[edge * k + 2] = c[k];
        square[edge * k + 3] = d[k];
      }
      for (std::size_t k = 0; k < edge; ++k) std::copy_n(&square[edge * k], edge, row[k] + s);
    }
  }
  for (; f < features; ++f)
    for (Index s = 0; s < lane_quantum; ++s) to.row(f)[first + s] = from[s * features + f];
}

// tensor: [features, lanes]. Calls read(lane, row) for each valid lane, where row is one sample's [features], and
// writes the rows as columns; padding lanes become `padding`.
//
// Sixteen samples are read, then turned: every line of the tile is written once, whole. Writing each sample as soon
// as it is read would fetch every line once per sample.
template <typename Read>
void fill_lanes(Tensor& tensor, Real padding, Read&& read) {
  const Index features = tensor.features(), block = std::min(tensor.lanes(), lane_quantum);
  thread_local AlignedVector<Real> rows;  // [block, features]; kept, so that the steady state allocates nothing
  rows.resize(block * features);
  for (Index first = 0; first < tensor.lanes(); first += block) {
    for (Index s = 0; s < block; ++s) {
      const std::span<Real> row(rows.data() + s * features, static_cast<std::size_t>(features));
      if (first + s < tensor.valid())
        read(first + s, row);
      else
        std::ranges::fill(row, padding);
    }
    if (block == lane_quantum)
      turn(rows.data(), features, tensor, first);
    else  // one lane
      for (Index f = 0; f < features; ++f) *tensor.row(f) = rows[f];
  }
}

}  // namespace

Loader::Loader(DatasetPtr data, LoaderOptions options) : data_(std::move(data)), options_(options) {
  require(data_ != nullptr, "[loader] expected a data set, got none");
  require(options_.batch >= 1, "[loader] {}: expected a batch of at least 1, got {}", data_->name(), options_.batch);
  require_lanes({.count = options_.lanes, .valid = 0});
  name_ = data_->name();
  shape_ = data_->shape();
  samples_ = data_->samples();
  require_augmentable(options_.augment, shape_, name_);
  order_.resize(samples_);
  start_epoch(0);
}

void Loader::start_epoch(Index epoch) {
  epoch_ = epoch;
  std::iota(order_.begin(), order_.end(), Index{0});
  if (options_.shuffle) Random(options_.seed, "shuffle", static_cast<std::uint64_t>(epoch)).shuffle(std::span(order_));
}

Index Loader::batches() const {
  return (samples_ + options_.batch - 1) / options_.batch;
}

Index Loader::batch_samples(Index b) const {
  return std::min(options_.batch, samples_ - b * options_.batch);
}

Index Loader::tiles(Index b) const {
  return (batch_samples(b) + options_.lanes - 1) / options_.lanes;
}

void Loader::fill(Index b, Index t, Tile& tile) const {
  require(b >= 0 && b < batches(), "[loader] {}: expected a batch from 0 to {}, got {}", name_, batches() - 1, b);
  require(t >= 0 && t < tiles(b), "[loader] {}: batch {}: expected a tile from 0 to {}, got {}", name_, b, tiles(b) - 1,
          t);
  tile.first = t * options_.lanes;
  tile.denominator = static_cast<Real>(batch_samples(b));
  const Index start = b * options_.batch + tile.first;
  const Lanes lanes{.count = options_.lanes, .valid = std::min(options_.lanes, batch_samples(b) - tile.first)};
  const Real padding = options_.poison_padding ? std::numeric_limits<Real>::quiet_NaN() : Real{0};

  prepare(tile.input, shape_, lanes);
  fill_lanes(tile.input, padding, [&](Index lane, std::span<Real> row) {
    const Index i = sample(start + lane);
    data_->read(i, row);
    if (!options_.augment.none()) apply(view_of(options_.augment, options_.seed, epoch_, i), shape_, row);
  });
  if (data_->classes() > 0) {
    tile.target = Tensor();
    tile.label.resize(lanes.valid);
    for (Index lane = 0; lane < lanes.valid; ++lane) tile.label[lane] = data_->label(sample(start + lane));
  } else {
    tile.label.clear();
    prepare(tile.target, Shape{data_->outputs()}, lanes);
    fill_lanes(tile.target, padding,
               [&](Index lane, std::span<Real> row) { data_->target(sample(start + lane), row); });
  }
}

}  // namespace espalier
