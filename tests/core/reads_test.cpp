// What a matrix reads, by hand: nodes are recorded here as a layer would record them, with numbers one can follow.
#include "espalier/core/reads.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/tape.h"

namespace espalier {
namespace {

using Numbers = std::vector<Real>;

// One sample of this shape: 1, 2, 3 ...
Tile counting_tile(const Shape& shape, Index lanes = 1) {
  Tile tile;
  tile.input = Tensor(shape, {lanes, lanes});
  for (Index i = 0; i < shape.features(); ++i)
    for (Index lane = 0; lane < lanes; ++lane) tile.input.row(i)[lane] = static_cast<Real>(i + 1);
  return tile;
}

// A node of a matrix W [rows, cols] that reads so; its value, of this shape, is 10, 20, 30 ...
struct Recorded {
  Parameter W;
  Tape tape;

  Recorded(const Shape& input, Index rows, Index cols, const Shape& value, Reads reads) : W("W", rows, cols) {
    reads.W = &W;
    const Var x = tape.begin(counting_tile(input), {});
    Tensor y = tape.make(value);
    for (Index i = 0; i < value.features(); ++i) *y.row(i) = static_cast<Real>(10 * (i + 1));
    tape.record({.operation = "test", .inputs = {x}, .parameters = {&W}, .reads = {reads}}, y, [](Tape&, Tensor&) {});
  }
  const Node& node() const { return tape.node(1); }
  std::vector<Numbers> operands() const {
    std::vector<Numbers> all;
    for_each_operand(tape, node(), node().reads[0], [&](const Operand& operand) {
      EXPECT_EQ(operand.position, std::ssize(all) % operands_of(tape, node(), node().reads[0]));
      Numbers& x = all.emplace_back();
      for (Index i = 0; i < operand.x.features(); ++i) x.push_back(*operand.x.row(i));
    });
    return all;
  }
  // "from -> to" of a weight.
  std::string edge(Index row, Index column) const {
    const Edge edge = Edges(tape, node(), node().reads[0])(row, column);
    return fmt::format("{} -> {}", edge.from, edge.to);
  }
};

TEST(Reads, FeaturesAreTheWholeOperand) {
  const Recorded flat({3}, 2, 3, {2}, {.kind = Features{}});
  EXPECT_EQ(flat.operands(), (std::vector<Numbers>{{1, 2, 3}}));
  EXPECT_EQ(flat.edge(1, 2), "2 -> 1");
}

TEST(Reads, AFeatureOfAnImageBelongsToItsChannelAndOneOfASequenceToTheFeatureOfAStep) {
  const Recorded image({2, 1, 3}, 4, 6, {4}, {.kind = Features{}}), sequence({3, 2}, 4, 6, {4}, {.kind = Features{}});
  EXPECT_EQ(image.operands(), (std::vector<Numbers>{{1, 2, 3, 4, 5, 6}}));
  EXPECT_EQ(image.edge(3, 2), "0 -> 3");
  EXPECT_EQ(image.edge(3, 3), "1 -> 3");
  EXPECT_EQ(sequence.edge(3, 2), "0 -> 3");
  EXPECT_EQ(sequence.edge(3, 3), "1 -> 3");
}

TEST(Reads, StepsAreNeighboursWithZerosBeyondBothEnds) {
  const Recorded node({3, 2}, 5, 6, {2, 5}, {.kind = Steps{{.kernel = 3, .stride = 2, .padding = 1}}});
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{0, 0, 1, 2, 3, 4}, {3, 4, 5, 6, 0, 0}}));
  EXPECT_EQ(node.edge(4, 3), "1 -> 4");
}

TEST(Reads, PatchesAreGatheredByGroup) {
  // Two channels of 2 x 2 pixels, 1 2 3 4 and 5 6 7 8; a window of 1 x 2 taps, one column of padding on each side.
  const Window window{.kernel_height = 1, .kernel_width = 2, .stride = 2, .padding_width = 1, .groups = 2};
  const Recorded node({2, 2, 2}, 4, 2, {4, 1, 2}, {.kind = Patches{window}});
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{0, 1}, {2, 0}, {0, 5}, {6, 0}}));
  EXPECT_EQ(node.edge(1, 1), "0 -> 1");
  EXPECT_EQ(node.edge(2, 0), "1 -> 2");
}

TEST(Reads, AConvolutionsGridIsThatBeforeWhateverPoolingIsFused) {
  const Window window{.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};
  const Recorded node({2, 4, 4}, 3, 18, {3, 2, 2}, {.kind = Patches{window}});
  EXPECT_EQ(operands_of(node.tape, node.node(), node.node().reads[0]), 16);
}

TEST(Reads, StatesAreZeroAndThenTheNodesOwnButTheLast) {
  const Recorded node({3, 6}, 6, 2, {3, 2}, {.kind = States{}});
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{0, 0}, {10, 20}, {30, 40}}));
  EXPECT_TRUE(node.node().reads[0].inside());
}

TEST(Reads, TokensAreOneHot) {
  const Recorded node({2}, 3, 4, {2, 3}, {.kind = Tokens{}});  // the sample is 1, 2
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{0, 1, 0, 0}, {0, 0, 1, 0}}));
  EXPECT_EQ(node.edge(2, 3), fmt::format("{} -> 2", Edge::all)) << "any token leads to every feature";
}

TEST(Reads, ALookupTableWithARowForEachTokenIsUsedTransposed) {
  const Recorded node({2}, 4, 3, {2, 3}, {.kind = Tokens{}, .transposed = true});
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{0, 1, 0, 0}, {0, 0, 1, 0}}));
  EXPECT_EQ(node.edge(3, 2), fmt::format("{} -> 2", Edge::all));
}

TEST(Reads, OfATransposedConvolutionAreThePixels) {
  // Two channels of 1 x 2 pixels become four of 2 x 4: a row is a channel of the operand, a column a channel of the
  // result and a tap, and the groups are apart.
  const Window window{.kernel_height = 2, .kernel_width = 2, .stride = 2, .groups = 2};
  const Recorded node({2, 1, 2}, 2, 8, {4, 2, 4}, {.kind = Patches{window}, .transposed = true});
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{1, 0}, {2, 0}, {0, 3}, {0, 4}}));
  EXPECT_EQ(node.edge(0, 7), "0 -> 1");
  EXPECT_EQ(node.edge(1, 7), "1 -> 3");
  const Sliding sliding = sliding_of(node.tape, node.node(), node.node().reads[0]);
  EXPECT_EQ(sliding.grid, (Shape{2, 1, 2}));
  EXPECT_EQ(sliding.image, (Shape{4, 2, 4}));
}

TEST(Reads, AnEntryMayBringAnOperandOfTheNodesOwn) {
  Tensor own({2, 2}, {1, 1});
  std::iota(own.data(), own.data() + 4, Real{7});
  const Recorded node({3}, 3, 2, {2, 3}, {.kind = Steps{}, .input = Reads::own, .operand = own});
  EXPECT_EQ(node.operands(), (std::vector<Numbers>{{7, 8}, {9, 10}}));
  EXPECT_TRUE(node.node().reads[0].inside());
}

TEST(Reads, OfAnImageInsideAHaloAreTheNumbersInside) {
  Tile tile;
  tile.input = Tensor({1, 2, 2}, {1, 1}, {1, 1});
  for (Index i = 0; i < 4; ++i) *tile.input.row(i) = static_cast<Real>(i + 1);
  Parameter W("W", 1, 4);
  Tape tape;
  const Var x = tape.begin(tile, {});
  tape.record({.operation = "test", .inputs = {x}, .parameters = {&W}, .reads = {{&W, Features{}}}}, tape.make({1}),
              [](Tape&, Tensor&) {});
  for_each_operand(tape, tape.node(1), tape.node(1).reads[0], [](const Operand& operand) {
    EXPECT_EQ(Numbers(operand.x.data(), operand.x.data() + 4), (Numbers{1, 2, 3, 4}));
  });
}

TEST(Reads, PixelsOfTapsBeyondTheImageAreNone) {
  const Window window{.kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};
  const Shape image{1, 2, 3};
  EXPECT_EQ(pixel_of_tap(window, image, 0, 0, 0), -1);
  EXPECT_EQ(pixel_of_tap(window, image, 0, 0, 4), 0);
  EXPECT_EQ(pixel_of_tap(window, image, 1, 2, 3), 4);
  EXPECT_EQ(pixel_of_tap(window, image, 1, 2, 5), -1);
}

// --- on the tape -----------------------------------------------------------------------------------------------------

TEST(Reads, RecordingRefusesAPrunableMatrixThatSaysNothing) {
  const Parameter W("W", 2, 3), U("U", 2, 2), b("b", 2, 1, Role::bias), gamma("gamma", 2, 1, Role::scale);
  const Tile tile = counting_tile({3});
  Tape tape;
  const Var x = tape.begin(tile, {});
  const auto record = [&](std::initializer_list<const Parameter*> parameters, std::initializer_list<Reads> reads) {
    tape.record({.operation = "test", .inputs = {x}, .parameters = parameters, .reads = reads}, tape.make({2}),
                [](Tape&, Tensor&) {});
  };
  EXPECT_THROW(record({&W}, {}), UsageError);
  EXPECT_THROW(record({&W, &U}, {{&W, Features{}}}), UsageError);
  EXPECT_THROW(record({&W}, {{.W = &W, .input = 1}}), UsageError) << "there is no second input";
  EXPECT_NO_THROW(record({&W, &b, &gamma}, {{&W, Features{}}}));
  EXPECT_NO_THROW(record({&W, &U, nullptr}, {{&W, Features{}}, {&U, States{}}, {nullptr, States{}}}));
  EXPECT_NO_THROW(record({&b}, {}));
}

TEST(Reads, ANodeMayHaveSeveralMatricesAndEachIsVisited) {
  const Parameter W("W", 2, 3), U("U", 2, 2), fixed("fixed", 2, 3, Role::bias);
  const Tile tile = counting_tile({3});
  Tape tape;
  const Var x = tape.begin(tile, {});
  tape.record({.operation = "test",
               .inputs = {x},
               .parameters = {&W, &U, &fixed},
               .reads = {{&W, Features{}}, {&U, States{}}, {&fixed, Features{}}}},
              tape.make({1, 2}), [](Tape&, Tensor&) {});
  std::vector<const Parameter*> seen;
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    EXPECT_EQ(&node, &tape.node(1));
    seen.push_back(reads.W);
  });
  EXPECT_EQ(seen, (std::vector<const Parameter*>{&W, &U})) << "what is not prunable is not visited";
}

TEST(Reads, AnOperandOfTheNodesOwnGoesBackToThePool) {
  const Parameter W("W", 2, 2);
  const Tile tile = counting_tile({2}, 16);
  Tape tape;
  std::size_t bytes = 0;
  for (int step = 0; step < 3; ++step) {
    const Var x = tape.begin(tile, {});
    tape.record({.operation = "test",
                 .inputs = {x},
                 .parameters = {&W},
                 .reads = {{.W = &W, .input = Reads::own, .operand = tape.make({2})}}},
                tape.make({2}), [](Tape&, Tensor&) {});
    if (step == 0) bytes = tape.bytes();
    EXPECT_EQ(tape.bytes(), bytes);
  }
}

}  // namespace
}  // namespace espalier
