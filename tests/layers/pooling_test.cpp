#include "espalier/layers/pooling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/kernels/kernels.h"
#include "reference/pooling.h"
#include "support/batch_pass.h"
#include "support/forced_target.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::make_tiles;

// Kernel, stride, padding: the fast 2 x 2, windows that overlap, that leave gaps, that stick out on all sides.
const std::vector<PoolOptions> geometries{
    {},
    {.kernel = 2, .stride = 1},
    {.kernel = 2, .stride = 3},
    {.kernel = 2, .stride = 2, .padding = 1},
    {.kernel = 3, .stride = 2, .padding = 1},
    {.kernel = 3, .stride = 3},
    {.kernel = 1, .stride = 2},
    {.kernel = 5, .stride = 1, .padding = 2},
};
const std::vector<Shape> images{{2, 5, 5}, {1, 6, 40}, {3, 4, 7}};

template <typename Body>
void for_each_output(const Shape& output, Body&& body) {
  for (Index c = 0; c < output[0]; ++c)
    for (Index oy = 0; oy < output[1]; ++oy)
      for (Index ox = 0; ox < output[2]; ++ox) body(c, oy, ox, (c * output[1] + oy) * output[2] + ox);
}

// x[pixel, lane] -> y, and the gradient of x for dY = functional_weight; `definition` says both for one window.
template <typename Pool, typename Definition>
void expect_definition(const Pool& pool, const PoolOptions& o, const Shape& image, Index lanes,
                       Definition&& definition) {
  const Index samples = lanes == 1 ? 1 : lanes - 3;
  const std::vector<Tile> tiles = make_tiles(image, samples, lanes);
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  const Var y = pool(x);
  tape.backward(testing::linear_functional(y), 1);
  const Shape output = pooled_shape(image, o);
  ASSERT_EQ(y.shape(), output);
  Tensor dX(image, {lanes, samples});
  for_each_output(output, [&](Index c, Index oy, Index ox, Index i) {
    for (Index lane = 0; lane < samples; ++lane) {
      const Real got = y.value().row(i)[lane];
      definition(x.value(), reference::window_of(image, o, c, oy, ox), lane, got, testing::functional_weight(lane, i),
                 dX);
    }
  });
  testing::expect_close(testing::valid_numbers(dX), testing::valid_numbers(testing::input_gradient(tape)),
                        8 * testing::epsilon, "gradient of the input");
}

template <typename Check>
void for_each_case(Check&& check) {
  for (const std::int64_t target : testing::targets()) {
    SCOPED_TRACE(kernels::target_name(target));
    const testing::ForcedTarget forced(target);
    for (const PoolOptions& o : geometries)
      for (const Shape& image : images)
        for (const Index lanes : {1, 16, 48}) {
          SCOPED_TRACE(fmt::format("kernel {} stride {} padding {} of {}, {} lanes", o.kernel, o.stride, o.padding,
                                   image.text(), lanes));
          check(o, image, lanes);
        }
  }
}

TEST(MaxPool, IsTheLargestNumberOfEachWindowAndItsGradientGoesThere) {
  for_each_case([](const PoolOptions& o, const Shape& image, Index lanes) {
    expect_definition([&](const Var& x) { return max_pool(x, o); }, o, image, lanes,
                      [](const Tensor& x, const std::vector<Index>& window, Index lane, Real y, Real dy, Tensor& dX) {
                        const Index winner = reference::winner_of(x, window, lane);
                        EXPECT_EQ(y, x.row(winner)[lane]);
                        dX.row(winner)[lane] += dy;
                      });
  });
}

TEST(AveragePool, IsTheSumOverKernelSquaredWithPaddingAsZeros) {
  for_each_case([](const PoolOptions& o, const Shape& image, Index lanes) {
    const Real share = 1 / static_cast<Real>(o.kernel * o.kernel);
    expect_definition(
        [&](const Var& x) { return average_pool(x, o); }, o, image, lanes,
        [share](const Tensor& x, const std::vector<Index>& window, Index lane, Real y, Real dy, Tensor& dX) {
          Real sum = 0;
          for (const Index pixel : window) {
            sum += x.row(pixel)[lane];
            dX.row(pixel)[lane] += dy * share;
          }
          EXPECT_NEAR(y, sum * share, 8 * testing::epsilon);
        });
  });
}

TEST(GlobalAveragePool, IsTheMeanOfAllPixels) {
  for (const Index lanes : {1, 16, 48}) {
    const std::vector<Tile> tiles = make_tiles({3, 5, 37}, lanes == 1 ? 1 : lanes - 2, lanes);
    Tape tape(/*poison=*/true);
    const Var x = tape.begin(tiles[0], {.input_gradient = true});
    const Var y = global_average_pool(x);
    tape.backward(testing::linear_functional(y), 1);
    for (Index c = 0; c < 3; ++c)
      for (Index lane = 0; lane < x.value().valid(); ++lane) {
        double sum = 0;
        for (Index i = 0; i < 5 * 37; ++i) {
          sum += static_cast<double>(x.value().row(c * 5 * 37 + i)[lane]);
          EXPECT_NEAR(testing::input_gradient(tape).row(c * 5 * 37 + i)[lane],
                      testing::functional_weight(lane, c) / (5 * 37), testing::epsilon);
        }
        EXPECT_NEAR(y.value().row(c)[lane], sum / (5 * 37), 8 * testing::epsilon);
      }
  }
}

// One image of one channel, the same in each of `lanes` lanes.
struct Image {
  Image(Shape shape, const std::vector<Real>& pixels, Index lanes) {
    tile.input = Tensor(shape, {lanes, lanes});
    for (Index i = 0; i < shape.features(); ++i) std::fill_n(tile.input.row(i), lanes, pixels[i]);
  }
  Tile tile;
};

TEST(MaxPool, TheFirstOfEqualNumbersWinsAndAloneGetsTheGradient) {
  for (const Index lanes : {1, 16})
    for (const Index stride : {1, 2}) {  // the general way, and the fast one
      const Image image({1, 2, 2}, {3, 7, 7, 7}, lanes);
      Tape tape(/*poison=*/true);
      const Var y = max_pool(tape.begin(image.tile, {.input_gradient = true}), {.kernel = 2, .stride = stride});
      tape.backward(testing::linear_functional(y), 1);
      const Tensor& dX = testing::input_gradient(tape);
      EXPECT_EQ(y.value().row(0)[0], 7);
      EXPECT_EQ(dX.row(0)[0], 0);
      EXPECT_EQ(dX.row(1)[0], testing::functional_weight(0, 0));
      EXPECT_EQ(dX.row(2)[0], 0);
      EXPECT_EQ(dX.row(3)[0], 0);
    }
}

TEST(MaxPool, PaddingDoesNotWinOverNegativeNumbers) {
  const Image image({1, 2, 2}, {-4, -3, -2, -1}, 16);
  Tape tape;
  const Var y = max_pool(tape.begin(image.tile, {}), {.kernel = 3, .stride = 1, .padding = 1});
  for (Index i = 0; i < 4; ++i) EXPECT_EQ(y.value().row(i)[0], -1);
  const Var corner = max_pool(tape.begin(image.tile, {}), {.kernel = 2, .stride = 2, .padding = 1});
  for (Index i = 0; i < 4; ++i) EXPECT_EQ(corner.value().row(i)[0], static_cast<Real>(i - 4));
}

TEST(MaxPool, NaNStaysNaNWhereverItStands) {
  for (const Index lanes : {1, 16})
    for (std::size_t at = 0; at < 4; ++at) {
      std::vector<Real> pixels{1, 2, 3, 4};
      pixels[at] = testing::nan;
      const Image image({1, 2, 2}, pixels, lanes);
      Tape tape;
      EXPECT_TRUE(std::isnan(max_pool(tape.begin(image.tile, {}), {}).value().row(0)[0])) << at;
    }
}

TEST(MaxPool, InferenceKeepsNoWinners) {
  const Image image({1, 2, 2}, {1, 2, 3, 4}, 16);
  Tape tape;
  max_pool(tape.begin(image.tile, {.mode = Mode::inference}), {});
  EXPECT_EQ(tape.bytes(), 16 * sizeof(Real));
}

TEST(MaxPool, RemembersAByteForEachOutput) {
  const Image image({1, 4, 4}, std::vector<Real>(16, 1), 16);
  Tape tape;
  max_pool(tape.begin(image.tile, {}), {});
  EXPECT_EQ(tape.bytes(), 4 * 16 * sizeof(Real) + 4 * 16);
}

TEST(Pooling, AGeometryThatLeavesNothingIsAUsageErrorThatNamesLayerAndShape) {
  const MaxPool pool({.name = "pool3", .kernel = 4, .padding = 1});
  EXPECT_EQ(pool.output_shape({5, 2, 9}), (Shape{5, 1, 2}));
  try {
    pool.output_shape({5, 1, 9});
    ADD_FAILURE() << "expected a UsageError";
  } catch (const UsageError& error) {
    EXPECT_PRED2(testing::contains, error.what(), "pool3");
    EXPECT_PRED2(testing::contains, error.what(), "4 x 4");
    EXPECT_PRED2(testing::contains, error.what(), "[5, 1, 9]");
  }
}

TEST(Pooling, RefusesWindowsThatCannotBe) {
  EXPECT_THROW(MaxPool({.kernel = 0}), UsageError);
  EXPECT_THROW(MaxPool({.kernel = 16}), UsageError) << "places are bytes";
  EXPECT_THROW(MaxPool({.kernel = 2, .stride = -1}), UsageError);
  EXPECT_THROW(AveragePool({.kernel = 2, .padding = 2}), UsageError) << "a window of nothing but padding";
  EXPECT_THROW(AveragePool({.kernel = 3, .padding = -1}), UsageError);
  EXPECT_NO_THROW(MaxPool({.kernel = 15, .padding = 7}));
}

}  // namespace
}  // namespace espalier
