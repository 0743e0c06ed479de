#include "espalier/core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "espalier/core/error.h"
#include "reference/tensor_index.h"
#include "support/numbers.h"

namespace espalier {
namespace {

using testing::nan;

constexpr Lanes sixteen{16, 16};

// --- shapes --------------------------------------------------------------------------------------------------------

TEST(Shape, KnowsItsFeaturesAndItsText) {
  const Shape image{3, 28, 5};
  EXPECT_EQ(image.rank(), 3);
  EXPECT_EQ(image.features(), 420);
  EXPECT_EQ(image.text(), "[3, 28, 5]");
  EXPECT_EQ(image, (Shape{3, 28, 5}));
  EXPECT_NE(image, (Shape{3, 5, 28}));
}

TEST(Shape, RefusesEmptyNegativeAndTooManyExtents) {
  EXPECT_THROW((Shape{3, 0}), UsageError);
  EXPECT_THROW((Shape{-1}), UsageError);
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), UsageError);
}

// --- invariants 1 and 2: rows and lanes ----------------------------------------------------------------------------

TEST(Tensor, Invariant1RowsStartOnACacheLine) {
  for (const Index lanes : {16, 48, 64, 128}) {
    const Tensor x({7}, {lanes, lanes});
    for (Index i = 0; i < 7; ++i) EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.row(i)) % alignment_bytes, 0u);
    EXPECT_EQ(x.row(3) - x.row(0), 3 * lanes);
  }
}

TEST(Tensor, Invariant1RowsOfOneLaneAreAdjacentNumbers) {
  const Tensor x({7}, {1, 1});
  EXPECT_EQ(x.row(6) - x.row(0), 6);
}

TEST(Tensor, Invariant2LanesAreOneOrAMultipleOfTheQuantum) {
  for (const Index lanes : {1, 16, 32, 48, 128}) EXPECT_NO_THROW(Tensor({3}, {lanes, lanes})) << lanes;
  for (const Index lanes : {0, 2, 8, 15, 17, 40, -16}) EXPECT_THROW(Tensor({3}, {lanes, 0}), UsageError) << lanes;
}

TEST(Tensor, Invariant2ValidLanesLieBetweenNoneAndAll) {
  for (const Index valid : {0, 1, 16}) EXPECT_EQ(Tensor({3}, {16, valid}).valid(), valid);
  for (const Index valid : {-1, 17}) EXPECT_THROW(Tensor({3}, {16, valid}), UsageError) << valid;
  Tensor x({3}, sixteen);
  x.set_valid(5);
  EXPECT_EQ(x.valid(), 5);
  EXPECT_THROW(x.set_valid(17), UsageError);
  EXPECT_EQ(x.valid(), 5);
}

TEST(Tensor, SettingValidLeavesOtherTensorsOverTheSameBufferAlone) {
  Tensor x({3}, sixteen);
  const Tensor other = x;
  x.set_valid(5);
  EXPECT_EQ(other.valid(), 16);
  EXPECT_EQ(other.data(), x.data());
}

// --- invariant 3: the halo -----------------------------------------------------------------------------------------

struct Bordered {
  Shape shape;
  Lanes lanes;
  Halo halo;
};

const Bordered bordered[] = {{{1, 1, 1}, {1, 1}, {1, 1}},
                             {{2, 3, 5}, {16, 9}, {1, 1}},
                             {{3, 4, 2}, {16, 16}, {2, 3}},
                             {{2, 5, 4}, {1, 1}, {0, 2}},
                             {{2, 3, 4}, {48, 48}, {3, 0}}};

TEST(Tensor, Invariant3RowsOfABorderedImageStandWhereTheFormulaSays) {
  for (const auto& [shape, lanes, halo] : bordered) {
    const auto buffer = std::make_shared<Buffer>(Tensor::buffer_length(shape, lanes, halo));
    const Tensor x(shape, lanes, halo, buffer);
    for (Index c = 0; c < shape[0]; ++c)
      for (Index row = 0; row < shape[1]; ++row)
        for (Index col = 0; col < shape[2]; ++col) {
          const Index i = (c * shape[1] + row) * shape[2] + col;
          EXPECT_EQ(x.row(i) - buffer->data(), reference::position_in_buffer(shape, lanes, halo, c, row, col, 0));
        }
  }
}

TEST(Tensor, Invariant3TheHaloIsZeroInADirtyBufferAndStaysZero) {
  for (const auto& [shape, lanes, halo] : bordered) {
    const auto buffer = std::make_shared<Buffer>(Tensor::buffer_length(shape, lanes, halo), nan);
    Tensor x(shape, lanes, halo, buffer);
    x.fill(7);
    Index border = 0;
    for (const Real value : *buffer) {
      EXPECT_TRUE(value == 0 || value == 7) << value;
      border += value == 0;
    }
    EXPECT_EQ(border, static_cast<Index>(buffer->size()) - shape.features() * lanes.count);
    for (Index i = 0; i < x.features(); ++i)
      for (Index lane = 0; lane < x.lanes(); ++lane) EXPECT_EQ(x.row(i)[lane], 7);
  }
}

TEST(Tensor, RunsCoverEachInteriorNumberExactlyOnce) {
  for (const auto& [shape, lanes, halo] : bordered) {
    Tensor x(shape, lanes, halo);
    x.for_each_run([](Real* begin, Index count) {
      for (Index n = 0; n < count; ++n) begin[n] += 1;
    });
    for (Index i = 0; i < x.features(); ++i)
      for (Index lane = 0; lane < x.lanes(); ++lane) EXPECT_EQ(x.row(i)[lane], 1);
  }
}

TEST(Tensor, ATensorWithoutAHaloIsOneRun) {
  Tensor x({2, 3, 5}, sixteen);
  int runs = 0;
  x.for_each_run([&](Real* begin, Index count) {
    ++runs;
    EXPECT_EQ(begin, x.data());
    EXPECT_EQ(count, 30 * 16);
  });
  EXPECT_EQ(runs, 1);
}

TEST(Tensor, OnlyImagesHaveAHaloAndItIsNotNegative) {
  EXPECT_THROW(Tensor({5}, sixteen, {1, 1}), UsageError);
  EXPECT_THROW(Tensor({5, 5}, sixteen, {1, 0}), UsageError);
  EXPECT_THROW(Tensor({3, 5, 5}, sixteen, {-1, 0}), UsageError);
}

// --- views ---------------------------------------------------------------------------------------------------------

TEST(Tensor, FlatteningCostsNothing) {
  Tensor image({2, 3, 5}, {16, 7});
  const Tensor flat = image.reshaped({30});
  EXPECT_EQ(flat.shape(), (Shape{30}));
  EXPECT_EQ(flat.data(), image.data());
  EXPECT_EQ(flat.valid(), 7);
}

TEST(Tensor, ReshapingKeepsTheNumberOfFeaturesAndRefusesAHalo) {
  EXPECT_THROW(Tensor({30}, sixteen).reshaped({31}), UsageError);
  EXPECT_THROW(Tensor({2, 3, 5}, sixteen, {1, 1}).reshaped({30}), UsageError);
  EXPECT_NO_THROW(Tensor({2, 3, 5}, sixteen, {1, 1}).reshaped({2, 3, 5}));
}

TEST(Tensor, ATensorOfItsOwnStartsAtZero) {
  const Tensor x({5}, sixteen);
  for (Index n = 0; n < 5 * 16; ++n) EXPECT_EQ(x.data()[n], 0);
  EXPECT_TRUE(x);
  EXPECT_FALSE(Tensor{});
}

// --- invariant 4: the pool -----------------------------------------------------------------------------------------

TEST(BufferPool, Invariant4ABufferComesBackWhenItsLastTensorIsGone) {
  BufferPool pool;
  const Real* first = nullptr;
  {
    const Tensor x = pool.tensor({5}, sixteen);
    const Tensor view = x.reshaped({5, 1});
    first = x.data();
    const Tensor held_elsewhere = pool.tensor({5}, sixteen);
    EXPECT_NE(held_elsewhere.data(), first);
  }
  const std::size_t bytes = pool.bytes();
  EXPECT_EQ(bytes, 2 * 5 * 16 * sizeof(Real));
  const Tensor a = pool.tensor({5}, sixteen), b = pool.tensor({5}, {16, 3});
  EXPECT_TRUE(a.data() == first || b.data() == first);
  EXPECT_EQ(pool.bytes(), bytes);
}

TEST(BufferPool, NeverHandsOutABufferThatAViewStillUses) {
  BufferPool pool;
  Tensor view;
  { view = pool.tensor({5}, sixteen).reshaped({5, 1}); }
  EXPECT_NE(pool.tensor({5}, sixteen).data(), view.data());
}

TEST(BufferPool, PoisonFillsTheInsideAndSparesTheHalo) {
  BufferPool pool(/*poison=*/true);
  const Shape shape{2, 3, 4};
  const Halo halo{1, 2};
  const Tensor x = pool.tensor(shape, sixteen, halo);
  for (Index i = 0; i < x.features(); ++i)
    for (Index lane = 0; lane < 16; ++lane) EXPECT_TRUE(std::isnan(x.row(i)[lane]));
  // Row 0 stands at (halo.height, halo.width): the buffer begins that far before it.
  const Real* buffer = x.row(0) - reference::position_in_buffer(shape, sixteen, halo, 0, 0, 0, 0);
  Index zeros = 0;
  for (std::size_t n = 0; n < Tensor::buffer_length(shape, sixteen, halo); ++n) zeros += buffer[n] == 0;
  EXPECT_EQ(zeros, (2 * (3 + 2) * (4 + 4) - 24) * 16);
}

// --- slices ----------------------------------------------------------------------------------------------------------

TEST(Tensor, ASliceIsSomeOfTheRowsInPlace) {
  for (const Lanes lanes : {Lanes{16, 5}, Lanes{1, 1}}) {
    Tensor x({4, 3}, lanes);
    for (Index i = 0; i < 12; ++i) x.row(i)[0] = static_cast<Real>(i);
    Tensor steps = x.slice(3, {2, 3});
    EXPECT_EQ(steps.shape(), (Shape{2, 3}));
    EXPECT_EQ(steps.lane_counts(), lanes);
    for (Index i = 0; i < 6; ++i) EXPECT_EQ(steps.row(i), x.row(3 + i));
    EXPECT_EQ(steps.slice(3, {3}).row(2)[0], 8) << "a slice of a slice";
    steps.fill(-1);
    for (Index i = 0; i < 12; ++i) EXPECT_EQ(x.row(i)[0], i >= 3 && i < 9 ? -1 : static_cast<Real>(i));
  }
}

TEST(Tensor, ASliceStaysInsideAndHasNoHalo) {
  const Tensor x({4, 3}, sixteen), image({1, 4, 3}, sixteen, {1, 1});
  EXPECT_THROW(x.slice(10, {3}), UsageError);
  EXPECT_THROW(x.slice(-1, {3}), UsageError);
  EXPECT_THROW(image.slice(0, {3}), UsageError);
}

}  // namespace
}  // namespace espalier
