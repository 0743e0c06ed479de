#include "espalier/core/tape.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/core/threads.h"
#include "espalier/layers/activations.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "support/batch_pass.h"
#include "support/steady_state.h"

namespace espalier {
namespace {

using testing::make_tiles;
using testing::same_bits;
using testing::valid_numbers;

// y = factor x, recorded with an attribute; counts how often it goes back.
Var scaled(const Var& x, Real factor, int* went_back = nullptr) {
  Tape& tape = x.tape();
  Tensor y = tape.make(x.shape());
  for (Index i = 0; i < y.features(); ++i)
    for (Index lane = 0; lane < y.lanes(); ++lane) y.row(i)[lane] = factor * x.value().row(i)[lane];
  return tape.record({.operation = "scaled", .inputs = {x}}, y, [x, factor, went_back](Tape& t, Tensor& dY) {
    if (went_back) ++*went_back;
    for (Index i = 0; i < dY.features(); ++i)
      for (Index lane = 0; lane < dY.lanes(); ++lane) dY.row(i)[lane] *= factor;
    t.give_gradient(x, std::move(dY));
  });
}

std::unique_ptr<Sequential> some_model() {
  auto model = std::make_unique<Sequential>();
  model->add<Linear>(LinearOptions{.name = "fc1", .in = 20, .out = 30, .activation = Activation::relu}, 1)
      .add<Dropout>("drop", Real{0.5})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 30, .out = 10}, 1);
  return model;
}

TEST(Tape, NodesKeepOperationInputsParametersReadsAndValue) {
  Parameter W("W", 4, 3), b("b", 4, 1, Role::bias);
  const std::vector<Tile> tiles = make_tiles({3}, 16, 16);
  Tape tape;
  const Var x = tape.begin(tiles[0], {});
  const Var y = linear(x, W, &b, Activation::relu);
  const Var z = testing::sum(y, scaled(y, Real{2.5}));
  ASSERT_EQ(tape.nodes(), 4u);
  EXPECT_EQ(tape.node(0).operation, std::string("input"));
  EXPECT_TRUE(tape.node(0).inputs.empty());
  EXPECT_EQ(tape.node(1).operation, std::string("linear"));
  EXPECT_EQ(tape.node(1).inputs, std::vector<int>{0});
  EXPECT_EQ(tape.node(1).parameters, (std::vector<const Parameter*>{&W, &b}));
  ASSERT_EQ(tape.node(1).reads.size(), 1u);
  EXPECT_EQ(tape.node(1).reads[0].W, &W);
  EXPECT_EQ(tape.node(2).operation, std::string("scaled"));
  EXPECT_TRUE(tape.node(2).reads.empty());
  EXPECT_EQ(tape.node(3).operation, std::string("sum"));
  EXPECT_EQ(tape.node(3).inputs, (std::vector<int>{1, 2}));
  EXPECT_EQ(z.node(), 3);
  EXPECT_EQ(tape.node(3).value.data(), z.value().data());
}

TEST(Tape, AMissingParameterIsNotRecorded) {
  Parameter W("W", 4, 3);
  const std::vector<Tile> tiles = make_tiles({3}, 16, 16);
  Tape tape;
  linear(tape.begin(tiles[0], {}), W, nullptr);
  EXPECT_EQ(tape.node(1).parameters, std::vector<const Parameter*>{&W});
}

TEST(Tape, NodesCountTheFlopsOfTheirForward) {
  Parameter W("W", 4, 3);
  const std::vector<Tile> tiles = make_tiles({3}, 9, 16);
  Tape tape;
  scaled(linear(tape.begin(tiles[0], {}), W, nullptr), 2);
  EXPECT_EQ(tape.node(1).forward_flops.executed, 2u * 12 * 16);
  EXPECT_EQ(tape.node(1).forward_flops.useful, 2u * 12 * 9);
  EXPECT_EQ(tape.node(2).forward_flops.executed, 0u);
}

TEST(Tape, BackwardStartsWithOneOverTheDenominatorOnValidLanesOnly) {
  const std::vector<Tile> tiles = make_tiles({1}, 9, 16);
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  tape.backward(scaled(x, 3), 12);
  const Tensor& dX = tape.node(0).gradient;
  for (Index lane = 0; lane < 9; ++lane) EXPECT_EQ(dX.row(0)[lane], 3 * (1 / Real{12}));
  for (Index lane = 9; lane < 16; ++lane) EXPECT_EQ(dX.row(0)[lane], 0);
}

TEST(Tape, GivingAGradientAddsWhereThereIsOneAlready) {
  const std::vector<Tile> tiles = make_tiles({5}, 16, 16);
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  tape.give_gradient(x, testing::normal_tensor({5}, {16, 16}, "first"));
  tape.give_gradient(x, testing::normal_tensor({5}, {16, 16}, "second"));
  const Tensor first = testing::normal_tensor({5}, {16, 16}, "first"),
               second = testing::normal_tensor({5}, {16, 16}, "second");
  for (Index n = 0; n < 80; ++n) EXPECT_EQ(tape.node(0).gradient.data()[n], first.data()[n] + second.data()[n]);
}

TEST(Tape, TheSecondConsumerIsAskedToAdd) {
  const std::vector<Tile> tiles = make_tiles({5}, 16, 16);
  Tape tape;
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  const auto first = tape.gradient_of(x);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->write, Write::overwrite);
  const auto second = tape.gradient_of(x);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->write, Write::add);
  EXPECT_EQ(second->tensor->data(), first->tensor->data());
}

TEST(Tape, NoWorkIsDoneForGradientsThatNobodyNeeds) {
  const std::vector<Tile> tiles = make_tiles({3}, 16, 16);
  Parameter W("W", 1, 3);
  Tape tape;
  int before_weights = 0, after_weights = 0, aside = 0;
  const Var x = tape.begin(tiles[0], {});
  const Var loss = scaled(linear(scaled(x, 2, &before_weights), W, nullptr), 2, &after_weights);
  scaled(loss, 2, &aside);
  tape.backward(loss, 1);
  EXPECT_EQ(before_weights, 0) << "nothing before it has parameters";
  EXPECT_EQ(after_weights, 1);
  EXPECT_EQ(aside, 0) << "the loss does not depend on it";
  EXPECT_EQ(tape.debts().size(), 1u);
  EXPECT_FALSE(tape.gradient_of(x));
}

TEST(Tape, Invariant1AGradientBufferBelongsToOneNode) {
  // Two consumers change what they were given in place; neither may disturb the other.
  const std::vector<Tile> tiles = make_tiles({1}, 16, 16);
  Tape tape(/*poison=*/true);
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  tape.backward(testing::sum(scaled(x, 3), scaled(scaled(x, 5), 7)), 1);
  for (Index lane = 0; lane < 16; ++lane) EXPECT_EQ(tape.node(0).gradient.row(0)[lane], 3 + 5 * 7);
}

TEST(Tape, Invariant1GivingAwayAGradientThatSomebodyElseHoldsIsCaughtInDebugBuilds) {
  const std::vector<Tile> tiles = make_tiles({1}, 16, 16);
  Tape tape;
  const Var x = tape.begin(tiles[0], {.input_gradient = true});
  const Tensor held = tape.make({1});
  EXPECT_DEBUG_DEATH(tape.give_gradient(x, held), "invariant 1");
}

TEST(Tape, Invariant2TheSecondStepAllocatesNothing) {
  const auto model = some_model();
  testing::SteadyState training(*model, make_tiles({20}, 75, 16));
#ifndef ESPALIER_ALLOCATIONS_ARE_NOT_COUNTED
  EXPECT_GT(training.step(), 0u) << "the counter counts";
#endif
  for (int step = 0; step < 3; ++step) EXPECT_EQ(training.step(), 0u);
}

TEST(Tape, Invariant2ARaggedTileReusesTheBuffersOfAFullOne) {
  const auto model = some_model();
  const std::vector<Tile> full = make_tiles({20}, 16, 16), ragged = make_tiles({20}, 3, 16);
  Tape tape;
  const auto step = [&](const Tile& tile) {
    tape.backward(testing::linear_functional(model->forward(tape.begin(tile, {}))), 1);
    return tape.bytes();
  };
  const std::size_t bytes = step(full[0]);
  EXPECT_EQ(step(ragged[0]), bytes);
  EXPECT_EQ(step(full[0]), bytes);
}

TEST(Tape, BeginForgetsTheStepBefore) {
  const auto model = some_model();
  const std::vector<Tile> tiles = make_tiles({20}, 16, 16);
  Tape tape;
  tape.backward(testing::linear_functional(model->forward(tape.begin(tiles[0], {}))), 1);
  EXPECT_FALSE(tape.debts().empty());
  tape.begin(tiles[0], {});
  EXPECT_EQ(tape.nodes(), 1u);
  EXPECT_TRUE(tape.debts().empty());
  EXPECT_FALSE(tape.node(0).gradient);
}

TEST(Tape, Invariant3InferenceRecordsNothingAndRecyclesBuffers) {
  const std::vector<Tile> tiles = make_tiles({20}, 16, 16);
  Tape tape;
  Var x = tape.begin(tiles[0], {.mode = Mode::inference});
  for (int layer = 0; layer < 10; ++layer) x = scaled(x, 2);
  EXPECT_EQ(tape.nodes(), 0u);
  EXPECT_EQ(x.node(), -1);
  EXPECT_EQ(tape.bytes(), 2 * 20 * 16 * sizeof(Real)) << "ten layers, two buffers in turn";
  EXPECT_EQ(x.value().row(7)[3], tiles[0].input.row(7)[3] * 1024);
}

TEST(Tape, Invariant4ObservationsStayUntilTheNextStepInTheOrderTheyWereMade) {
  const std::vector<Tile> tiles = make_tiles({3}, 16, 16);
  Tape tape;
  const int first = 0, second = 0;
  tape.begin(tiles[0], {});
  for (const int* owner : {&second, &first, &second}) {
    Tensor numbers = tape.make_numbers(2);
    numbers.fill(owner == &first ? Real{1} : Real{2});
    tape.observe(owner, std::move(numbers), 48);
  }
  ASSERT_EQ(tape.observations().size(), 3u);
  EXPECT_EQ(tape.observations()[0].owner, &second);
  EXPECT_EQ(tape.observations()[1].owner, &first);
  EXPECT_EQ(tape.observations()[1].statistics.data()[1], 1);
  EXPECT_EQ(tape.observations()[2].statistics.data()[0], 2);
  EXPECT_EQ(tape.observations()[2].values, 48);
  tape.begin(tiles[0], {});
  EXPECT_TRUE(tape.observations().empty());
}

TEST(Put, WritesOrAddsWhateverTheHalos) {
  const Shape image{2, 3, 4};
  const Lanes lanes{16, 16};
  const Tensor plain = testing::normal_tensor(image, lanes, "put");
  for (const Halo from : {Halo{}, Halo{1, 2}})
    for (const Halo to : {Halo{}, Halo{2, 1}}) {
      Tensor x(image, lanes, from), y(image, lanes, to);
      put(plain, x, Write::overwrite);
      y.fill(testing::nan);
      put(x, y, Write::overwrite);
      EXPECT_TRUE(same_bits(valid_numbers(y), valid_numbers(plain)));
      put(x, y, Write::add);
      for (Index i = 0; i < y.features(); ++i) EXPECT_EQ(y.row(i)[3], 2 * plain.row(i)[3]);
    }
}

TEST(Tape, TimesNodesOnlyWhenAskedTo) {
  const auto model = some_model();
  const std::vector<Tile> tiles = make_tiles({20}, 16, 16);
  Tape tape;
  model->forward(tape.begin(tiles[0], {.timed = true}));
  double seconds = 0;
  for (std::size_t i = 0; i < tape.nodes(); ++i) seconds += tape.node(i).forward_seconds;
  EXPECT_GT(seconds, 0);
}

TEST(Tape, ForwardIsReentrantEightTapesAtOnceGiveTheBitsOfOneAfterTheOther) {
  const auto model = some_model();
  const std::vector<Tile> tiles = make_tiles({20}, 8 * 16 - 5, 16);
  ASSERT_EQ(tiles.size(), 8u);
  const testing::Pass serial = testing::run_batch(*model, tiles, {.threads = 1});
  for (int repeat = 0; repeat < 10; ++repeat)
    testing::expect_identical(serial, testing::run_batch(*model, tiles, {.threads = 8}));
}

TEST(Backward, RunsWhatWasSetAndDestroysItOnce) {
  struct Counted {
    std::shared_ptr<int> alive;
    void operator()(Tape&, Tensor&) { ++*alive; }
  };
  const auto calls = std::make_shared<int>(0);
  Tape tape;
  Tensor dY({1}, {16, 16});
  {
    Backward backward;
    EXPECT_FALSE(backward);
    backward.set(Counted{calls});
    EXPECT_TRUE(backward);
    backward(tape, dY);
    EXPECT_EQ(*calls, 1);
    EXPECT_EQ(calls.use_count(), 2);
    backward.set(Counted{calls});
    EXPECT_EQ(calls.use_count(), 2) << "the one before is gone";
  }
  EXPECT_EQ(calls.use_count(), 1);
}

}  // namespace
}  // namespace espalier
