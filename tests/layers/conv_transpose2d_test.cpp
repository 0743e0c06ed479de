// What a transposed convolution promises besides the contract: that it is the transpose.
#include "espalier/layers/conv_transpose2d.h"

#include <gtest/gtest.h>

#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/conv2d.h"
#include "reference/convolution.h"
#include "support/batch_pass.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::make_tiles;

TEST(ConvTranspose2d, EveryPixelAddsItsPatch) {
  // One channel, a kernel of 1 x 2, stride 2: pixels do not overlap.
  Parameter W("W", 1, 2), b("b", 1, 1, Role::bias);
  W.value()[0] = 10, W.value()[1] = 100, b.value()[0] = 1;
  Tile tile;
  tile.input = Tensor({1, 1, 3}, {16, 16});
  for (Index i = 0; i < 3; ++i) tile.input.row(i)[5] = static_cast<Real>(i + 2);
  Tape tape;
  const Window window{.kernel_height = 1, .kernel_width = 2, .stride = 2};
  const Var y = conv_transpose2d(tape.begin(tile, {}), W, &b, window, /*output_padding=*/1);
  ASSERT_EQ(y.shape(), (Shape{1, 2, 7})) << "a line and a column that nothing adds to";
  const std::vector<Real> expected{21, 201, 31, 301, 41, 401, 1, 1, 1, 1, 1, 1, 1, 1};
  for (Index i = 0; i < 14; ++i) EXPECT_EQ(y.value().row(i)[5], expected[i]) << i;
}

TEST(ConvTranspose2d, IsTheConvolutionTransposedInEveryStorage) {
  const Window window{
      .kernel_height = 3, .kernel_width = 4, .stride = 2, .padding_height = 1, .padding_width = 2, .groups = 2};
  for (const Storage storage : testing::all_storages) {
    Parameter W("W", 4, 3 * 12);  // 4 channels in, 6 out
    W.become(testing::pattern_of(4, 36, storage == Storage::dense ? testing::Density::full : testing::Density::half),
             storage);
    testing::fill_normal(W.value(), W, "W");
    const std::vector<Tile> tiles = make_tiles({4, 3, 5}, 16, 16);
    Tape tape;
    const Var y = conv_transpose2d(tape.begin(tiles[0], {}), W, nullptr, window);
    ASSERT_EQ(y.shape(), (Shape{6, 5, 8}));
    const reference::Matrix expected = reference::convolve_transposed(W, window, tiles[0].input, y.shape());
    for (Index i = 0; i < y.value().features(); ++i)
      for (Index lane = 0; lane < 16; ++lane)
        EXPECT_NEAR(y.value().row(i)[lane], expected.at(i, lane).value,
                    16 * testing::epsilon * (1 + expected.at(i, lane).magnitude));
  }
}

TEST(ConvTranspose2d, AConvolutionBringsBackTheShapeThatAStrideRoundedAway) {
  for (const Index extent : {7, 8}) {
    const Window window{.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1};
    const Conv2d down({.in = 2, .out = 3, .window = window}, 1);
    const ConvTranspose2d up({.in = 3, .out = 2, .window = window, .output_padding = extent == 8 ? 1 : 0}, 1);
    const Shape image{2, extent, extent};
    EXPECT_EQ(up.output_shape(down.output_shape(image)), image);
  }
}

// What the convolution before it is asked for is what forward wants, whatever the images' extents.
TEST(ConvTranspose2d, TheHaloItAsksForIsEnoughForImagesOfAllExtents) {
  for (const Index kernel : {1, 2, 3, 4, 5})
    for (const Index stride : {1, 2, 3})
      for (Index padding = 0; padding < kernel; ++padding)
        for (Index more = 0; more < stride; ++more) {
          const Window window{.kernel_height = kernel,
                              .kernel_width = kernel,
                              .stride = stride,
                              .padding_height = padding,
                              .padding_width = padding};
          const ConvTranspose2d layer({.in = 1, .out = 1, .window = window, .output_padding = more}, 1);
          const Halo halo = layer.input_halo();
          for (const Index extent : {3, 4, 6, 9, 16}) {
            const Shape x{1, extent, extent};
            if ((extent - 1) * stride - 2 * padding + kernel + more < 1) continue;
            const Halo needed = gradient_halo(window, layer.output_shape(x), x);
            EXPECT_GE(halo.height, needed.height) << kernel << " " << stride << " " << padding << " " << extent;
          }
        }
}

TEST(ConvTranspose2d, RefusesWhatDoesNotFit) {
  EXPECT_THROW(ConvTranspose2d({.in = 3, .out = 2, .window = {.groups = 2}}, 1), UsageError);
  EXPECT_THROW(ConvTranspose2d({.in = 2, .out = 2, .window = {.stride = 2}, .output_padding = 2}, 1), UsageError);
  EXPECT_THROW(ConvTranspose2d({.in = 2, .out = 2, .window = {.stride = 0}}, 1), UsageError);
  EXPECT_THROW(ConvTranspose2d({.in = 2, .out = 3, .pattern = Pattern::full(2, 47)}, 1), UsageError);
}

}  // namespace
}  // namespace espalier
