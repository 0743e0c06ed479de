#include "espalier/core/parameter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/kernels/kernels.h"
#include "reference/weights.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using reference::Weights;
using reference::weights_of;
using testing::all_densities;
using testing::all_storages;
using testing::Density;
using testing::fill_normal;
using testing::pattern_of;
using testing::same_bits;
using testing::storable;

// 13 x 29 with two slots, every live number drawn.
Parameter drawn(const PatternPtr& pattern, Storage storage) {
  Parameter W("W", pattern->rows(), pattern->cols());
  W.add_slot("velocity");
  W.add_slot("m");
  W.become(pattern, storage);
  fill_normal(W.value(), W, "value");
  fill_normal(W.slot("velocity"), W, "velocity");
  fill_normal(W.slot("m"), W, "m");
  return W;
}

std::vector<std::span<const Real>> arrays_of(const Parameter& W) {
  std::vector<std::span<const Real>> arrays{W.value()};
  for (const std::string& name : W.slot_names()) arrays.push_back(W.slot(name));
  return arrays;
}

// Invariants 1 and 3.
void expect_well_formed(const Parameter& W) {
  const Index length = W.storage() == Storage::csr ? W.nonzeros() : W.positions();
  for (const auto array : arrays_of(W)) ASSERT_EQ(static_cast<Index>(array.size()), length);
  EXPECT_EQ(W.stored(), length);
  EXPECT_EQ(W.pattern() == nullptr, W.storage() == Storage::dense);
  if (W.storage() != Storage::masked) return;
  for (Index r = 0; r < W.rows(); ++r)
    for (Index c = 0; c < W.cols(); ++c) {
      if (W.pattern()->live(r, c)) continue;
      for (const auto array : arrays_of(W)) EXPECT_EQ(array[r * W.cols() + c], 0);
    }
}

// Invariant 4, and that blocks hold whole rows.
void expect_blocks_cover(const Parameter& W) {
  Index row = 0, at = 0;
  for (const RowBlock& block : W.blocks()) {
    EXPECT_EQ(block.first_row, row);
    EXPECT_EQ(block.first, at);
    EXPECT_EQ(block.number, &block - W.blocks().data());
    EXPECT_GT(block.last_row, block.first_row);
    const Index weights = W.storage() != Storage::csr
                              ? block.rows() * W.cols()
                              : W.pattern()->row_begin()[block.last_row] - W.pattern()->row_begin()[block.first_row];
    EXPECT_EQ(block.weights(), weights);
    row = block.last_row;
    at = block.last;
  }
  EXPECT_EQ(row, W.rows());
  EXPECT_EQ(at, static_cast<Index>(W.value().size()));
}

TEST(Parameter, IsBornDenseAndZero) {
  const Parameter W("fc1.weight", 3, 5);
  EXPECT_EQ(W.name(), "fc1.weight");
  EXPECT_EQ(W.storage(), Storage::dense);
  EXPECT_EQ(W.positions(), 15);
  EXPECT_EQ(W.nonzeros(), 15);
  EXPECT_EQ(W.density(), 1);
  EXPECT_TRUE(W.prunable());
  EXPECT_FALSE(Parameter("fc1.bias", 3, 1, Role::bias).prunable());
  EXPECT_EQ(std::vector<Real>(W.value().begin(), W.value().end()), std::vector<Real>(15, 0));
}

TEST(Parameter, ABornSparseOneAllocatesNothingOfRowsTimesColumns) {
  constexpr Index n = 65536;
  Parameter W("W", Pattern::random(n, n, 1000, Random(1, "huge")));
  W.add_slot("velocity");
  EXPECT_EQ(W.storage(), Storage::csr);
  EXPECT_EQ(W.positions(), Index{1} << 32);
  EXPECT_EQ(W.value().size(), 1000u);
  EXPECT_EQ(W.slot("velocity").size(), 1000u);
  expect_blocks_cover(W);
}

TEST(Parameter, RefusesExtentsThatAreNotPositive) {
  EXPECT_THROW(Parameter("W", 0, 3), UsageError);
  EXPECT_THROW(Parameter("W", 3, -1), UsageError);
}

TEST(Parameter, Invariant1SlotsAreBornZeroAndAsLongAsTheValue) {
  for (const Storage storage : all_storages) {
    const PatternPtr pattern = pattern_of(13, 29, storage == Storage::dense ? Density::full : Density::tenth);
    Parameter W = drawn(pattern, storage);
    W.add_slot("fresh");
    expect_well_formed(W);
    for (const Real number : W.slot("fresh")) EXPECT_EQ(number, 0);
    const std::vector<Real> velocity(W.slot("velocity").begin(), W.slot("velocity").end());
    W.add_slot("velocity");
    EXPECT_TRUE(same_bits(W.slot("velocity"), velocity)) << "an existing slot is kept";
    W.remove_slot("velocity");
    EXPECT_FALSE(W.has_slot("velocity"));
    EXPECT_THROW(W.slot("velocity"), UsageError);
    EXPECT_EQ(W.slot_names(), (std::vector<std::string>{"m", "fresh"}));
  }
}

TEST(Parameter, Invariant2BecomeKeepsSurvivorsAndStartsNewbornsAtZeroBetweenAllStorages) {
  for (const Storage from : all_storages)
    for (const Storage to : all_storages)
      for (const Density before : all_densities)
        for (const Density after : all_densities) {
          const PatternPtr old_pattern = pattern_of(13, 29, before), new_pattern = pattern_of(13, 29, after, 2);
          if (!storable(*old_pattern, from) || !storable(*new_pattern, to)) continue;
          SCOPED_TRACE(::testing::Message() << name_of(from) << " " << before << " -> " << name_of(to) << " " << after);
          Parameter W = drawn(old_pattern, from);
          const Weights expected = reference::become(weights_of(W), *new_pattern, 3);
          W.become(new_pattern, to);
          EXPECT_EQ(W.storage(), to);
          EXPECT_EQ(weights_of(W), expected);
          expect_well_formed(W);
          expect_blocks_cover(W);
        }
}

TEST(Parameter, Invariant2APrunedWeightThatComesBackStartsAtZero) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Parameter W = drawn(Pattern::full(13, 29), storage);
    W.become(pattern_of(13, 29, Density::nothing), storage);
    EXPECT_EQ(W.nonzeros(), 0);
    W.become(nullptr, Storage::dense);
    for (const auto array : arrays_of(W))
      for (const Real number : array) EXPECT_EQ(number, 0);
  }
}

TEST(Parameter, Invariant2StorageMayChangeBackAndForthWithoutLoss) {
  const PatternPtr pattern = pattern_of(13, 29, Density::half);
  Parameter W = drawn(pattern, Storage::csr);
  const Weights before = weights_of(W);
  for (const Storage storage : {Storage::masked, Storage::csr, Storage::masked, Storage::masked, Storage::csr}) {
    W.become(pattern, storage);
    EXPECT_EQ(weights_of(W), before);
  }
}

TEST(Parameter, BecomeWithoutAPatternMeansEveryWeight) {
  for (const Storage storage : all_storages) {
    Parameter W = drawn(pattern_of(13, 29, Density::half), Storage::masked);
    const Weights expected = reference::become(weights_of(W), *Pattern::full(13, 29), 3);
    W.become(nullptr, storage);
    EXPECT_EQ(W.nonzeros(), W.positions());
    EXPECT_EQ(weights_of(W), expected);
  }
}

TEST(Parameter, Invariant2AFailingBecomeLeavesEverythingAsItWas) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Parameter W = drawn(pattern_of(13, 29, Density::half), storage);
    const Weights before = weights_of(W);
    const PatternPtr pattern = W.pattern();
    EXPECT_THROW(W.become(pattern_of(13, 30, Density::half), storage), UsageError);
    EXPECT_THROW(W.become(pattern_of(29, 13, Density::half), storage), UsageError);
    EXPECT_THROW(W.become(pattern_of(13, 29, Density::tenth), Storage::dense), UsageError);
    EXPECT_EQ(W.pattern(), pattern);
    EXPECT_EQ(W.storage(), storage);
    EXPECT_EQ(weights_of(W), before);
    expect_well_formed(W);
    expect_blocks_cover(W);
  }
}

TEST(Parameter, Invariant2SelectKeepsTheGivenRowsAndColumns) {
  const std::vector<std::vector<Index>> kept_rows{{0}, {12}, {1, 4, 5, 11}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};
  const std::vector<std::vector<Index>> kept_columns{{0}, {28}, {3, 8, 9, 20, 28}};
  for (const Storage storage : all_storages)
    for (const Density density : all_densities) {
      const PatternPtr pattern = pattern_of(13, 29, density);
      if (!storable(*pattern, storage)) continue;
      for (const auto& rows : kept_rows)
        for (const auto& columns : kept_columns) {
          Parameter W = drawn(pattern, storage);
          const Weights expected = reference::select(weights_of(W), rows, columns);
          W.select(rows, columns);
          EXPECT_EQ(W.storage(), storage);
          EXPECT_EQ(W.rows(), static_cast<Index>(rows.size()));
          EXPECT_EQ(W.cols(), static_cast<Index>(columns.size()));
          EXPECT_EQ(weights_of(W), expected);
          expect_well_formed(W);
          expect_blocks_cover(W);
        }
    }
}

TEST(Parameter, Invariant2AFailingSelectLeavesEverythingAsItWas) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Parameter W = drawn(pattern_of(13, 29, Density::half), storage);
    const Weights before = weights_of(W);
    const std::vector<Index> fine{0, 1};
    for (const std::vector<Index>& bad : std::vector<std::vector<Index>>{{}, {-1, 0}, {2, 1}, {1, 1}, {0, 29}}) {
      EXPECT_THROW(W.select(bad, fine), UsageError);
      EXPECT_THROW(W.select(fine, bad), UsageError);
    }
    EXPECT_EQ(weights_of(W), before);
    expect_well_formed(W);
  }
}

TEST(Parameter, Invariant4BlocksOfLargeArraysAreManyAndCoverThem) {
  Parameter W("W", 1000, 300);
  expect_blocks_cover(W);
  EXPECT_GT(W.blocks().size(), 1u);
  W.become(pattern_of(1000, 300, Density::half), Storage::masked);
  expect_blocks_cover(W);
  W.become(W.pattern(), Storage::csr);
  expect_blocks_cover(W);
  EXPECT_GT(W.blocks().size(), 1u);
  Parameter wide("wide", 3, 100'000);  // a row is more than a block's worth of weights
  expect_blocks_cover(wide);
}

// 40 x 150: enough columns for a window.
Parameter packed(std::uint64_t seed = 1) {
  Parameter W = drawn(pattern_of(40, 150, Density::half, seed), Storage::csr);
  W.pack_for_latency();
  return W;
}

TEST(Parameter, Invariant5ThePackedCopyHoldsEveryWeightAndZeros) {
  if (!kernels::has_slices()) GTEST_SKIP() << "nothing is ever packed on this processor";
  const Parameter W = packed();
  std::vector<Real> in_csr(W.value().begin(), W.value().end()), in_packed(W.packed().begin(), W.packed().end());
  EXPECT_EQ(W.packed().size(), W.pattern()->derived<Slices>().steps() * Slices::lanes);
  std::erase(in_packed, Real{0});
  std::ranges::sort(in_csr);
  std::ranges::sort(in_packed);
  EXPECT_EQ(in_csr, in_packed);
}

TEST(Parameter, Invariant5WhateverMayChangeAWeightDropsThePackedCopy) {
  if (!kernels::has_slices()) GTEST_SKIP() << "nothing is ever packed on this processor";
  const std::vector<Index> some{0, 3, 4};
  const auto dropped_by = [](auto&& change) {
    Parameter W = packed();
    EXPECT_FALSE(W.packed().empty());
    change(W);
    return W.packed().empty();
  };
  EXPECT_TRUE(dropped_by([](Parameter& W) { W.value(); }));
  EXPECT_TRUE(dropped_by([](Parameter& W) { W.unpack(); }));
  EXPECT_TRUE(dropped_by([](Parameter& W) { W.become(W.pattern(), Storage::csr); }));
  EXPECT_TRUE(dropped_by([](Parameter& W) { W.become(pattern_of(40, 150, Density::half, 2), Storage::csr); }));
  EXPECT_TRUE(dropped_by([](Parameter& W) { W.become(nullptr, Storage::dense); }));
  EXPECT_TRUE(dropped_by([&](Parameter& W) { W.select(some, some); }));
  EXPECT_FALSE(dropped_by([](Parameter& W) { std::as_const(W).value(); }));
  EXPECT_FALSE(dropped_by([](Parameter& W) { W.slot("m")[0] = 1; }));
  EXPECT_FALSE(dropped_by([&](Parameter& W) { EXPECT_THROW(W.select({}, some), UsageError); }));
  EXPECT_FALSE(dropped_by(
      [](Parameter& W) { EXPECT_THROW(W.become(pattern_of(40, 151, Density::half), Storage::csr), UsageError); }));
}

TEST(Parameter, Invariant5PackingAgainPacksTheNewWeights) {
  if (!kernels::has_slices()) GTEST_SKIP() << "nothing is ever packed on this processor";
  Parameter W = packed();
  for (Real& weight : W.value()) weight = 2;
  W.pack_for_latency();
  for (const Real weight : W.packed()) EXPECT_TRUE(weight == 2 || weight == 0);
}

TEST(Parameter, PacksNothingWhereItDoesNotPay) {
  for (const Storage storage : {Storage::dense, Storage::masked}) {
    Parameter W = drawn(Pattern::full(40, 150), storage);
    W.pack_for_latency();
    EXPECT_TRUE(W.packed().empty());
  }
  Parameter narrow = drawn(pattern_of(40, 63, Density::half), Storage::csr);
  Parameter almost_empty = drawn(pattern_of(40, 150, Density::one_weight), Storage::csr);
  for (Parameter* W : {&narrow, &almost_empty}) {
    W->pack_for_latency();
    EXPECT_TRUE(W->packed().empty());
  }
}

TEST(Parameter, ForEachWeightGoesThroughLiveWeightsInRowMajorOrder) {
  for (const Storage storage : all_storages) {
    const PatternPtr pattern = pattern_of(5, 7, storage == Storage::dense ? Density::full : Density::half);
    const Parameter W = drawn(pattern, storage);
    std::vector<Index> positions;
    Index slot = 0;
    W.for_each_weight([&](Index r, Index c, Index at) {
      positions.push_back(r * 7 + c);
      EXPECT_EQ(at, storage == Storage::csr ? slot++ : r * 7 + c);
    });
    EXPECT_EQ(*Pattern::from_positions(5, 7, positions), *pattern);
  }
}

TEST(Storage, HasANameForPeople) {
  EXPECT_EQ(name_of(Storage::dense), "dense");
  EXPECT_EQ(name_of(Storage::masked), "masked");
  EXPECT_EQ(name_of(Storage::csr), "csr");
}

}  // namespace
}  // namespace espalier
