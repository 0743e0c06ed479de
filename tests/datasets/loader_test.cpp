#include "espalier/datasets/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/threads.h"

namespace espalier {
namespace {

// Feature f of sample i is 1000 i + f, so that a tile tells whose number stands where.
class Numbered final : public Dataset {
 public:
  Numbered(Index samples, Shape shape, Index outputs = 0) : samples_(samples), shape_(shape), outputs_(outputs) {}
  std::string name() const override { return "numbered"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return shape_; }
  Index classes() const override { return outputs_ == 0 ? 10 : 0; }
  Index outputs() const override { return outputs_; }
  void read(Index i, std::span<Real> features) const override { number(i, features); }
  std::int32_t label(Index i) const override { return static_cast<std::int32_t>(i % 10); }
  void target(Index i, std::span<Real> values) const override { number(i, values); }

 private:
  static void number(Index i, std::span<Real> values) {
    for (std::size_t f = 0; f < values.size(); ++f) values[f] = static_cast<Real>(1000 * i + static_cast<Index>(f));
  }
  Index samples_;
  Shape shape_;
  Index outputs_;
};

DatasetPtr numbered(Index samples, Shape shape = {1, 3, 5}, Index outputs = 0) {
  return std::make_shared<Numbered>(samples, shape, outputs);
}

Index sample_in_lane(const Tile& tile, Index lane) {
  return static_cast<Index>(tile.input.row(0)[lane]) / 1000;
}

// The samples of an epoch as the tiles hold them, batch by batch, lane by lane.
std::vector<Index> samples_seen(const Loader& loader) {
  std::vector<Index> seen;
  Tile tile;
  for (Index b = 0; b < loader.batches(); ++b)
    for (Index t = 0; t < loader.tiles(b); ++t) {
      loader.fill(b, t, tile);
      for (Index lane = 0; lane < tile.valid(); ++lane) seen.push_back(sample_in_lane(tile, lane));
    }
  return seen;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.lane_counts() == b.lane_counts() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.features() * a.lanes()) * sizeof(Real)) == 0;
}

TEST(Loader, CoversEverySampleExactlyOnceInEachEpochInvariant1) {
  for (const Index samples : {1, 15, 64, 100, 333})
    for (const Index batch : {1, 50, 128})
      for (const Index lanes : {1, 16, 64}) {
        Loader loader(numbered(samples), {.batch = batch, .lanes = lanes});
        for (Index epoch = 0; epoch < 2; ++epoch) {
          loader.start_epoch(epoch);
          std::vector<Index> seen = samples_seen(loader);
          std::ranges::sort(seen);
          ASSERT_EQ(static_cast<Index>(seen.size()), samples);
          for (Index i = 0; i < samples; ++i) ASSERT_EQ(seen[i], i);
        }
      }
}

TEST(Loader, EveryFeatureOfEveryLaneIsTheSamplesOwnAtAnyFeatureCount) {
  for (const Index features : {1, 2, 3, 4, 5, 15, 16, 17, 63})
    for (const Index lanes : {1, 16, 48}) {
      const Loader loader(numbered(40, {features}), {.batch = 40, .lanes = lanes});
      Tile tile;
      for (Index t = 0; t < loader.tiles(0); ++t) {
        loader.fill(0, t, tile);
        ASSERT_EQ(tile.input.shape(), (Shape{features}));
        for (Index lane = 0; lane < tile.valid(); ++lane)
          for (Index f = 0; f < features; ++f)
            ASSERT_EQ(tile.input.row(f)[lane], static_cast<Real>(1000 * loader.sample(t * lanes + lane) + f));
      }
    }
}

TEST(Loader, ShufflesDifferentlyInEachEpochAndSeedButNotByWhatWentBefore) {
  Loader loader(numbered(100), {.seed = 1}), late(numbered(100), {.seed = 1}), other(numbered(100), {.seed = 2});
  const std::vector<Index> epoch_0 = samples_seen(loader);
  EXPECT_FALSE(std::ranges::is_sorted(epoch_0));
  EXPECT_NE(epoch_0, samples_seen(other));
  loader.start_epoch(1);
  const std::vector<Index> epoch_1 = samples_seen(loader);
  EXPECT_NE(epoch_0, epoch_1);
  loader.start_epoch(2);
  loader.start_epoch(1);
  EXPECT_EQ(epoch_1, samples_seen(loader));
  late.start_epoch(1);
  EXPECT_EQ(epoch_1, samples_seen(late));
}

TEST(Loader, KeepsTheOrderOfTheSourceWithoutShuffling) {
  Loader loader(numbered(100), {.batch = 32, .lanes = 16, .shuffle = false});
  loader.start_epoch(5);
  EXPECT_TRUE(std::ranges::is_sorted(samples_seen(loader)));
}

TEST(Loader, KeepsTheRaggedLastBatchAndItsRaggedLastTile) {
  const Loader loader(numbered(300), {.batch = 128, .lanes = 16});
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_EQ(loader.batch_samples(0), 128);
  EXPECT_EQ(loader.batch_samples(2), 44);
  EXPECT_EQ(loader.tiles(0), 8);
  EXPECT_EQ(loader.tiles(2), 3);
  Tile tile;
  loader.fill(2, 2, tile);
  EXPECT_EQ(tile.input.lanes(), 16);
  EXPECT_EQ(tile.valid(), 12);
  EXPECT_EQ(tile.label.size(), 12u);
  EXPECT_EQ(tile.first, 32);
  EXPECT_EQ(tile.denominator, Real{44});
  loader.fill(0, 7, tile);
  EXPECT_EQ(tile.valid(), 16);
  EXPECT_EQ(tile.first, 112);
  EXPECT_EQ(tile.denominator, Real{128});
}

TEST(Loader, FillsPaddingLanesWithZerosWhateverStoodThere) {
  const Loader loader(numbered(70), {.batch = 70, .lanes = 64});
  Tile tile;
  loader.fill(0, 0, tile);
  loader.fill(0, 1, tile);
  ASSERT_EQ(tile.valid(), 6);
  for (Index f = 0; f < tile.input.features(); ++f)
    for (Index lane = 6; lane < 64; ++lane) ASSERT_EQ(tile.input.row(f)[lane], Real{0});
}

TEST(Loader, PoisonsPaddingLanesAndOnlyThemWhenAsked) {
  const Loader loader(numbered(70, {5}, 2), {.batch = 70, .lanes = 64, .poison_padding = true});
  Tile tile;
  loader.fill(0, 1, tile);
  for (const Tensor* tensor : {&tile.input, &tile.target})
    for (Index f = 0; f < tensor->features(); ++f)
      for (Index lane = 0; lane < 64; ++lane) ASSERT_EQ(std::isnan(tensor->row(f)[lane]), lane >= 6);
}

TEST(Loader, WritesLabelsForClassesAndTargetsForRegression) {
  Tile tile;
  const Loader classes(numbered(20), {.batch = 20, .lanes = 16});
  classes.fill(0, 0, tile);
  ASSERT_EQ(tile.label.size(), 16u);
  EXPECT_FALSE(tile.target);
  for (Index lane = 0; lane < 16; ++lane) EXPECT_EQ(tile.label[lane], sample_in_lane(tile, lane) % 10);

  const Loader regression(numbered(20, {4}, 3), {.batch = 20, .lanes = 16});
  regression.fill(0, 1, tile);
  EXPECT_TRUE(tile.label.empty());
  EXPECT_EQ(tile.target.shape(), (Shape{3}));
  EXPECT_EQ(tile.target.lane_counts(), tile.input.lane_counts());
  for (Index lane = 0; lane < tile.valid(); ++lane)
    for (Index o = 0; o < 3; ++o)
      EXPECT_EQ(tile.target.row(o)[lane], static_cast<Real>(1000 * sample_in_lane(tile, lane) + o));
}

TEST(Loader, SameBitsWhoeverFillsAndWhateverTheTileHeldInvariant2) {
  const Loader loader(numbered(1000), {.batch = 1000, .lanes = 16});
  const auto tiles = static_cast<std::size_t>(loader.tiles(0));
  std::vector<Tile> one(tiles), three(tiles);
  parallel_for(loader.tiles(0), 1, [&](Index t) { loader.fill(0, t, one[t]); });
  // The second round finds tiles that have held other samples.
  parallel_for(loader.tiles(0), 3, [&](Index t) { loader.fill(0, t, three[tiles - 1 - static_cast<std::size_t>(t)]); });
  parallel_for(loader.tiles(0), 3, [&](Index t) { loader.fill(0, t, three[t]); });
  for (std::size_t t = 0; t < tiles; ++t) {
    EXPECT_TRUE(same_bits(one[t].input, three[t].input)) << "tile " << t;
    EXPECT_EQ(one[t].label, three[t].label);
  }
}

TEST(Loader, KeepsTheBuffersOfATileOfTheSameShapeInvariant3) {
  const Loader loader(numbered(70), {.batch = 70, .lanes = 64});
  Tile tile;
  loader.fill(0, 0, tile);
  const Real* input = tile.input.data();
  const std::int32_t* label = tile.label.data();
  for (const Index t : {1, 0, 1}) {  // each time: a new buffer would be made before the old one goes, so elsewhere
    loader.fill(0, t, tile);
    EXPECT_EQ(tile.input.data(), input);
    EXPECT_EQ(tile.label.data(), label);
  }
}

TEST(Loader, WritesIntoTheMiddleOfAHalo) {
  const Loader loader(numbered(16), {.batch = 16, .lanes = 16});
  Tile plain, bordered;
  bordered.input = Tensor({1, 3, 5}, {.count = 16, .valid = 16}, {.height = 1, .width = 2});
  loader.fill(0, 0, plain);
  loader.fill(0, 0, bordered);
  ASSERT_EQ(bordered.input.halo(), (Halo{.height = 1, .width = 2}));
  for (Index f = 0; f < 15; ++f)
    for (Index lane = 0; lane < 16; ++lane) ASSERT_EQ(bordered.input.row(f)[lane], plain.input.row(f)[lane]);
  EXPECT_EQ(bordered.input.row(0)[-1], Real{0});  // the border before the first line
}

TEST(Loader, HasNoBatchesForAnEmptySet) {
  const Loader loader(std::make_shared<Subset>(numbered(3), std::vector<Index>{}), {});
  EXPECT_EQ(loader.batches(), 0);
}

TEST(Loader, RejectsImpossibleOptionsAndTilesThatAreNotThere) {
  EXPECT_THROW(Loader(nullptr, {}), UsageError);
  EXPECT_THROW(Loader(numbered(3), {.batch = 0}), UsageError);
  EXPECT_THROW(Loader(numbered(3), {.lanes = 20}), UsageError);
  const Loader loader(numbered(3), {});
  Tile tile;
  EXPECT_THROW(loader.fill(1, 0, tile), UsageError);
  EXPECT_THROW(loader.fill(0, 1, tile), UsageError);
  EXPECT_THROW(loader.fill(-1, 0, tile), UsageError);
}

}  // namespace
}  // namespace espalier
