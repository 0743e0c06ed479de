#include "espalier/pruning/structure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/pruning/pruner.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

const Structure two_of_four = structure_named("2:4"), wide = structure_named("block:1x4"),
                square = structure_named("block:4x4"), fan_in = structure_named("fan-in"), elements;
const Structure all_structures[] = {elements, two_of_four, wide, square, fan_in};

using Kept = std::vector<std::uint32_t>;

std::vector<Real> drawn(Index count) {
  std::vector<Real> scores;
  for (Index i = 0; i < count; ++i)
    scores.push_back(static_cast<Real>(Random(1, "scores").uniform(static_cast<std::uint64_t>(i))));
  return scores;
}

// The live weights of every group of `positions` consecutive ones.
std::vector<Index> live_in_groups(const Parameter& W, Index positions) {
  std::vector<Index> live(W.positions() / positions, 0);
  W.for_each_weight([&](Index row, Index column, Index) { ++live[(row * W.cols() + column) / positions]; });
  return live;
}

// The live weights of every block.
std::vector<Index> live_in_blocks(const Parameter& W, const Structure& s) {
  std::vector<Index> live(W.positions() / (s.height * s.width), 0);
  W.for_each_weight(
      [&](Index row, Index column, Index) { ++live[row / s.height * (W.cols() / s.width) + column / s.width]; });
  return live;
}

// --- select, by hand ------------------------------------------------------------------------------------------------

TEST(Structure, ElementsAreTopK) {
  const Parameter W("W", 4, 6);
  const std::vector<Real> scores = drawn(24);
  for (const Index keep : {1, 7, 24}) EXPECT_EQ(select(elements, W, scores, keep), top_k(scores, keep));
}

TEST(Structure, TwoOfFourKeepsTheBestTwoOfEveryFourColumns) {
  const Parameter W("W", 2, 8);
  const std::vector<Real> scores{1, 4, 2, 3, /**/ 0, 0, 0, 0, /**/ 9, 8, 7, 6, /**/ 1, 5, 5, 5};
  EXPECT_EQ(select(two_of_four, W, scores, 8), (Kept{1, 3, 4, 5, 8, 9, 13, 14}));
  EXPECT_EQ(select(two_of_four, W, scores, 1), (Kept{1, 3, 4, 5, 8, 9, 13, 14}));                // never fewer
  EXPECT_EQ(select(two_of_four, W, scores, 9), (Kept{1, 2, 3, 4, 5, 6, 8, 9, 10, 13, 14, 15}));  // ceil(9 / 16 * 4)
  EXPECT_EQ(select(two_of_four, W, scores, 16).size(), 16u);
}

TEST(Structure, TwoOfFourKeepsAllOfAGroupThatHasFewer) {
  Parameter W("W", 1, 12);
  W.become(Pattern::from_positions(1, 12, std::vector<Index>{2, 8, 9, 11}), Storage::csr);  // 1, 0 and 3 of four
  EXPECT_EQ(select(two_of_four, W, std::vector<Real>{-1, 1, 3, 2}, 4), (Kept{0, 2, 3}));
}

TEST(Structure, BlocksAreChosenByTheSumOfTheirScores) {
  const Parameter W("W", 2, 4);
  //   9 0 | 3 3        1x2 blocks: 9, 6, 8, 7        2x2: 17, 13
  //   4 4 | 0 7
  const std::vector<Real> scores{9, 0, 3, 3, 4, 4, 0, 7};
  const Structure pairs = structure_named("block:1x2"), columns = structure_named("block:2x1");
  EXPECT_EQ(select(pairs, W, scores, 4), (Kept{0, 1, 4, 5}));
  EXPECT_EQ(select(pairs, W, scores, 7), (Kept{0, 1, 4, 5, 6, 7}));  // a fourth does not fit
  EXPECT_EQ(select(structure_named("block:2x2"), W, scores, 4), (Kept{0, 1, 4, 5}));
  EXPECT_EQ(select(columns, W, scores, 4), (Kept{0, 3, 4, 7}));  // 13, 4, 3, 10
}

TEST(Structure, ABlockCountsItsLiveWeightsOnly) {
  Parameter W("W", 2, 4);
  //   9 . | 3 3
  //   . . | . 7
  W.become(Pattern::from_positions(2, 4, std::vector<Index>{0, 2, 3, 7}), Storage::csr);
  const std::vector<Real> scores{9, 3, 3, 7};
  const Structure pairs = structure_named("block:1x2");  // 9 for one weight, 6 for two, none, 7 for one
  EXPECT_EQ(select(pairs, W, scores, 1), (Kept{0}));
  EXPECT_EQ(select(pairs, W, scores, 3), (Kept{0, 3}));
  EXPECT_EQ(select(pairs, W, scores, 4), (Kept{0, 1, 2, 3}));
}

TEST(Structure, FanInKeepsEquallyManyOfEveryRowAndDropsTheRest) {
  const Parameter W("W", 3, 4);
  const std::vector<Real> scores{1, 2, 3, 4, /**/ 90, 80, 70, 60, /**/ 0, 0, 0, 0};
  EXPECT_EQ(select(fan_in, W, scores, 6), (Kept{2, 3, 4, 5, 8, 9}));
  EXPECT_EQ(select(fan_in, W, scores, 8), (Kept{2, 3, 4, 5, 8, 9}));  // 2 of 8 are over
  EXPECT_EQ(select(fan_in, W, scores, 3), (Kept{3, 4, 8}));
}

// --- properties -----------------------------------------------------------------------------------------------------

TEST(Structure, KeepsExactCountsOfTheLowestIndicesWhenAllScoresTie) {
  const Parameter W("W", 8, 12);
  const std::vector<Real> ties(96, Real{0.5});
  for (Index keep = 1; keep <= 96; ++keep) {
    Kept first(static_cast<std::size_t>(keep));
    std::iota(first.begin(), first.end(), 0u);
    EXPECT_EQ(select(elements, W, ties, keep), first);
    first.resize(first.size() / 4 * 4);
    if (!first.empty()) {
      EXPECT_EQ(select(wide, W, ties, keep), first);  // blocks of a row are in row-major order
    }
    for (const Structure& s : {square, fan_in}) {
      const Index unit = fewest(s, W);
      if (keep < unit) continue;
      EXPECT_EQ(select(s, W, ties, keep).size(), static_cast<std::size_t>(keep / unit * unit));
    }
    const Kept pairs = select(two_of_four, W, ties, keep);
    EXPECT_EQ(pairs.size(), static_cast<std::size_t>(24 * std::max<Index>(2, (keep + 23) / 24)));
    EXPECT_EQ((Kept{pairs[0], pairs[1]}), (Kept{0, 1}));
  }
}

TEST(Structure, KeepsAscendingLiveIndicesInEveryStorage) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Parameter W("W", 8, 12);
    W.become(testing::pattern_of(8, 12, testing::Density::half), storage);
    const std::vector<Real> scores = drawn(W.nonzeros());
    for (const Structure& s : all_structures) {
      const Kept kept = select(s, W, scores, 24);
      EXPECT_TRUE(std::ranges::is_sorted(kept)) << name_of(s);
      EXPECT_EQ(std::ranges::adjacent_find(kept), kept.end()) << name_of(s);
      EXPECT_LT(kept.back(), static_cast<std::uint32_t>(W.nonzeros())) << name_of(s);
    }
  }
}

TEST(Structure, KeepsAllOfADenseLayerAtDensityOne) {
  const Parameter W("W", 8, 12);
  for (const Structure& s : all_structures) EXPECT_EQ(select(s, W, drawn(96), 96).size(), 96u) << name_of(s);
}

TEST(Structure, ErrorsNameLayerAndShape) {
  const auto error_of = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "nothing";
  };
  const Parameter conv("conv1.weight", 20, 25), odd("fc2.weight", 10, 12);
  EXPECT_PRED2(contains, error_of([&] { check(two_of_four, conv); }),
               "2:4: expected the columns of conv1.weight (20 x 25)");
  EXPECT_PRED2(contains, error_of([&] { check(wide, conv); }),
               "block:1x4: expected the rows and columns of conv1.weight");
  EXPECT_PRED2(contains, error_of([&] { check(square, odd); }),
               "block:4x4: expected the rows and columns of fc2.weight");
  for (const Structure& s : {elements, fan_in}) EXPECT_NO_THROW(check(s, conv));
  for (const Structure& s : {two_of_four, wide}) EXPECT_NO_THROW(check(s, odd));
  // Too few to keep any: an error, not an empty layer. `fewest` says how many are enough.
  for (const Structure& s : {wide, fan_in, elements}) {
    EXPECT_PRED2(contains, error_of([&] { select(s, odd, drawn(120), fewest(s, odd) - 1); }), "fc2.weight (10 x 12)");
    EXPECT_EQ(static_cast<Index>(select(s, odd, drawn(120), fewest(s, odd)).size()), fewest(s, odd));
  }
  EXPECT_EQ(fewest(two_of_four, odd), 60);
}

TEST(StructureNamed, IsTheInverseOfNameOfAndListsWhatIsKnown) {
  for (const char* text :
       {"elements", "1:2", "2:4", "7:16", "block:1x4", "block:16x1", "fan-in", "neurons", "channels", "heads", "units"})
    EXPECT_EQ(name_of(structure_named(text)), text);
  EXPECT_EQ(two_of_four.density(), 0.5);
  EXPECT_EQ(square.density(), std::nullopt);
  for (const char* text : {"", "4:2", "4:4", "0:4", "-1:4", "2:", ":4", "2:4:8", "2;4", "block", "block:", "block:4",
                           "block:0x4", "block:4x", "block:4x4x4", "block:4:4", "rows", "2:99999999999999999999"})
    EXPECT_THROW(structure_named(text), UsageError) << text;
  try {
    structure_named("rows");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    for (const char* part : {"elements", "N:M", "block:RxC", "fan-in", "neurons", "heads", "\"rows\""})
      EXPECT_PRED2(contains, error.what(), part);
  }
}

// --- in the pruner --------------------------------------------------------------------------------------------------

struct Model {
  std::vector<Parameter> owned;
  std::vector<Parameter*> list;

  Model() {
    owned.reserve(3);
    owned.emplace_back("fc1.weight", 32, 40);
    owned.emplace_back("fc2.weight", 20, 32);
    owned.emplace_back("output.weight", 12, 20);
    for (Parameter& W : owned) {
      testing::fill_normal(W.value(), W, W.name());
      list.push_back(&W);
    }
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
};

std::vector<Index> positions_of(const Parameter& W) {
  std::vector<Index> positions;
  W.for_each_weight([&](Index row, Index column, Index) { positions.push_back(row * W.cols() + column); });
  return positions;
}

constexpr Allocation::Rule rules[] = {Allocation::uniform, Allocation::er, Allocation::global, Allocation::lamp};

// Prunes gradually, and looks after every event: no weight comes back, what is reported is what is there, never more
// than was asked for (but for N:M, which is on its own way), and the shape holds.
template <typename HasShape>
void expect_shape_all_the_way(const Structure& structure, const char* kind, Allocation::Rule rule,
                              HasShape&& has_shape) {
  Model model;
  Pruner pruner(model.list, criterion_named("magnitude"),
                {.allocation = rule,
                 .structure = structure,
                 .schedule = {.kind = schedule_named(kind), .density = 0.3, .begin = 0, .end = 0.8, .interval = 7}});
  std::size_t prunings = 0;
  for (Index step = 0; step <= 100; ++step) {
    std::vector<std::vector<Index>> before;
    for (const Parameter& W : model.owned) before.push_back(positions_of(W));
    const auto events = pruner.after_step(step, 100);
    if (events.empty()) continue;
    ++prunings;
    Index live = 0;
    for (std::size_t l = 0; l < events.size(); ++l) {
      const Parameter& W = model.owned[l];
      EXPECT_EQ(events[l].kept, W.nonzeros());
      EXPECT_EQ(events[l].density, W.density());
      EXPECT_EQ(events[l].storage, W.storage());
      EXPECT_TRUE(std::ranges::includes(before[l], positions_of(W)));
      has_shape(W);
      live += W.nonzeros();
    }
    const Index wanted = std::llround(pruner.options().schedule.density_at(step, 100) * (1280 + 640 + 240));
    if (!structure.density()) {
      EXPECT_LE(live, wanted + 2);       // uniform rounds in each of three layers
      EXPECT_GE(live, wanted - 3 * 32);  // and a structure drops what does not make a block, or one for each row
    }
  }
  EXPECT_GE(prunings, 3u);
}

TEST(StructureInThePruner, TwoOfFourIsExactInEveryGroupAfterAGradualRun) {
  for (const char* kind : {"one-shot", "linear", "cubic", "iterative"})
    for (const char* text : {"2:4", "1:4", "1:2", "3:4"}) {
      const Structure structure = structure_named(text);
      Model model;
      Pruner pruner(model.list, criterion_named("magnitude"),
                    {.structure = structure, .schedule = {.kind = schedule_named(kind), .interval = 7}});
      EXPECT_EQ(pruner.options().schedule.density, structure.density());
      for (Index step = 0; step <= 100; ++step) {
        pruner.after_step(step, 100);
        for (const Parameter& W : model.owned) {  // on the way all groups are equally full
          const std::vector<Index> live = live_in_groups(W, structure.m);
          EXPECT_EQ(std::ranges::count(live, live[0]), static_cast<std::ptrdiff_t>(live.size()));
        }
      }
      for (const Parameter& W : model.owned) EXPECT_EQ(live_in_groups(W, structure.m)[0], structure.n) << text << kind;
    }
}

TEST(StructureInThePruner, BlocksStayOrGoWhole) {
  for (const Structure& structure : {wide, square})
    for (const char* kind : {"linear", "cubic", "iterative"})
      for (const Allocation::Rule rule : rules)
        expect_shape_all_the_way(structure, kind, rule, [&](const Parameter& W) {
          for (const Index live : live_in_blocks(W, structure))
            EXPECT_TRUE(live == 0 || live == structure.height * structure.width) << live;
        });
}

TEST(StructureInThePruner, FanInIsTheSameInEveryRow) {
  for (const char* kind : {"linear", "cubic", "iterative"})
    for (const Allocation::Rule rule : rules)
      expect_shape_all_the_way(fan_in, kind, rule, [&](const Parameter& W) {
        const std::vector<Index> live = live_in_groups(W, W.cols());
        EXPECT_EQ(std::ranges::count(live, live[0]), W.rows());
      });
}

// A layer in which every fourth weight is large, and every fourth row, beside one in which all are middling. If single
// weights competed for what blocks or rows are given, each pruning would take more from the scattered layer, and give
// it to the other.
TEST(StructureInThePruner, ManySmallPruningsOfWeightsThatStandStillAreOneLargeOne) {
  for (const Structure& structure : {wide, square, fan_in})
    for (const Allocation::Rule rule : {Allocation::uniform, Allocation::global}) {
      const auto pruned = [&](Index prunings) {
        std::vector<Parameter> owned;
        owned.emplace_back("scattered.weight", 32, 40), owned.emplace_back("even.weight", 32, 20);
        for (std::size_t l = 0; l < 2; ++l)
          for (std::size_t i = 0; i < owned[l].value().size(); ++i) {
            const Real noise = static_cast<Real>(Random(1, "weights", l).uniform(i));
            const bool large = i % 4 == 0 || i / 40 % 4 == 0;
            owned[l].value()[i] = l == 1 ? Real{0.5} + noise / 5 : large ? Real{0.8} + noise / 5 : noise / 10;
          }
        std::vector<Parameter*> layers{&owned[0], &owned[1]};
        Pruner pruner(layers, criterion_named("magnitude"), {.allocation = rule, .structure = structure});
        for (Index p = 1; p <= prunings; ++p)
          pruner.prune_to(std::pow(0.4, static_cast<double>(p) / static_cast<double>(prunings)), p);
        return std::vector<std::vector<Index>>{positions_of(owned[0]), positions_of(owned[1])};
      };
      EXPECT_EQ(pruned(20), pruned(1)) << name_of(structure) << ' ' << rule;
    }
}

TEST(StructureInThePruner, RefusesALayerThatDoesNotSuitUnlessItIsProtected) {
  Model model;
  const Structure twelve = structure_named("block:1x12");  // no layer suits
  EXPECT_THROW(Pruner(model.list, criterion_named("magnitude"), {.structure = twelve}), UsageError);
  const Structure ten = structure_named("5:10");  // 40 and 20, not 32
  EXPECT_THROW(Pruner(model.list, criterion_named("magnitude"), {.structure = ten}), UsageError);
  EXPECT_NO_THROW(Pruner(model.list, criterion_named("magnitude"), {.structure = ten, .protect = {"fc2.weight"}}));
}

TEST(StructureInThePruner, SaysBeforeTrainingThatADensityEmptiesALayer) {
  const Model model;
  for (const Allocation::Rule rule : rules) {
    const Pruner rows(model.list, criterion_named("magnitude"), {.allocation = rule, .structure = fan_in});
    EXPECT_THROW(rows.require_possible(0.02), UsageError);  // 43 weights for 64 rows
    EXPECT_NO_THROW(rows.require_possible(0.2));
  }
}

TEST(StructureInThePruner, LeavesEverythingAsItWasIfALaterLayerWouldBeEmptied) {
  Model model;
  std::ranges::fill(model.owned[2].value(), Real{1e-3f});
  model.owned[2].value()[0] = 9;  // one of 12 rows has its weight
  Pruner pruner(model.list, criterion_named("magnitude"), {.structure = fan_in});
  EXPECT_THROW(pruner.prune_to(0.2, 1), UsageError);
  for (const Parameter& W : model.owned) EXPECT_EQ(W.storage(), Storage::dense) << W.name();
}

}  // namespace
}  // namespace espalier
