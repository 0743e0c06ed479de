#include "espalier/core/settle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/threads.h"
#include "reference/products.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::all_storages;
using testing::Density;
using testing::epsilon;
using testing::nan;
using testing::normal_tensor;
using testing::pattern_of;
using testing::same_bits;

constexpr Index rows = 700, cols = 211, lanes = 16, tile_count = 3;

// Three tapes that owe W one pair each, and b a direct gradient each; the last tile is ragged.
struct Owing {
  Parameter W{"W", rows, cols}, b{"b", rows, 1, Role::bias};
  std::vector<std::unique_ptr<Tape>> tapes;
  std::vector<Tape*> order;
  std::vector<Tensor> dY, X, db;

  explicit Owing(Storage storage) {
    W.become(pattern_of(rows, cols, storage == Storage::dense ? Density::full : Density::half), storage);
    for (Index t = 0; t < tile_count; ++t) {
      const Index valid = t + 1 == tile_count ? 5 : lanes;
      const auto seed = static_cast<std::uint64_t>(t);
      dY.push_back(normal_tensor({rows}, {lanes, valid}, "dY", seed));
      X.push_back(normal_tensor({cols}, {lanes, valid}, "X", seed));
      db.push_back(normal_tensor({rows}, {1, 1}, "db", seed));
      Tape& tape = *tapes.emplace_back(std::make_unique<Tape>());
      tape.owe_outer(dY.back(), X.back(), W);
      tape.owe(db.back(), b);
      order.push_back(&tape);
    }
  }
  std::vector<Parameter*> parameters() { return {&W, &b}; }
};

// Settles the blocks in the given order, on so many threads.
std::vector<Real> settled(const Ledger& ledger, std::size_t at, const Parameter& W, std::vector<Index> block_order,
                          int threads) {
  std::vector<Real> G(W.value().size(), nan);
  parallel_for(static_cast<Index>(block_order.size()), threads, [&](Index i) {
    const auto b = static_cast<std::size_t>(block_order[i]);
    const RowBlock& block = W.blocks()[b];
    ledger.settle(at, b, std::span(G).subspan(block.first, block.weights()));
  });
  return G;
}

std::vector<Index> in_order(const Parameter& W) {
  std::vector<Index> order(W.blocks().size());
  std::iota(order.begin(), order.end(), 0);
  return order;
}

TEST(Ledger, TheGradientIsTheSumOverTilesOfWhatTheyOwe) {
  for (const Storage storage : all_storages) {
    SCOPED_TRACE(name_of(storage));
    Owing owing(storage);
    Ledger ledger(owing.parameters());
    ledger.collect(owing.order);
    std::vector<OuterPair> pairs;
    for (std::size_t t = 0; t < tile_count; ++t) pairs.push_back({&owing.dY[t], &owing.X[t]});
    const reference::Matrix exact = reference::outer(owing.W, pairs);
    const std::vector<Real> G = settled(ledger, 0, owing.W, in_order(owing.W), 1);
    owing.W.for_each_weight([&](Index r, Index c, Index at) {
      ASSERT_LE(std::abs(G[at] - exact.at(r, c).value), 4 * epsilon * exact.at(r, c).magnitude);
    });
  }
}

TEST(Ledger, DirectGradientsAreAddedInTheOrderOfTheTapes) {
  Owing owing(Storage::dense);
  Ledger ledger(owing.parameters());
  ledger.collect(owing.order);
  std::vector<Real> expected(rows, 0), reversed(rows, 0);
  for (Index r = 0; r < rows; ++r)
    for (std::size_t t = 0; t < tile_count; ++t) {
      expected[r] += owing.db[t].row(r)[0];
      reversed[r] += owing.db[tile_count - 1 - t].row(r)[0];
    }
  EXPECT_TRUE(same_bits(settled(ledger, 1, owing.b, in_order(owing.b), 1), expected));
  ASSERT_FALSE(same_bits(expected, reversed)) << "the numbers cannot tell one order from another";
  std::ranges::reverse(owing.order);
  ledger.collect(owing.order);
  EXPECT_TRUE(same_bits(settled(ledger, 1, owing.b, in_order(owing.b), 1), reversed));
}

TEST(Ledger, OneTapeMayOweAParameterSeveralTimes) {
  Parameter W("W", 5, 7);
  Tape tape;
  const Tensor dY = normal_tensor({5}, {16, 16}, "dY"), X = normal_tensor({7}, {16, 16}, "X");
  tape.owe_outer(dY, X, W);
  tape.owe_outer(dY, X, W);
  std::vector<Parameter*> parameters{&W};
  Ledger ledger(parameters);
  std::vector<Tape*> tapes{&tape};
  ledger.collect(tapes);
  const std::vector<OuterPair> twice(2, OuterPair{&dY, &X});
  const reference::Matrix exact = reference::outer(W, twice);
  const std::vector<Real> G = settled(ledger, 0, W, {0}, 1);
  for (Index r = 0; r < 5; ++r)
    for (Index c = 0; c < 7; ++c)
      EXPECT_LE(std::abs(G[r * 7 + c] - exact.at(r, c).value), 4 * epsilon * exact.at(r, c).magnitude);
}

TEST(Ledger, TheOrderOfBlocksAndTheNumberOfThreadsChangeNoBit) {
  for (const Storage storage : all_storages) {
    Owing owing(storage);
    Ledger ledger(owing.parameters());
    ledger.collect(owing.order);
    std::vector<Index> order = in_order(owing.W);
    ASSERT_GT(order.size(), 1u);
    const std::vector<Real> expected = settled(ledger, 0, owing.W, order, 1);
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      Random(seed, "blocks").shuffle(std::span(order));
      EXPECT_TRUE(same_bits(settled(ledger, 0, owing.W, order, 1), expected));
      EXPECT_TRUE(same_bits(settled(ledger, 0, owing.W, order, 4), expected));
    }
  }
}

TEST(Ledger, WhatNobodyOwesIsZero) {
  for (const Storage storage : all_storages) {
    Owing owing(storage);
    Ledger ledger(owing.parameters());
    EXPECT_FALSE(ledger.owes(0));
    EXPECT_EQ(settled(ledger, 0, owing.W, in_order(owing.W), 1), std::vector<Real>(owing.W.value().size(), 0));
    ledger.collect(owing.order);
    EXPECT_TRUE(ledger.owes(0));
    EXPECT_TRUE(ledger.owes(1));
    ledger.collect({});
    EXPECT_FALSE(ledger.owes(0)) << "collecting forgets what was known";
    EXPECT_FALSE(ledger.owes(1));
    EXPECT_EQ(settled(ledger, 1, owing.b, in_order(owing.b), 1), std::vector<Real>(rows, 0));
  }
}

TEST(Ledger, RefusesAParameterItDoesNotListAndOneListedTwice) {
  Owing owing(Storage::dense);
  std::vector<Parameter*> without_bias{&owing.W}, doubled{&owing.W, &owing.W};
  Ledger ledger(without_bias);
  EXPECT_THROW(ledger.collect(owing.order), UsageError);
  EXPECT_THROW(Ledger{doubled}, UsageError);
}

}  // namespace
}  // namespace espalier
