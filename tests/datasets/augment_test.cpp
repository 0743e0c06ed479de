#include "espalier/datasets/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/threads.h"
#include "espalier/datasets/loader.h"
#include "support/allocation_counter.h"
#include "support/text.h"

namespace espalier {
namespace {

// Feature f of sample i is 1 + f + i * features: never zero, and each number tells where it was.
class Numbered final : public Dataset {
 public:
  Numbered(Index samples, Shape shape) : samples_(samples), shape_(shape) {}
  std::string name() const override { return "numbered"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return shape_; }
  Index classes() const override { return 1; }
  void read(Index i, std::span<Real> features) const override {
    for (std::size_t f = 0; f < features.size(); ++f)
      features[f] = static_cast<Real>(1 + f + static_cast<std::size_t>(i) * features.size());
  }
  std::int32_t label(Index) const override { return 0; }

 private:
  Index samples_;
  Shape shape_;
};

const Shape small{2, 5, 4};

DatasetPtr numbered(Index samples, Shape shape = small) {
  return std::make_shared<Numbered>(samples, shape);
}

std::vector<Real> image_of(const Shape& shape, Index i = 0) {
  std::vector<Real> image(shape.features());
  Numbered(i + 1, shape).read(i, image);
  return image;
}

// The definition, one number at a time, with a padded image that really exists.
std::vector<Real> reference(const View& view, const Shape& shape, const std::vector<Real>& image, Index pad) {
  const Index C = shape[0], H = shape[1], W = shape[2], high = H + 2 * pad, wide = W + 2 * pad;
  std::vector<Real> padded(C * high * wide), result(image.size());
  for (Index c = 0; c < C; ++c)
    for (Index y = 0; y < H; ++y)
      for (Index x = 0; x < W; ++x) padded[(c * high + y + pad) * wide + x + pad] = image[(c * H + y) * W + x];
  for (Index c = 0; c < C; ++c)
    for (Index y = 0; y < H; ++y)
      for (Index x = 0; x < W; ++x) {
        const Index to = view.mirrored ? W - 1 - x : x;
        result[(c * H + y) * W + to] = padded[(c * high + y + pad + view.down) * wide + x + pad + view.right];
      }
  return result;
}

// Each sample of an epoch as the loader's tiles hold it.
std::map<Index, std::vector<Real>> samples_of(const Loader& loader) {
  std::map<Index, std::vector<Real>> samples;
  Tile tile;
  for (Index b = 0; b < loader.batches(); ++b)
    for (Index t = 0; t < loader.tiles(b); ++t) {
      loader.fill(b, t, tile);
      for (Index lane = 0; lane < tile.valid(); ++lane) {
        std::vector<Real>& sample = samples[loader.sample(b * loader.options().batch + tile.first + lane)];
        for (Index f = 0; f < tile.input.features(); ++f) sample.push_back(tile.input.row(f)[lane]);
      }
    }
  return samples;
}

TEST(Augment, EveryViewIsThatOfThePaddedImageInvariant2) {
  for (const Shape& shape : {small, Shape{1, 4, 5}, Shape{3, 4, 4}})
    for (Index down = -3; down <= 3; ++down)
      for (Index right = -3; right <= 3; ++right)
        for (const bool mirrored : {false, true}) {
          const View view{.down = down, .right = right, .mirrored = mirrored};
          std::vector<Real> image = image_of(shape);
          apply(view, shape, image);
          ASSERT_EQ(image, reference(view, shape, image_of(shape), 3)) << down << " " << right << " " << mirrored;
        }
}

TEST(Augment, AFlipMirrorsExactlyAndTwiceIsNothing) {
  const View flip{.mirrored = true};
  std::vector<Real> image = image_of({1, 2, 3});
  apply(flip, {1, 2, 3}, image);
  EXPECT_EQ(image, (std::vector<Real>{3, 2, 1, 6, 5, 4}));
  apply(flip, {1, 2, 3}, image);
  EXPECT_EQ(image, image_of({1, 2, 3}));
}

TEST(Augment, ReachesEveryCropBothWaysRoundAboutEquallyOften) {
  const Augmentation how{.pad = 2, .flip = true};
  std::map<std::tuple<Index, Index, bool>, int> seen;
  constexpr int draws = 10000;
  for (Index i = 0; i < draws; ++i) {
    const View view = view_of(how, 1, 0, i);
    ++seen[{view.down, view.right, view.mirrored}];
  }
  EXPECT_EQ(seen.size(), 50u);  // 5 x 5 x 2
  for (const auto& [view, count] : seen) {
    EXPECT_LE(std::abs(std::get<0>(view)), 2);
    EXPECT_LE(std::abs(std::get<1>(view)), 2);
    EXPECT_GT(count, 130);  // 200 expected, a deviation of 14
    EXPECT_LT(count, 270);
  }
}

TEST(Augment, DoesOnlyWhatItWasAskedFor) {
  for (Index i = 0; i < 100; ++i) {
    EXPECT_FALSE(view_of({.pad = 2}, 1, 0, i).mirrored);
    const View flip = view_of({.flip = true}, 1, 0, i);
    EXPECT_EQ(flip.down, 0);
    EXPECT_EQ(flip.right, 0);
  }
}

TEST(Augment, WithoutPadAndFlipIsTheIdentity) {
  EXPECT_TRUE(Augmentation{}.none());
  const Loader plain(numbered(50), {.batch = 20, .lanes = 16});
  const Loader none(numbered(50), {.batch = 20, .lanes = 16, .augment = {.pad = 0, .flip = false}});
  EXPECT_EQ(samples_of(plain), samples_of(none));
  for (const auto& [i, sample] : samples_of(none)) EXPECT_EQ(sample, image_of(small, i));
}

TEST(Augment, ASamplesViewIsAFunctionOfSeedEpochAndSampleWhateverTheTilesInvariant1) {
  const Augmentation how{.pad = 2, .flip = true};
  Loader wide(numbered(100), {.batch = 100, .lanes = 48, .seed = 3, .augment = how});
  Loader narrow(numbered(100), {.batch = 7, .lanes = 1, .shuffle = false, .seed = 3, .augment = how});
  wide.start_epoch(5);
  narrow.start_epoch(4);
  narrow.start_epoch(5);
  const auto samples = samples_of(wide);
  EXPECT_EQ(samples, samples_of(narrow));
  for (const auto& [i, sample] : samples)
    EXPECT_EQ(sample, reference(view_of(how, 3, 5, i), small, image_of(small, i), how.pad));
}

TEST(Augment, SameBitsWhoeverFillsInvariant1) {
  const Loader loader(numbered(500), {.batch = 500, .lanes = 16, .augment = {.pad = 2, .flip = true}});
  const auto tiles = static_cast<std::size_t>(loader.tiles(0));
  std::vector<Tile> one(tiles), four(tiles);
  parallel_for(loader.tiles(0), 1, [&](Index t) { loader.fill(0, t, one[t]); });
  parallel_for(loader.tiles(0), 4, [&](Index t) { loader.fill(0, t, four[t]); });
  for (std::size_t t = 0; t < tiles; ++t)
    for (Index f = 0; f < small.features(); ++f)
      for (Index lane = 0; lane < one[t].valid(); ++lane)
        ASSERT_EQ(one[t].input.row(f)[lane], four[t].input.row(f)[lane]);
}

TEST(Augment, EpochsAndSeedsShowDifferentViews) {
  const Augmentation how{.pad = 2, .flip = true};
  Loader loader(numbered(50), {.seed = 1, .augment = how});
  const Loader other(numbered(50), {.seed = 2, .augment = how});
  const auto epoch_0 = samples_of(loader);
  EXPECT_NE(epoch_0, samples_of(other));
  loader.start_epoch(1);
  EXPECT_NE(epoch_0, samples_of(loader));
  loader.start_epoch(0);
  EXPECT_EQ(epoch_0, samples_of(loader));
}

TEST(Augment, LeavesPaddingLanesAlone) {
  const Loader loader(numbered(5), {.batch = 5, .lanes = 16, .augment = {.pad = 2, .flip = true}});
  Tile tile;
  loader.fill(0, 0, tile);
  for (Index f = 0; f < small.features(); ++f)
    for (Index lane = 5; lane < 16; ++lane) ASSERT_EQ(tile.input.row(f)[lane], Real{0});
}

TEST(Augment, AllocatesNothingInTheSteadyStateInvariant3) {
#ifdef ESPALIER_ALLOCATIONS_ARE_NOT_COUNTED
  GTEST_SKIP() << "ThreadSanitizer's operator new does not count";
#endif
  Loader loader(numbered(64), {.batch = 64, .lanes = 64, .augment = {.pad = 2, .flip = true}});
  Tile tile;
  loader.fill(0, 0, tile);
  const std::uint64_t before = testing::allocations_so_far();
  loader.start_epoch(1);
  loader.fill(0, 0, tile);
  EXPECT_EQ(testing::allocations_so_far(), before);
}

std::string refusal(const Shape& shape, const Augmentation& how) {
  try {
    Loader(numbered(3, shape), {.augment = how});
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Augment, RefusesWhatIsNoImageAndPadsThatLeaveNothingOfOne) {
  EXPECT_EQ(refusal({12}, {.flip = true}),
            "[augment] numbered: expected images [channels, height, width], got samples of shape [12]");
  EXPECT_PRED2(testing::contains, refusal({3, 4}, {.pad = 1}), "got samples of shape [3, 4]");
  EXPECT_EQ(refusal(small, {.pad = 4}), "[augment] numbered: expected a pad below the 5 x 4 of the images, got 4");
  EXPECT_EQ(refusal(small, {.pad = -1}), "[augment] numbered: expected a pad of at least 0, got -1");
  EXPECT_EQ(refusal(small, {.pad = 3}), "accepted");
  EXPECT_EQ(refusal({12}, {}), "accepted");  // nothing to do
}

}  // namespace
}  // namespace espalier
