#include "espalier/pruning/sensitivity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/pruning/allocation.h"
#include "espalier/pruning/pruner.h"
#include "support/numbers.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::contains;

// --- a net of two layers, by hand ------------------------------------------------------------------------------------

// (x1, x2) and a class.
class FourSamples final : public Dataset {
 public:
  std::string name() const override { return "four"; }
  Index samples() const override { return 4; }
  Shape shape() const override { return {2}; }
  Index classes() const override { return 2; }
  void read(Index i, std::span<Real> x) const override {
    constexpr Real all[4][2] = {{1, 0}, {0, 1}, {1, 3}, {3, 1}};
    std::ranges::copy(all[i], x.begin());
  }
  std::int32_t label(Index i) const override { return i == 1 || i == 2; }
};

// y = h + (0, 0.1),  h = relu((2 x1, x2)): right on all four.
std::unique_ptr<Sequential> by_hand() {
  auto net = std::make_unique<Sequential>();
  net->add<Linear>(LinearOptions{.name = "fc1", .in = 2, .out = 2, .activation = Activation::relu, .bias = false}, 1)
      .add<Linear>(LinearOptions{.name = "output", .in = 2, .out = 2}, 1);
  const std::vector<Parameter*> parameters = parameters_of(*net);
  std::ranges::copy(std::vector<Real>{2, 0, 0, 1}, parameters[0]->value().begin());
  std::ranges::copy(std::vector<Real>{1, 0, 0, 1}, parameters[1]->value().begin());
  std::ranges::copy(std::vector<Real>{0, Real{0.1}}, parameters[2]->value().begin());
  return net;
}

struct ByHand {
  std::unique_ptr<Sequential> net = by_hand();
  std::vector<Parameter*> layers = pruned_layers(parameters_of(*net), {});
  Loader loader{std::make_shared<FourSamples>(), {.batch = 4, .lanes = 16, .shuffle = false}};
  Judge judge = [this] { return Inference(*net, 1).evaluate(loader, nullptr); };
};

TEST(Sensitivity, OfANetOfTwoLayersIsWhatAPersonFinds) {
  ByHand t;
  std::vector<std::string> told;
  const Sensitivity s = sensitivity_of(t.layers, *criterion_named("magnitude"), {1, 0.5, 0.25}, t.judge,
                                       [&](Index done, Index most, const std::string& layer) {
                                         told.push_back(fmt::format("{}/{} {}", done, most, layer));
                                       });
  EXPECT_EQ(s.before.accuracy, 1);
  ASSERT_EQ(s.layers.size(), 2u);
  // The zeros go first. Then in fc1 the 1, and h2 is always 0; in output, of two equal ones, the second: y2 is always
  // 0.1. Either way (1, 3) becomes class 0, and (0, 1), where y1 = 0 as well, stays class 1.
  for (const LayerSensitivity& layer : s.layers) {
    EXPECT_EQ(layer.positions, 4);
    EXPECT_EQ(layer.kept, (std::vector<Index>{4, 2, 1}));
    EXPECT_EQ(layer.at[0].accuracy, 1);
    EXPECT_EQ(layer.at[1].accuracy, 1);
    EXPECT_EQ(layer.at[2].accuracy, 0.75);
    EXPECT_EQ(points_lost(s.before, layer.at[2]), 25);
  }
  EXPECT_EQ(s.layers[0].layer, "fc1.weight");
  EXPECT_EQ(told, (std::vector<std::string>{"0/7 all layers", "2/7 fc1.weight", "3/7 fc1.weight", "5/7 output.weight",
                                            "6/7 output.weight"}))
      << "where nothing goes nothing is computed";
}

TEST(Sensitivity, LeavesTheModelAsItWasToTheBit) {
  ByHand t;
  for (Parameter* W : t.layers) W->add_slot("momentum");
  t.layers[0]->become(Pattern::random(2, 2, 3, Random(1, "live")), Storage::masked);
  t.layers[0]->slot("momentum")[0] = 3;
  const auto before = testing::bits_of(parameters_of(*t.net));
  const Real* const place = std::as_const(*t.layers[0]).value().data();
  sensitivity_of(t.layers, *criterion_named("magnitude"), {0.5, 0.25}, t.judge);
  EXPECT_EQ(testing::bits_of(parameters_of(*t.net)), before);
  EXPECT_EQ(std::as_const(*t.layers[0]).value().data(), place) << "spans that were taken before are good";
  EXPECT_EQ(t.layers[0]->storage(), Storage::masked);
}

TEST(Sensitivity, OfALayerThatIsSparserAlreadyIsThatOfTheNetworkAsItIs) {
  ByHand t;
  t.layers[0]->become(Pattern::random(2, 2, 1, Random(1, "live")), Storage::csr);
  const Sensitivity s = sensitivity_of(t.layers, *criterion_named("magnitude"), {0.5, 0.01}, t.judge);
  EXPECT_EQ(s.layers[0].kept, (std::vector<Index>{1, 1})) << "and one weight stays, however few are asked for";
  EXPECT_EQ(s.layers[0].at[0].accuracy, s.before.accuracy);
  EXPECT_EQ(s.layers[1].kept, (std::vector<Index>{2, 1}));
}

TEST(Sensitivity, RefusesDensitiesThatAreNone) {
  ByHand t;
  for (const std::vector<double>& bad : {std::vector<double>{0}, {1.1}, {0.5, 0.5}, {std::nan("")}})
    EXPECT_THROW(sensitivity_of(t.layers, *criterion_named("magnitude"), bad, t.judge), UsageError);
}

TEST(PointsLost, AreThoseOfAccuracyOrPerCentOfTheRmse) {
  EXPECT_NEAR(points_lost({.accuracy = 0.98, .classes = 2}, {.accuracy = 0.9725, .classes = 2}), 0.75, 1e-12);
  EXPECT_NEAR(points_lost({.accuracy = 0.5, .classes = 2}, {.accuracy = 0.6, .classes = 2}), -10, 1e-12);
  EXPECT_NEAR(points_lost({.rmse = 2}, {.rmse = 2.1}), 5, 1e-12);
  EXPECT_EQ(points_lost({.rmse = 0}, {.rmse = 0}), 0);
  EXPECT_EQ(points_lost({.rmse = 0}, {.rmse = 1}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(points_lost({.rmse = 1}, {.rmse = std::nan("")}), std::numeric_limits<double>::infinity());
}

// --- what each layer tolerates ---------------------------------------------------------------------------------------

// Two layers of 1000 weights, and a judge that looks at their densities only.
struct TwoLayers {
  TwoLayers() {
    for (const char* name : {"a.weight", "b.weight"}) {
      Parameter& W = owned.emplace_back(name, 20, 50);
      testing::fill_normal(W.value(), W, name);
      layers.push_back(&W);
      std::vector<Real>& s = scores.emplace_back();
      for (const Real w : W.value()) s.push_back(std::abs(w));
    }
  }
  std::vector<Real> tolerated(double drop, const std::function<double(double, double)>& accuracy) {
    const Judge judge = [&] {
      return Evaluation{.accuracy = accuracy(layers[0]->density(), layers[1]->density()), .classes = 2};
    };
    return tolerated_densities(layers, scores, {.drop = drop}, judge(), judge);
  }
  std::vector<Parameter> owned = reserved();
  std::vector<Parameter*> layers;
  std::vector<std::vector<Real>> scores;

 private:
  static std::vector<Parameter> reserved() {
    std::vector<Parameter> two;
    two.reserve(2);
    return two;
  }
};

using Reals = std::vector<Real>;

TEST(Tolerance, IsTheLowestDensityThatLosesNoMoreThanWasAllowed) {
  TwoLayers t;
  const auto falls = [](double a, double b) { return 0.9 - 0.04 * (1 - a) - 0.1 * (1 - b); };
  // a loses 4 (1 - d) points, b 10 (1 - d).
  EXPECT_EQ(t.tolerated(2.01, falls), (Reals{Real(0.5), Real(0.8)}));
  EXPECT_EQ(t.tolerated(3.9, falls), (Reals{Real(0.03), Real(0.8)}));
  EXPECT_EQ(t.tolerated(0.5, falls), (Reals{1, 1})) << "not even the first step down";
  EXPECT_EQ(t.tolerated(100, falls), (Reals{Real(0.01), Real(0.01)}));
}

TEST(Tolerance, NeverRisesWithWhatMayBeLost) {
  TwoLayers t;
  const auto uneven = [](double a, double b) { return 0.9 - 0.1 * std::pow(1 - a, 5) - 0.2 * std::pow(1 - b, 2); };
  Reals before{1, 1};
  for (double drop = 0.1; drop < 30; drop *= 1.3) {
    const Reals now = t.tolerated(drop, uneven);
    for (std::size_t l = 0; l < 2; ++l) EXPECT_LE(now[l], before[l]) << drop;
    before = now;
  }
  EXPECT_LT(before[0], Real(0.05));
}

TEST(Tolerance, ACurveThatComesBackIsNotBelieved) {
  TwoLayers t;
  const auto comes_back = [](double a, double) { return a < 0.7 && a > 0.4 ? 0.5 : 0.9; };
  EXPECT_EQ(t.tolerated(1, comes_back), (Reals{Real(0.8), Real(0.01)}));
}

TEST(Tolerance, OfALayerIsAtMostWhatLives) {
  TwoLayers t;
  t.layers[0]->become(Pattern::random(20, 50, 250, Random(1, "live")), Storage::csr);
  t.scores[0].resize(250);
  EXPECT_EQ(t.tolerated(1, [](double a, double b) { return a < 0.25 || b < 1 ? 0.1 : 0.9; }), (Reals{Real(0.25), 1}));
}

TEST(Tolerance, DensitiesAreDescending) {
  EXPECT_TRUE(std::ranges::is_sorted(tolerance_densities(), std::greater{}));
}

// --- the allocation --------------------------------------------------------------------------------------------------

Allocation measured(const std::map<std::string, double>& densities) {
  Allocation allocation = allocation_named("sensitivity:1");
  allocation.density_of = densities;
  return allocation;
}

TEST(AllocationBySensitivity, MeetsTheOverallDensityExactlyAndEachLayersOwn) {
  const std::vector<Parameter> layers{{"fc1.weight", 30, 78}, {"fc2.weight", 10, 30}, {"output.weight", 7, 10}};
  std::vector<Scored> scored;
  for (const Parameter& W : layers) scored.push_back({&W, {}});
  const std::map<std::string, double> tolerated{{"fc1", 0.05}, {"fc2", 0.3}, {"output", 0.8}};
  const double together = (0.05 * 2340 + 0.3 * 300 + 0.8 * 70) / 2710;
  std::vector<Index> before{2340, 300, 70};
  for (double density = 1; density > 0.01; density *= 0.93) {
    const std::vector<Index> keep = allocate(measured(tolerated), scored, density);
    EXPECT_EQ(std::accumulate(keep.begin(), keep.end(), Index{0}), std::llround(density * 2710)) << density;
    for (std::size_t l = 0; l < 3; ++l) {
      EXPECT_LE(keep[l], before[l]) << "what has gone is not asked back";
      const double own = tolerated.at(layer_of(layers[l].name())) * static_cast<double>(layers[l].positions());
      if (density >= together) {
        EXPECT_GE(static_cast<double>(keep[l]) + 1, own) << density;
      } else {
        EXPECT_LE(static_cast<double>(keep[l]) - 1, own) << density;
      }
    }
    before = keep;
  }
}

TEST(AllocationBySensitivity, HasANameThatReadsBack) {
  for (const char* name : {"sensitivity:1", "sensitivity:0.25", "sensitivity:100"}) {
    EXPECT_EQ(name_of(allocation_named(name)), name);
    EXPECT_EQ(allocation_named(name), allocation_named(name));
  }
  for (const char* bad : {"sensitivity", "sensitivity:", "sensitivity:0", "sensitivity:-1", "sensitivity:101",
                          "sensitivity:1x", "sensitivity:nan"}) {
    try {
      allocation_named(bad);
      ADD_FAILURE() << bad;
    } catch (const UsageError& error) {
      EXPECT_PRED2(contains, std::string(error.what()), "expected sensitivity:DROP") << bad;
    }
  }
}

struct Judged {
  Judge judge_of(const TwoLayers& t) {
    return [this, &t] {
      ++asked;
      return Evaluation{.accuracy = 0.9 - 0.04 * (1 - t.layers[0]->density()) - 0.1 * (1 - t.layers[1]->density()),
                        .samples = 7,
                        .classes = 2};
    };
  }
  int asked = 0;
};

PrunerOptions by_sensitivity(Judge judge, double density = 0.1) {
  return {.allocation = allocation_named("sensitivity:2.01"),
          .schedule = {.density = density, .begin = 0.1, .end = 0.9, .interval = 10},
          .judge = std::move(judge)};
}

TEST(PrunerBySensitivity, MeasuresOnceAtTheFirstPruningAndSaysWhat) {
  TwoLayers t;
  Judged judged;
  std::vector<std::string> said;
  PrunerOptions options = by_sensitivity(judged.judge_of(t));
  options.measured = [&](const std::string& text) { said.push_back(text); };
  Pruner pruner(t.layers, criterion_named("magnitude"), options);
  EXPECT_EQ(judged.asked, 0);
  Index prunings = 0;
  int asked_at_first = 0;
  for (Index step = 0; step <= 100; ++step)
    if (!pruner.after_step(step, 100).empty() && prunings++ == 0) asked_at_first = judged.asked;
  EXPECT_GT(prunings, 3);
  EXPECT_GT(asked_at_first, 4);
  EXPECT_EQ(judged.asked, asked_at_first);
  // 0.5 and 0.8 are tolerated; of 2000 weights 200 stay, in that proportion.
  EXPECT_EQ(t.layers[0]->nonzeros() + t.layers[1]->nonzeros(), 200);
  EXPECT_NEAR(t.layers[0]->nonzeros(), 200 * 0.5 / 1.3, 1);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_PRED2(contains, said[0], "a 0.5, b 0.8");
  EXPECT_PRED2(contains, said[0], "on 7 validation samples");
  EXPECT_PRED2(contains, said[0], "each keeps less");
}

TEST(PrunerBySensitivity, GoesOnWithWhatWasMeasured) {
  TwoLayers whole, first, rest;
  Judged judged, again;
  Pruner pruner(whole.layers, criterion_named("magnitude"), by_sensitivity(judged.judge_of(whole)));
  Pruner until(first.layers, criterion_named("magnitude"), by_sensitivity(judged.judge_of(first)));
  for (Index step = 0; step <= 100; ++step) pruner.after_step(step, 100);
  for (Index step = 0; step <= 50; ++step) until.after_step(step, 100);
  Pruner after(rest.layers, criterion_named("magnitude"), by_sensitivity(again.judge_of(rest)));
  for (std::size_t l = 0; l < 2; ++l) *rest.layers[l] = *first.layers[l];
  ASSERT_EQ(after.state().size(), 1u);
  EXPECT_EQ(after.state()[0].numbers[0], 0) << "not measured so far";
  std::ranges::copy(until.state()[0].numbers, after.state()[0].numbers.begin());
  for (Index step = 51; step <= 100; ++step) after.after_step(step, 100);
  EXPECT_EQ(again.asked, 0);
  EXPECT_EQ(testing::bits_of(rest.layers), testing::bits_of(whole.layers));
}

TEST(PrunerBySensitivity, NeedsAJudgeAndOthersHaveNoState) {
  TwoLayers t;
  EXPECT_THROW(Pruner(t.layers, criterion_named("magnitude"), by_sensitivity(nullptr)), UsageError);
  EXPECT_TRUE(Pruner(t.layers, criterion_named("magnitude"), {}).state().empty());
}

}  // namespace
}  // namespace espalier
