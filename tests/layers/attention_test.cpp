// What attention promises besides the contract: that it is the function it says.
#include "espalier/layers/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "espalier/core/error.h"
#include "reference/lanewise.h"
#include "support/batch_pass.h"
#include "support/forced_target.h"

namespace espalier {
namespace {

using reference::Numbers;
using reference::Wide;
using testing::make_tiles;

constexpr Index T = 5, D = 6;

// A tile of this input.
Tile tile_of(const Tensor& x) {
  Tile tile;
  tile.input = x;
  return tile;
}

// Features `first` to first + count - 1 of each step of one lane.
reference::Rows steps_of(const Tensor& x, Index lane, Index first, Index count) {
  reference::Rows steps;
  for (Index t = 0; t < x.shape()[0]; ++t) {
    Numbers& step = steps.emplace_back();
    for (Index j = first; j < first + count; ++j) step.push_back(x.row(t * x.shape()[1] + j)[lane]);
  }
  return steps;
}

TEST(Attention, IsItsDefinitionForEveryHeadOnEveryTarget) {
  for (const std::int64_t target : testing::targets()) {
    const testing::ForcedTarget forced(target);
    for (const bool causal : {false, true})
      for (const Index heads : {1, 2, 6})
        for (const Index lanes : {16, 1}) {
          SCOPED_TRACE(::testing::Message() << kernels::target_name(target) << ", heads " << heads << ", " << lanes);
          const Tensor q = testing::normal_tensor({T, D}, {lanes, lanes}, "q"),
                       k = testing::normal_tensor({T, D}, {lanes, lanes}, "k"),
                       v = testing::normal_tensor({T, D}, {lanes, lanes}, "v");
          Tape tape;
          const Var first = tape.begin(tile_of(q), {});
          const auto leaf = [&](const Tensor& x) {
            return tape.record({.operation = "leaf", .inputs = {first}}, x, [](Tape&, Tensor&) {});
          };
          const Var o = attention(first, leaf(k), leaf(v), {.heads = heads, .causal = causal});
          const Index d = D / heads;
          for (Index lane = 0; lane < lanes; lane += 7)
            for (Index head = 0; head < heads; ++head) {
              const auto part = [&](const Tensor& x) { return steps_of(x, lane, head * d, d); };
              const reference::Rows expected = reference::attention(part(q), part(k), part(v), causal),
                                    got = part(o.value());
              for (Index t = 0; t < T; ++t)
                for (Index j = 0; j < d; ++j)
                  EXPECT_NEAR(got[t][j], expected[t][j], 64 * Wide{testing::epsilon}) << t << ", " << j;
            }
        }
  }
}

// In inference there is one row of scores, which every step fills anew.
TEST(Attention, InferenceKeepsOneRowOfScores) {
  const MultiHeadAttention layer({.features = D, .form = {.heads = 2}}, 1);
  const std::vector<Tile> tiles = make_tiles({T, D}, 16, 16);
  Tape recorded, inference;
  layer.forward(recorded.begin(tiles[0], {.mode = Mode::evaluation}));
  layer.forward(inference.begin(tiles[0], {.mode = Mode::inference}));
  const std::size_t scores = sizeof(Real) * 2 * T * T * 16;
  EXPECT_LE(inference.bytes() + scores, recorded.bytes() + sizeof(Real) * T * 16);
}

std::vector<Real> outputs(const Module& layer, const Tile& tile) {
  Tape tape;
  return testing::valid_numbers(layer.forward(tape.begin(tile, {})).value());
}

TEST(MultiHeadAttention, DoesNotKnowTheOrderOfSteps) {
  const MultiHeadAttention layer({.features = D, .form = {.heads = 3}}, 1);
  Tile tile = make_tiles({T, D}, 16, 16)[0], turned = make_tiles({T, D}, 16, 16)[0];
  for (Index t = 0; t < T; ++t) std::copy_n(tile.input.row(t * D), D * 16, turned.input.row((T - 1 - t) * D));
  const std::vector<Real> a = outputs(layer, tile), b = outputs(layer, turned);
  for (Index t = 0; t < T; ++t)
    for (Index i = 0; i < D * 16; ++i)
      EXPECT_NEAR(a[t * D * 16 + i], b[(T - 1 - t) * D * 16 + i], 64 * testing::epsilon);
}

TEST(MultiHeadAttention, CausalStepsDoNotSeeWhatComesLater) {
  const MultiHeadAttention layer({.features = D, .form = {.heads = 2, .causal = true}}, 1),
      both_ways({.features = D, .form = {.heads = 2}}, 1);
  Tile tile = make_tiles({T, D}, 16, 16)[0], changed = make_tiles({T, D}, 16, 16)[0];
  for (Index i = 3 * D; i < T * D; ++i) std::fill_n(changed.input.row(i), 16, testing::nan);
  const std::vector<Real> before = outputs(layer, tile), after = outputs(layer, changed);
  EXPECT_TRUE(testing::same_bits(std::span(before).first(3 * D * 16), std::span(after).first(3 * D * 16)));
  EXPECT_TRUE(std::isnan(after.back()));
  EXPECT_TRUE(std::isnan(outputs(both_ways, changed).front()));
}

TEST(MultiHeadAttention, CountsScoresAndMixturesBesideTheFourMatrices) {
  const MultiHeadAttention layer({.features = D, .form = {.heads = 2}}, 1),
      causal({.features = D, .form = {.heads = 2, .causal = true}}, 1);
  const std::vector<Tile> tiles = make_tiles({T, D}, 13, 16);
  const auto forward = [&](const Module& module, Mode mode) {
    Tape tape;
    const Var x = tape.begin(tiles[0], {.mode = mode});
    const Flops before = thread_flops();
    module.forward(x);
    return thread_flops() - before;
  };
  for (const Mode mode : {Mode::training, Mode::inference}) {
    EXPECT_EQ(forward(layer, mode).useful, 13u * (4 * T * 2 * D * D + 2 * 2 * T * T * D));
    EXPECT_EQ(forward(layer, mode).executed, 16u * (4 * T * 2 * D * D + 2 * 2 * T * T * D));
    EXPECT_EQ(forward(causal, mode).useful, 13u * (4 * T * 2 * D * D + 2 * 2 * (T * (T + 1) / 2) * D));
  }
}

TEST(MultiHeadAttention, RefusesHeadsThatDoNotDivideAndPatternsThatDoNotFit) {
  EXPECT_THROW(MultiHeadAttention({.features = 6, .form = {.heads = 4}}, 1), UsageError);
  EXPECT_THROW(MultiHeadAttention({.features = 6, .form = {.heads = 0}}, 1), UsageError);
  EXPECT_THROW(MultiHeadAttention({.features = 6, .key_pattern = Pattern::full(6, 5)}, 1), UsageError);
}

}  // namespace
}  // namespace espalier
