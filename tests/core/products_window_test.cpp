// The three products over patches against their definitions: every storage, geometry, number of lanes and valid lanes,
// on every SIMD target that this machine can run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/flops.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/core/products.h"
#include "reference/convolution.h"
#include "support/forced_target.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using reference::Matrix;
using reference::Sum;
using reference::Wide;
using testing::all_storages;
using testing::Density;
using testing::epsilon;
using testing::fill_normal;
using testing::fill_padding;
using testing::ForcedTarget;
using testing::nan;
using testing::pattern_of;
using testing::same_bits;

struct Geometry {
  const char* name;
  Shape input;
  Index channels;
  Window window;
};

std::ostream& operator<<(std::ostream& out, const Geometry& g) {
  return out << g.name;
}

const Geometry all_geometries[] = {
    {"OnePixel", {1, 1, 1}, 1, {}},
    {"OneByOne", {5, 6, 9}, 6, {}},
    {"ThreeByThree", {6, 7, 19}, 5, {.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1}},
    {"ManyChannels", {40, 5, 8}, 9, {.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1}},
    {"WideLines", {2, 9, 37}, 3, {.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1}},
    {"NoPadding", {3, 9, 12}, 4, {.kernel_height = 5, .kernel_width = 5}},
    {"KernelAsLargeAsTheInput", {3, 4, 4}, 7, {.kernel_height = 4, .kernel_width = 4}},
    {"KernelLargerThanTheInput",
     {2, 3, 3},
     3,
     {.kernel_height = 5, .kernel_width = 5, .padding_height = 2, .padding_width = 2}},
    {"PaddingLargerThanTheKernelNeeds",
     {2, 3, 4},
     3,
     {.kernel_height = 2, .kernel_width = 2, .padding_height = 3, .padding_width = 3}},
    {"StrideTwo",
     {4, 8, 16},
     5,
     {.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1}},
    {"StrideThatDoesNotDivide", {3, 10, 13}, 4, {.kernel_height = 3, .kernel_width = 3, .stride = 3}},
    {"StrideLargerThanTheKernel", {4, 7, 9}, 3, {.stride = 2}},
    {"StrideTwoOfFive",
     {2, 9, 11},
     3,
     {.kernel_height = 5, .kernel_width = 5, .stride = 2, .padding_height = 2, .padding_width = 2}},
    {"Groups",
     {6, 5, 8},
     4,
     {.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1, .groups = 2}},
    {"Depthwise",
     {5, 6, 6},
     5,
     {.kernel_height = 3, .kernel_width = 3, .stride = 2, .padding_height = 1, .padding_width = 1, .groups = 5}},
    {"OneDimension", {4, 1, 23}, 3, {.kernel_height = 1, .kernel_width = 5, .padding_width = 2}},
    {"OneDimensionStrided", {3, 1, 23}, 3, {.kernel_height = 1, .kernel_width = 4, .stride = 3, .padding_width = 1}},
};

constexpr Density densities[] = {Density::full, Density::half, Density::tenth, Density::empty_row, Density::nothing};

// As in products_test: a few eps of the sum of the magnitudes.
constexpr Wide few_eps = 6 * Wide{epsilon};

class WindowProducts : public ::testing::TestWithParam<std::tuple<std::int64_t, Geometry>> {
 protected:
  const Geometry& g() const { return std::get<1>(GetParam()); }
  Shape output() const { return output_shape(g().window, g().input, g().channels, "test", "layer"); }
  Index columns() const { return g().input[0] / g().window.groups * g().window.taps(); }

  // An image of normal numbers in a halo, with NaN in the padding lanes.
  static Tensor image(const Shape& shape, Lanes lanes, Halo halo, const char* purpose) {
    Tensor x(shape, lanes, halo);
    fill_normal(x, purpose);
    fill_padding(x, nan);
    return x;
  }
  Halo dy_halo() const { return gradient_halo(g().window, g().input, output()); }

  template <typename Body>
  void for_each_weight_matrix(Body&& body) const {
    for (const Density density : densities)
      for (const Storage storage : all_storages) {
        const PatternPtr pattern = pattern_of(g().channels, columns(), density);
        if (!testing::storable(*pattern, storage)) continue;
        SCOPED_TRACE(::testing::Message() << density << ", " << name_of(storage));
        Parameter W("W", pattern);
        W.become(pattern, storage);
        fill_normal(W.value(), W, "weights");
        body(W);
      }
  }
  template <typename Body>
  void for_each_lanes(Body&& body) const {
    for (const Lanes lanes : {Lanes{1, 1}, Lanes{16, 16}, Lanes{16, 3}, Lanes{48, 33}}) {
      SCOPED_TRACE(::testing::Message() << lanes.count << " lanes, " << lanes.valid << " valid");
      body(lanes);
    }
  }

 private:
  ForcedTarget forced_{std::get<0>(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(OnEveryTarget, WindowProducts,
                         ::testing::Combine(::testing::ValuesIn(testing::targets()),
                                            ::testing::ValuesIn(all_geometries)),
                         [](const auto& of) {
                           return std::string(kernels::target_name(std::get<0>(of.param))) + "_" +
                                  std::get<1>(of.param).name;
                         });

void expect_sum(Real got, Sum sum, Wide start, Activation f, const char* what, Index i, Index lane) {
  sum.add(start);
  const Wide value = reference::activate(f, sum.value);
  ASSERT_LE(std::abs(got - value), few_eps * (sum.magnitude + std::abs(value)))
      << what << " " << i << ", lane " << lane << ": expected " << value << ", got " << got;
}

// The halo is zero before and must be after.
void expect_zero_halo(const Tensor& x) {
  if (x.halo().none()) return;
  double all = 0, inside = 0;
  const Frame frame(x);
  const Real* from = x.row(0) - (frame.halo_height * frame.pitch() + frame.halo_width) * x.stride();
  for (Index i = 0; i < frame.channels * frame.plane() * x.stride(); ++i) all += from[i] != 0;
  for (Index i = 0; i < x.features(); ++i)
    for (Index lane = 0; lane < x.lanes(); ++lane) inside += x.row(i)[lane] != 0;
  EXPECT_EQ(all, inside);
}

TEST_P(WindowProducts, ConvolveIsTheSumOverTapsInsideTheImage) {
  for_each_lanes([&](Lanes lanes) {
    const Tensor X = image(g().input, lanes, g().window.padding(), "X");
    for_each_weight_matrix([&](const Parameter& W) {
      const Matrix exact = reference::convolve(W, g().window, X, output());
      Parameter bias("b", g().channels, 1, Role::bias);
      fill_normal(bias.value(), bias, "bias");
      for (const Activation f : {Activation::none, Activation::relu, Activation::tanh})
        for (const Halo halo : {Halo{}, Halo{2, 1}}) {
          Tensor Y(output(), lanes, halo);
          Y.fill(nan);
          convolve(W, g().window, X, Y, {0, output()[1]}, {.bias = &bias, .activation = f});
          const Index plane = output()[1] * output()[2];
          for (Index i = 0; i < Y.features(); ++i)
            for (Index lane = 0; lane < Y.valid(); ++lane)
              expect_sum(Y.row(i)[lane], exact.at(i, lane), bias.value()[i / plane], f, "row", i, lane);
          if (lanes.valid == lanes.count) expect_zero_halo(Y);
        }
    });
  });
}

TEST_P(WindowProducts, LinesMayBeConvolvedInAnyPieces) {
  for_each_lanes([&](Lanes lanes) {
    const Tensor X = image(g().input, lanes, g().window.padding(), "X");
    for_each_weight_matrix([&](const Parameter& W) {
      Tensor whole(output(), lanes), pieces(output(), lanes);
      convolve(W, g().window, X, whole, {0, output()[1]});
      for (Index y = output()[1]; y > 0;) {
        const Index first = std::max<Index>(0, y - 3);
        convolve(W, g().window, X, pieces, {first, y});
        y = first;
      }
      for (Index i = 0; i < whole.features(); ++i)
        for (Index lane = 0; lane < lanes.valid; ++lane)
          ASSERT_NEAR(whole.row(i)[lane], pieces.row(i)[lane], 1e-5 * (1 + std::abs(whole.row(i)[lane])));
    });
  });
}

TEST_P(WindowProducts, ConvolveTransposedIsTheSumOverOutputsThatReadThePixelAndMayAdd) {
  for_each_lanes([&](Lanes lanes) {
    const Tensor dY = image(output(), lanes, dy_halo(), "dY");
    for_each_weight_matrix([&](const Parameter& W) {
      const Matrix exact = reference::convolve_transposed(W, g().window, dY, g().input);
      for (const Halo halo : {Halo{}, Halo{1, 2}})
        for (const Write write : {Write::overwrite, Write::add}) {
          Tensor dX(g().input, lanes, halo), before(g().input, lanes);
          fill_normal(before, "before");
          if (write == Write::overwrite)
            dX.fill(nan);
          else
            for (Index i = 0; i < dX.features(); ++i) std::copy_n(before.row(i), lanes.count, dX.row(i));
          convolve_transposed(W, g().window, dY, dX, write);
          for (Index i = 0; i < dX.features(); ++i)
            for (Index lane = 0; lane < dX.valid(); ++lane)
              expect_sum(dX.row(i)[lane], exact.at(i, lane), write == Write::add ? before.row(i)[lane] : Real{0},
                         Activation::none, "row", i, lane);
          if (lanes.valid == lanes.count) expect_zero_halo(dX);
        }
    });
  });
}

TEST_P(WindowProducts, ConvolveOuterAddsTheSumOverPixelsAndValidLanesOnThePattern) {
  for_each_lanes([&](Lanes lanes) {
    const Tensor X = image(g().input, lanes, g().window.padding(), "X"), dY = image(output(), lanes, dy_halo(), "dY");
    for_each_weight_matrix([&](const Parameter& W) {
      const Matrix exact = reference::convolve_outer(W, g().window, dY, X);
      std::vector<Real> G(W.value().size(), 0);
      // in two pieces
      const Index half = output()[1] / 2;
      convolve_outer(W, g().window, dY, X, {0, half}, G);
      convolve_outer(W, g().window, dY, X, {half, output()[1]}, G);
      std::vector<bool> live(G.size(), false);
      W.for_each_weight([&](Index r, Index c, Index at) {
        live[at] = true;
        expect_sum(G[at], exact.at(r, c), 0, Activation::none, "weight", r, c);
      });
      for (std::size_t n = 0; n < G.size(); ++n) EXPECT_TRUE(live[n] || G[n] == 0) << "off the pattern, at " << n;
    });
  });
}

TEST_P(WindowProducts, WhatStandsInThePaddingChangesNoBit) {
  for (const Lanes lanes : {Lanes{16, 3}, Lanes{48, 33}}) {
    Tensor X = image(g().input, lanes, g().window.padding(), "X"), dY = image(output(), lanes, dy_halo(), "dY");
    for_each_weight_matrix([&](const Parameter& W) {
      const auto results = [&](Real padding) {
        fill_padding(X, padding);
        fill_padding(dY, padding);
        Tensor Y(output(), lanes), dX(g().input, lanes);
        convolve(W, g().window, X, Y, {0, output()[1]});
        convolve_transposed(W, g().window, dY, dX);
        std::vector<Real> all(W.value().size(), 0);
        convolve_outer(W, g().window, dY, X, {0, output()[1]}, all);
        const auto y = testing::valid_numbers(Y), dx = testing::valid_numbers(dX);
        all.insert(all.end(), y.begin(), y.end());
        all.insert(all.end(), dx.begin(), dx.end());
        return all;
      };
      const auto zeros = results(0), nans = results(nan);
      EXPECT_TRUE(same_bits(zeros, nans));
    });
  }
}

TEST(WindowFlops, AreThoseOfTheWeightsThatRan) {
  const Window w{.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};
  Parameter W("W", Pattern::random(8, 4 * 9, 30, Random(1, "flops")));
  const Tensor X({4, 6, 5}, {16, 11}, {1, 1});
  Tensor Y({8, 6, 5}, {16, 11}, {1, 1}), dX(X);
  std::vector<Real> G(W.value().size());
  Flops before = thread_flops();
  convolve(W, w, X, Y, {0, 6});
  Flops used = thread_flops() - before;
  EXPECT_EQ(used.executed, 2u * 30 * 30 * 16);
  EXPECT_EQ(used.useful, 2u * 30 * 30 * 11);
  before = thread_flops();
  convolve_transposed(W, w, Y, dX);
  used = thread_flops() - before;
  EXPECT_EQ(used.executed, 2u * 30 * 30 * 16);
  EXPECT_EQ(used.useful, 2u * 30 * 30 * 11);
  before = thread_flops();
  convolve_outer(W, w, Y, X, {0, 6}, G);
  used = thread_flops() - before;
  EXPECT_EQ(used.executed, 2u * 30 * 30 * 11);
  EXPECT_EQ(used.useful, 2u * 30 * 30 * 11);
}

TEST(WindowShapes, AnEmptyOutputIsAUsageErrorThatNamesLayerAndShapes) {
  try {
    output_shape({.kernel_height = 5, .kernel_width = 5, .padding_height = 1, .padding_width = 1}, {3, 2, 9}, 4,
                 "conv2d", "conv7");
    FAIL() << "expected a UsageError";
  } catch (const UsageError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("conv7"), std::string::npos) << what;
    EXPECT_NE(what.find("[3, 2, 9]"), std::string::npos) << what;
    EXPECT_NE(what.find("5 x 5"), std::string::npos) << what;
  }
  EXPECT_THROW(output_shape({.groups = 2}, {3, 4, 4}, 4, "x", "y"), UsageError);
  EXPECT_THROW(output_shape({.groups = 3}, {3, 4, 4}, 4, "x", "y"), UsageError);
  EXPECT_THROW(output_shape({}, {12}, 4, "x", "y"), UsageError);
  EXPECT_THROW(output_shape({.stride = 0}, {3, 4, 4}, 4, "x", "y"), UsageError);
}

TEST(WindowShapes, AMissingHaloIsAUsageError) {
  const Window w{.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};
  const Parameter W("W", 2, 18);
  const Tensor X({2, 4, 4}, {16, 16});
  Tensor Y({2, 4, 4}, {16, 16}), dX(X);
  EXPECT_THROW(convolve(W, w, X, Y, {0, 4}), UsageError);
  EXPECT_THROW(convolve_transposed(W, w, Y, dX), UsageError);
}

}  // namespace
}  // namespace espalier
