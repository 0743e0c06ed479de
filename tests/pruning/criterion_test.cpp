#include "espalier/pruning/criterion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/allocation.h"
#include "espalier/pruning/method.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Density;
using testing::fill_normal;
using testing::pattern_of;

std::vector<Real> scores_of(const Criterion& criterion, const Parameter& W, CriterionContext context = {}) {
  std::vector<Real> scores(W.nonzeros(), testing::nan);
  criterion.score(W, context, scores);
  return scores;
}

// 2 x 4, with the least obvious values: negative ones, equal magnitudes, and a live zero.
//
//   -3  .  0  2
//    .  1  . -2
Parameter small(Storage storage) {
  Parameter W("W", 2, 4);
  std::ranges::copy(std::vector<Real>{-3, 9, 0, 2, 9, 1, 9, -2}, W.value().begin());
  W.become(Pattern::from_positions(2, 4, std::vector<Index>{0, 2, 3, 5, 7}), storage);
  return W;
}

// A new criterion is one row here: its name, and what it says of `small`.
struct Row {
  const char* name;
  std::function<std::vector<Real>(CriterionContext)> by_hand;
};
std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.name;
}

const Row table[] = {
    {"magnitude",
     [](CriterionContext) {
       return std::vector<Real>{3, 0, 2, 1, 2};
     }},
    {"random",
     [](CriterionContext context) {
       const Random random(context.seed, "random-score/W");
       std::vector<Real> scores;
       for (const std::uint64_t position : {0, 2, 3, 5, 7})
         scores.push_back(static_cast<Real>(random.uniform(position)));
       return scores;
     }},
};

class CriterionTable : public ::testing::TestWithParam<Row> {
 protected:
  std::unique_ptr<Criterion> criterion = criterion_named(GetParam().name);
};
INSTANTIATE_TEST_SUITE_P(Criteria, CriterionTable, ::testing::ValuesIn(table),
                         [](const auto& row) { return testing::test_name(row.param.name); });

TEST_P(CriterionTable, ScoresASmallMatrixAsByHand) {
  EXPECT_EQ(criterion->name(), GetParam().name);
  for (const CriterionContext context : {CriterionContext{1, 0}, CriterionContext{7, 100}})
    EXPECT_EQ(scores_of(*criterion, small(Storage::csr), context), GetParam().by_hand(context));
}

TEST_P(CriterionTable, ScoresLiveWeightsTheSameInEveryStorage) {
  for (const Density density : testing::all_densities) {
    const PatternPtr pattern = pattern_of(13, 29, density);
    std::vector<std::vector<Real>> scores;
    for (const Storage storage : testing::all_storages) {
      if (!testing::storable(*pattern, storage)) continue;
      Parameter W("W", 13, 29);
      W.become(pattern, storage);
      fill_normal(W.value(), W, "value");
      scores.push_back(scores_of(*criterion, W, {3, 0}));
      EXPECT_TRUE(std::ranges::all_of(scores.back(), [](Real s) { return std::isfinite(s); }));
      EXPECT_EQ(scores.back(), scores.front()) << density << ' ' << name_of(storage);
    }
  }
}

TEST_P(CriterionTable, LeavesTheParameterAlone) {
  const Parameter W = small(Storage::masked), before = W;
  scores_of(*criterion, W);
  EXPECT_TRUE(testing::same_bits(W.value(), before.value()));
}

// A row of live zeros and a row of equal weights: criteria that compare a weight with its row divide by nothing there,
// and everything ties.
class EveryCriterion : public ::testing::TestWithParam<std::string> {};

std::vector<std::string> all_criteria() {
  std::vector<std::string> names;
  for (const MethodInfo& method : methods().entries())
    if (method.criterion) names.push_back(method.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Catalogue, EveryCriterion, ::testing::ValuesIn(all_criteria()),
                         [](const auto& row) { return testing::test_name(row.param); });

TEST_P(EveryCriterion, IsFiniteOnLiveZerosAndOnEqualWeightsAndKeepsExactlyAsManyAsAsked) {
  const ModulePtr model = make_model("mlp:12-8-6-3", {.input = {12}, .outputs = 3});
  const auto optimizer = make_optimizer({});
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 1});
  const Loader loader(testing::blobs(96), {.batch = 32, .lanes = 16});
  for (Parameter* W : trainer.parameters()) {
    if (!W->prunable()) continue;
    std::ranges::fill(W->value().first(W->cols()), Real{0});
    std::ranges::fill(W->value().subspan(W->cols(), W->cols()), Real{0.25});
  }
  Evidence evidence(trainer, loader);
  const std::shared_ptr<const Criterion> criterion = criterion_named(GetParam());
  Pruner pruner(trainer.parameters(), criterion, {.allocation = Allocation::uniform}, &evidence);
  for (const double density : {0.5, 0.25}) {
    evidence.begin(0);
    for (const Parameter* W : pruner.layers())
      EXPECT_TRUE(std::ranges::all_of(scores_of(*criterion, *W, {.evidence = &evidence}),
                                      [](Real score) { return std::isfinite(score); }))
          << W->name() << " before pruning to " << density;
    pruner.prune_to(density, 0);
    for (const Parameter* W : pruner.layers())
      EXPECT_EQ(W->nonzeros(), std::llround(density * static_cast<double>(W->positions()))) << W->name();
  }
}

TEST(RandomScore, DependsOnSeedLayerAndPositionButNotOnTheStep) {
  const auto criterion = criterion_named("random");
  const Criterion& random = *criterion;
  const Parameter W = small(Storage::csr);
  EXPECT_EQ(scores_of(random, W, {1, 0}), scores_of(random, W, {1, 500}));
  EXPECT_NE(scores_of(random, W, {1, 0}), scores_of(random, W, {2, 0}));
  Parameter other("other", 2, 4);
  other.become(W.pattern(), Storage::csr);
  EXPECT_NE(scores_of(random, W), scores_of(random, other));
}

TEST(RandomScore, GradualPruningEndsWithTheSetThatOneShotPruningChooses) {
  const auto prune = [](std::vector<Index> counts) {
    Parameter W("W", 20, 30);
    for (const Index count : counts)
      W.become(
          keep_live(W, top_k(scores_of(*criterion_named("random"), W, {1, static_cast<std::uint64_t>(count)}), count)),
          count > 200 ? Storage::masked : Storage::csr);
    return W.pattern();
  };
  EXPECT_EQ(*prune({500, 300, 150, 60}), *prune({60}));
}

TEST(RandomScore, IsUniform) {
  Parameter W("W", 100, 100);
  const std::vector<Real> scores = scores_of(*criterion_named("random"), W);
  for (const Real quantile : {Real{0.1}, Real{0.5}, Real{0.9}}) {
    const auto below = static_cast<double>(std::ranges::count_if(scores, [&](Real s) { return s < quantile; }));
    EXPECT_NEAR(below / 10000, static_cast<double>(quantile), 0.02);
  }
}

TEST(CriterionNamed, ListsTheKnownNamesWhenAskedForAnother) {
  try {
    criterion_named("guesswork");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    for (const Row& row : table) EXPECT_PRED2(contains, error.what(), row.name);
    EXPECT_PRED2(contains, error.what(), "\"guesswork\"");
  }
}

}  // namespace
}  // namespace espalier
