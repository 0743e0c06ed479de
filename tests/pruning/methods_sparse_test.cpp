// Dynamic sparse training: what drops, what grows, and what must not change while it does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numbers>
#include <numeric>
#include <set>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/regrow.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::bits_of;
using testing::blobs;
using testing::contains;
using testing::dense_values;

using Positions = std::vector<Index>;

Positions live_of(const Pattern& pattern) {
  Positions live;
  for (Index r = 0; r < pattern.rows(); ++r)
    for (const std::uint32_t c : pattern.row(r)) live.push_back(r * pattern.cols() + c);
  return live;
}

Positions live_of(const Parameter& W) {
  Positions live;
  W.for_each_weight([&](Index r, Index c, Index) { live.push_back(r * W.cols() + c); });
  return live;
}

// --- drop and grow, by hand -----------------------------------------------------------------------------------------

// 3 x 4, with three equal magnitudes, a negative one that is large, and a slot that tells weights apart.
//
//   -3   .  .5   .        position   0  1  2  3
//    .  -.5  .   2                   4  5  6  7
//   .5   .   .  -1                   8  9 10 11
Parameter small(Storage storage) {
  Parameter W("W", 3, 4);
  W.add_slot("momentum");
  std::ranges::copy(std::vector<Real>{-3, 0, 0.5, 0, 0, -0.5, 0, 2, 0.5, 0, 0, -1}, W.value().begin());
  for (std::size_t i = 0; i < 12; ++i) W.slot("momentum")[i] = static_cast<Real>(i + 1);
  W.become(Pattern::from_positions(3, 4, Positions{0, 2, 5, 7, 8, 11}), storage);
  return W;
}

// Live ones score highest, which must not matter; among the dead -7 is largest, and 4, 6 and 8 tie.
const std::vector<Real> scores{100, 1, 100, -7, 2, 0, -2, 100, 2, 0, 1, 100};

TEST(DropAndGrow, DropsTheSmallestAndGrowsTheLargestTiesToTheLowestPosition) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    const Parameter W = small(storage);
    const auto after = [&](Index drop, Index grow) {
      return live_of(*drop_and_grow(W, drop, grow, grow_largest(scores)));
    };
    EXPECT_EQ(after(0, 0), (Positions{0, 2, 5, 7, 8, 11}));
    EXPECT_EQ(after(2, 0), (Positions{0, 2, 7, 11}));  // of 2, 5 and 8 the lowest stays
    EXPECT_EQ(after(3, 0), (Positions{0, 7, 11}));
    EXPECT_EQ(after(6, 0), (Positions{}));
    EXPECT_EQ(after(0, 3), (Positions{0, 2, 3, 4, 5, 6, 7, 8, 11}));  // 8 is live: it cannot be grown
    EXPECT_EQ(after(2, 2), (Positions{0, 2, 3, 4, 7, 11}));
    EXPECT_EQ(after(2, 4), (Positions{0, 2, 3, 4, 6, 7, 8, 11}));  // 8 was dropped: it can
    EXPECT_EQ(after(2, 8).size(), 12u);
  }
}

TEST(DropAndGrow, SurvivorsKeepValueAndSlotAndTheNewbornStartAtZero) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Parameter W = small(storage);
    W.become(drop_and_grow(W, 2, 4, grow_largest(scores)), storage);
    std::map<Index, std::pair<Real, Real>> weights;
    W.for_each_weight([&](Index r, Index c, Index at) {
      const auto i = static_cast<std::size_t>(at);
      weights[r * 4 + c] = {W.value()[i], W.slot("momentum")[i]};
    });
    // 8 was dropped and grown at once, which is to say that it stayed.
    const std::map<Index, std::pair<Real, Real>> expected{{0, {-3, 1}}, {2, {0.5, 3}}, {3, {0, 0}},   {4, {0, 0}},
                                                          {6, {0, 0}},  {7, {2, 8}},   {8, {0.5, 9}}, {11, {-1, 12}}};
    EXPECT_EQ(weights, expected);
  }
}

TEST(DropAndGrow, ADeadWeightThatEqualsALiveZeroIsNotRevived) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    Parameter W = small(storage);
    std::ranges::fill(W.value(), Real{0});  // live, all six of them
    const std::vector<Real> nothing(12, 0);
    EXPECT_EQ(*drop_and_grow(W, 0, 0, grow_largest(nothing)), *W.pattern());
    EXPECT_EQ(live_of(*drop_and_grow(W, 2, 0, grow_largest(nothing))), (Positions{0, 2, 5, 7}));
    EXPECT_EQ(live_of(*drop_and_grow(W, 2, 2, grow_largest(nothing))), (Positions{0, 1, 2, 3, 5, 7}));
  }
}

TEST(DropAndGrow, WorksOnALayerWithEveryWeightLive) {
  Parameter W("W", 2, 2);
  std::ranges::copy(std::vector<Real>{4, 1, 2, 3}, W.value().begin());
  EXPECT_EQ(live_of(*drop_and_grow(W, 2, 1, grow_largest(std::vector<Real>{0, 1, 9, 0}))), (Positions{0, 2, 3}));
  EXPECT_TRUE(drop_and_grow(W, 2, 2, grow_at_random(4, Random(1, "test")))->full());
}

TEST(DropAndGrow, RejectsCountsThatDoNotExist) {
  const Parameter W = small(Storage::csr);
  EXPECT_THROW(drop_and_grow(W, 7, 0, grow_largest(scores)), UsageError);
  EXPECT_THROW(drop_and_grow(W, -1, 0, grow_largest(scores)), UsageError);
  EXPECT_THROW(drop_and_grow(W, 2, 9, grow_largest(scores)), UsageError);
}

TEST(GrowAtRandom, ChoosesEveryDeadPositionEquallyOftenAndNoLiveOne) {
  const Positions live{0, 3, 4, 5, 11, 12, 18, 19};
  std::vector<int> chosen(20, 0);
  constexpr int draws = 4000;
  for (std::uint64_t step = 0; step < draws; ++step) {
    const Positions born = grow_at_random(20, Random(1, "test", step))(live, 3);
    ASSERT_EQ(born.size(), 3u);
    ASSERT_TRUE(born[0] < born[1] && born[1] < born[2]);
    for (const Index position : born) ++chosen[position];
  }
  for (Index position = 0; position < 20; ++position)  // 3 of 12 each time: 1000 +- 27
    if (std::ranges::count(live, position))
      EXPECT_EQ(chosen[position], 0) << position;
    else
      EXPECT_NEAR(chosen[position], draws / 4, 120) << position;
}

TEST(GrowAtRandom, IsAFunctionOfItsArguments) {
  const auto born = [](std::uint64_t seed, std::uint64_t step) {
    return grow_at_random(1000, Random(seed, "test", step))(Positions{1, 10, 100}, 50);
  };
  EXPECT_EQ(born(1, 5), born(1, 5));
  EXPECT_NE(born(1, 5), born(2, 5));
  EXPECT_NE(born(1, 5), born(1, 6));
}

TEST(ShareOut, IsProportionalExactAndFillsWhoIsTooSmall) {
  const auto shared = [](Index count, std::vector<double> share, Positions room) {
    return share_out(count, share, room);
  };
  EXPECT_EQ(shared(8, {1, 3}, {100, 100}), (Positions{2, 6}));
  EXPECT_EQ(shared(10, {1, 3}, {100, 100}), (Positions{3, 7}));  // 2.5 and 7.5: the first of equal remainders
  EXPECT_EQ(shared(10, {1, 3}, {100, 4}), (Positions{6, 4}));
  EXPECT_EQ(shared(12, {1, 3, 8}, {100, 100, 4}), (Positions{2, 6, 4}));
  EXPECT_EQ(shared(10, {0, 0}, {100, 100}), (Positions{5, 5}));  // no layer pulls
  EXPECT_EQ(shared(10, {0, 5}, {100, 4}), (Positions{6, 4}));
  EXPECT_EQ(shared(0, {1, 3}, {0, 0}), (Positions{0, 0}));
  EXPECT_THROW(shared(10, {1, 3}, {5, 4}), UsageError);
}

// --- in training ----------------------------------------------------------------------------------------------------

struct Session {
  explicit Session(const std::string& name, int threads = 1, std::map<std::string, double> settings = {})
      : trainer(*model, softmax_cross_entropy, *optimizer, {.threads = threads}),
        method(make_method(methods().named(name), {trainer, loader, options_of(name), 0, std::move(settings)})) {}

  static PrunerOptions options_of(const std::string& name) {
    const MethodInfo& info = methods().named(name);
    PrunerOptions options{.allocation = info.defaults.allocation, .schedule = info.defaults.schedule};
    options.schedule.density = density;
    options.schedule.interval = interval;
    return options;
  }
  void go(Index from, Index to) {
    for (Index step = from; step < to; ++step) {
      train_step(step);
      method->after_step(step + 1, steps);
    }
  }
  StepResult train_step(Index step) {
    if (step % loader.batches() == 0) loader.start_epoch(step / loader.batches());
    return trainer.step(loader, step % loader.batches(), 0.05);
  }
  std::vector<Parameter*> weights() const { return pruned_layers(trainer.parameters(), {}); }
  std::vector<Index> counts() const {
    std::vector<Index> counts;
    for (const Parameter* W : weights()) counts.push_back(W->nonzeros());
    return counts;
  }
  std::vector<Positions> patterns() const {
    std::vector<Positions> patterns;
    for (const Parameter* W : weights()) patterns.push_back(live_of(*W));
    return patterns;
  }

  static constexpr double density = 0.2;
  static constexpr Index interval = 5, steps = 80, positions = 40 * 24 + 24 * 16 + 16 * 3;
  ModulePtr model = make_model("mlp:40-24-16-3", {.input = {40}, .outputs = 3});
  std::unique_ptr<Optimizer> optimizer = make_optimizer({});
  Loader loader{blobs(256, 40), {.batch = 32, .lanes = 16}};
  Trainer trainer;
  std::unique_ptr<Method> method;
};

// The gradient at every position by another way: a dense network of the same values, on the batch of the step to come.
std::vector<std::vector<Real>> dense_gradients(const Session& session, Index step) {
  Session dense("magnitude");
  for (std::size_t p = 0; p < dense.trainer.parameters().size(); ++p)
    std::ranges::copy(dense_values(*session.trainer.parameters()[p]), dense.trainer.parameters()[p]->value().begin());
  dense.loader.start_epoch((step - 1) / dense.loader.batches());
  const auto& all = dense.trainer.gradients(dense.loader, step % dense.loader.batches());
  std::vector<std::vector<Real>> gradients;
  for (std::size_t p = 0; p < all.size(); ++p)
    if (dense.trainer.parameters()[p]->prunable()) gradients.emplace_back(all[p].begin(), all[p].end());
  return gradients;
}

// `count` of the positions that are not in `live`, by a full sort: largest |score| first, then lowest position.
Positions largest_of_the_dead(const Positions& live, const std::vector<Real>& score, Index count) {
  Positions dead;
  for (Index p = 0; p < static_cast<Index>(score.size()); ++p)
    if (!std::ranges::binary_search(live, p)) dead.push_back(p);
  std::ranges::stable_sort(dead, std::greater{}, [&](Index p) { return std::abs(score[p]); });
  dead.resize(count);
  return dead;
}

Positions smallest_live(const Parameter& W, Index count) {
  const std::vector<Real> w = dense_values(W);
  Positions live = live_of(W);
  std::ranges::stable_sort(live, std::greater{}, [&](Index p) { return std::abs(w[p]); });
  return {live.end() - count, live.end()};
}

double fraction_at(Index step) {  // of the defaults: 0.3 at first, 0 at three quarters
  return 0.15 * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / (0.75 * Session::steps)));
}

// Exchanges at random, and notes how many weights each layer was asked to grow.
class Counting final : public SparseTraining {
 public:
  Counting(const MethodContext& context, std::map<Index, std::vector<Index>>& moved)
      : SparseTraining(context), moved_(moved) {}

 private:
  std::vector<PruneEvent> exchange(Index step, Index steps) override {
    std::vector<Index>& counts = moved_[step];
    counts.resize(layers().size());
    std::size_t l = 0;
    return exchange_in_each(step, steps, [&](const Parameter& W) -> Grow {
      return [&W, &count = counts[l++]](std::span<const Index> live, Index grow) {
        count = grow;
        return grow_at_random(W.positions(), Random(1, W.name()))(live, grow);
      };
    });
  }
  std::map<Index, std::vector<Index>>& moved_;
};

TEST(SparseTraining, ExchangesAFractionThatFallsToZeroAtTheEndOfTheScheduleNotOfTheTraining) {
  std::map<Index, std::vector<Index>> moved;
  const MethodInfo counting{
      .name = "counting",
      .settings = {SparseTraining::drop_setting(), SparseTraining::rescale_setting(0)},
      .make = [&](const MethodContext& context) { return std::make_unique<Counting>(context, moved); }};
  Session run("static");
  constexpr Index steps = 400, last = 200;
  const auto method =
      make_method(counting, {.trainer = run.trainer,
                             .train = run.loader,
                             .options = {.allocation = Allocation::uniform,
                                         .schedule = {.density = 0.5, .begin = 0, .end = 0.5, .interval = 10}}});
  for (Index step = 0; step <= steps; ++step) method->after_step(step, steps);
  ASSERT_EQ(moved.size(), 19u);  // after steps 10, 20 ... 190
  const std::vector<Index> live = run.counts();
  for (const auto& [step, counts] : moved) {
    const double f = 0.15 * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / static_cast<double>(last)));
    for (std::size_t l = 0; l < live.size(); ++l)
      EXPECT_EQ(counts[l], std::llround(f * static_cast<double>(live[l]))) << step << ' ' << l;
  }
  EXPECT_EQ(moved.at(100)[0], std::llround(0.15 * static_cast<double>(live[0])));  // half way: half of `drop`
  EXPECT_LE(moved.at(190)[0], 2);                                                  // and nearly none at the end
}

class SparseFromTheStart : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Methods, SparseFromTheStart, ::testing::Values("static", "set", "rigl", "snfs"),
                         [](const auto& row) { return testing::test_name(row.param); });

TEST_P(SparseFromTheStart, KeepsItsDensityInEveryStepAndChangesPatternsWhenItShould) {
  const std::string name = GetParam();
  Session run(name);
  run.method->after_step(0, Session::steps);
  const std::vector<Index> counts = run.counts();
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), Index{0}), std::llround(0.2 * Session::positions));
  std::set<Index> changed_at, expected;
  for (Index step = 5; step < 60 && name != "static"; step += 5) expected.insert(step);
  for (Index step = 0; step < Session::steps; ++step) {
    const auto before = run.patterns();
    run.go(step, step + 1);
    const auto now = run.counts();
    EXPECT_EQ(std::accumulate(now.begin(), now.end(), Index{0}), std::llround(0.2 * Session::positions));
    EXPECT_NEAR(run.method->density(), 0.2, 1e-3);
    if (name != "snfs") {
      EXPECT_EQ(now, counts);  // sparse momentum moves weights between layers
    }
    if (run.patterns() != before) changed_at.insert(step + 1);
  }
  // Late exchanges may be of so few weights that the same grow as were dropped.
  EXPECT_TRUE(std::ranges::includes(expected, changed_at));
  EXPECT_GE(changed_at.size() + 2, expected.size());
}

TEST_P(SparseFromTheStart, BeginsWithARandomPatternOfTheAllocationsCountsAndLargerWeightsIfSoAsked) {
  const std::map<std::string, double> larger{{"rescale", 1}}, as_made{{"rescale", 0}};
  Session run(GetParam(), 1, larger), again(GetParam(), 1, larger), plain(GetParam(), 1, as_made);
  std::vector<std::vector<Real>> dense;
  for (const Parameter* W : run.weights()) dense.push_back(dense_values(*W));
  std::vector<Scored> shapes;
  for (const Parameter* W : run.weights()) shapes.push_back({W, {}});
  const std::vector<Index> counts = allocate(allocation_named("er"), shapes, 0.2);
  for (Session* session : {&run, &again, &plain}) session->method->after_step(0, Session::steps);
  EXPECT_EQ(run.counts(), counts);
  EXPECT_EQ(run.patterns(), again.patterns());
  for (std::size_t l = 0; l < dense.size(); ++l) {
    const Parameter &W = *run.weights()[l], &V = *plain.weights()[l];
    const Real scale = static_cast<Real>(1 / std::sqrt(W.density()));
    const std::vector<Real> scaled = dense_values(W), as_it_was = dense_values(V);
    for (const Index p : live_of(W)) {
      const auto i = static_cast<std::size_t>(p);
      EXPECT_EQ(as_it_was[i], dense[l][i]);
      EXPECT_NEAR(scaled[i], scale * dense[l][i], 4 * testing::epsilon * std::abs(scaled[i]));
    }
  }
  auto options = Session::options_of(GetParam());
  options.seed = 2;
  Session other(GetParam());
  make_method(methods().named(GetParam()), {other.trainer, other.loader, options})->after_step(0, Session::steps);
  EXPECT_NE(other.patterns(), run.patterns());
}

TEST_P(SparseFromTheStart, SaysSoBeforeTrainingIfALayerWouldBeEmpty) {
  Session run(GetParam());
  EXPECT_NO_THROW(run.method->require_possible(0.05));
  EXPECT_THROW(run.method->require_possible(0.001), UsageError);
  auto options = Session::options_of(GetParam());
  options.allocation = allocation_named("global");
  try {
    make_method(methods().named(GetParam()), {run.trainer, run.loader, options});
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(contains, error.what(), "uniform");
    EXPECT_PRED2(contains, error.what(), "global");
  }
}

TEST(Set, DropsTheSmallestOfEveryLayerAndLeavesTheOthersAlone) {
  Session run("set");
  run.method->after_step(0, Session::steps);
  run.go(0, 4);
  run.train_step(4);
  std::vector<Parameter> before;
  for (const Parameter* W : run.weights()) before.push_back(*W);
  ASSERT_EQ(run.method->after_step(5, Session::steps).size(), before.size());
  for (std::size_t l = 0; l < before.size(); ++l) {
    Parameter &was = before[l], &is = *run.weights()[l];
    const Index moved = std::llround(fraction_at(5) * static_cast<double>(was.nonzeros()));
    ASSERT_GT(moved, 0);
    const Positions dropped = smallest_live(was, moved), live = live_of(is);
    const std::set<Index> gone(dropped.begin(), dropped.end());
    for (const Index p : live_of(was)) EXPECT_TRUE(gone.contains(p) || std::ranges::binary_search(live, p));
    EXPECT_EQ(is.nonzeros(), was.nonzeros());
    const std::vector<Real> old_value = dense_values(was), new_value = dense_values(is);
    was.become(nullptr, Storage::dense), is.become(nullptr, Storage::dense);
    Index newborn = 0;
    for (const Index p : live) {
      const auto i = static_cast<std::size_t>(p);
      EXPECT_EQ(new_value[i], old_value[i]);  // a newborn was dead, and counts as 0 here
      EXPECT_EQ(is.slot("momentum")[i], was.slot("momentum")[i]);
      newborn += new_value[i] == 0 && is.slot("momentum")[i] == 0;
    }
    EXPECT_GT(newborn, 0);
  }
}

TEST(RigL, GrowsTheLargestDenseGradientsAmongTheDead) {
  Session run("rigl");
  run.method->after_step(0, Session::steps);
  run.go(0, 9);
  run.train_step(9);
  std::vector<Parameter> before;
  for (const Parameter* W : run.weights()) before.push_back(*W);
  const auto gradients = dense_gradients(run, 10);
  run.method->after_step(10, Session::steps);
  for (std::size_t l = 0; l < before.size(); ++l) {
    const Parameter &was = before[l], &is = *run.weights()[l];
    const Index moved = std::llround(fraction_at(10) * static_cast<double>(was.nonzeros()));
    Positions expected = live_of(was);
    for (const Index p : smallest_live(was, moved)) std::erase(expected, p);
    for (const Index p : largest_of_the_dead(expected, gradients[l], moved)) expected.push_back(p);
    std::ranges::sort(expected);
    EXPECT_EQ(live_of(is), expected) << is.name();
    if (l == 0) {
      EXPECT_NE(live_of(is), live_of(was));  // the output layer is nearly full: those that went may come back
    }
    // Values: those of before where they were, 0 where there was none. The same holds for slots.
    Parameter carried = was;
    carried.become(is.pattern(), is.storage());
    EXPECT_TRUE(testing::same_bits(carried.value(), is.value()));
    EXPECT_TRUE(testing::same_bits(carried.slot("momentum"), is.slot("momentum")));
  }
}

TEST(RigL, CountsTheDensePassAmongTheNextStepsFlops) {
  Session run("rigl");
  run.method->after_step(0, Session::steps);
  run.go(0, 4);
  const Flops usual = run.train_step(4).flops;
  run.method->after_step(5, Session::steps);
  const Flops after = run.train_step(5).flops;
  // 6 FLOPs per weight and sample, but for the first layer's inputs, whose gradient is not needed.
  const std::uint64_t dense = 32 * (6 * Session::positions - 2 * 40 * 24);
  EXPECT_GE(after.executed, usual.executed + dense);
}

TEST(Snfs, MomentumIsTheExponentialMeanOfDenseGradients) {
  for (const double every : {1.0, 2.0}) {
    Session run("snfs", 1, {{"every", every}});
    run.method->after_step(0, Session::steps);
    std::vector<std::vector<Real>> momentum;
    for (const NamedNumbers& state : run.method->state()) momentum.emplace_back(state.numbers.size(), Real{0});
    for (Index step = 1; step <= 4; ++step) {
      run.train_step(step - 1);
      if (step % static_cast<Index>(every) == 0) {
        const auto gradients = dense_gradients(run, step);
        for (std::size_t l = 0; l < momentum.size(); ++l)
          for (std::size_t i = 0; i < momentum[l].size(); ++i)
            momentum[l][i] = Real{0.9} * momentum[l][i] + Real{0.1} * gradients[l][i];
      }
      run.method->after_step(step, Session::steps);
      for (std::size_t l = 0; l < momentum.size(); ++l)
        testing::expect_close(momentum[l], run.method->state()[l].numbers, 16 * testing::epsilon, "momentum");
    }
  }
}

TEST(Snfs, GrowsMoreWhereLiveMomentumIsLargerAndWhereDeadMomentumIsLargest) {
  Session run("snfs");
  run.method->after_step(0, Session::steps);
  run.go(0, 4);
  run.train_step(4);
  // Momenta so large that the gradient which is added yet does not count: 1, 2 and 5 in live weights, and rising with
  // the position in dead ones.
  const double live_momentum[] = {1e6, 2e6, 5e6};
  std::vector<Parameter> before;
  std::vector<std::vector<Real>> momentum;
  for (std::size_t l = 0; l < 3; ++l) {
    const Parameter& W = before.emplace_back(*run.weights()[l]);
    const auto M = run.method->state()[l].numbers;
    for (std::size_t p = 0; p < M.size(); ++p) M[p] = static_cast<Real>(-1e3 * static_cast<double>(p));
    for (const Index p : live_of(W)) M[p] = static_cast<Real>(live_momentum[l]);
    momentum.emplace_back(M.begin(), M.end());
  }
  run.method->after_step(5, Session::steps);
  Index dropped = 0;
  std::vector<Index> drop, room;
  for (const Parameter& W : before) {
    drop.push_back(std::llround(fraction_at(5) * static_cast<double>(W.nonzeros())));
    room.push_back(W.positions() - W.nonzeros() + drop.back());
    dropped += drop.back();
  }
  // The output layer, 16 x 3, has no room for five eighths: it is filled, and the others share the rest 1 : 2.
  ASSERT_LT(room[2], dropped * 5 / 8);
  const double left = static_cast<double>(dropped - room[2]);
  EXPECT_EQ(run.weights()[2]->nonzeros(), 48);
  EXPECT_NEAR(run.weights()[0]->nonzeros() - before[0].nonzeros() + drop[0], left / 3, 1);
  EXPECT_NEAR(run.weights()[1]->nonzeros() - before[1].nonzeros() + drop[1], left * 2 / 3, 1);
  for (std::size_t l = 0; l < 2; ++l) {
    Positions expected = live_of(before[l]);
    for (const Index p : smallest_live(before[l], drop[l])) std::erase(expected, p);
    const Index grown = run.weights()[l]->nonzeros() - before[l].nonzeros() + drop[l];
    for (const Index p : largest_of_the_dead(expected, momentum[l], grown)) expected.push_back(p);
    std::ranges::sort(expected);
    EXPECT_EQ(live_of(*run.weights()[l]), expected);
  }
}

TEST(Snfs, RejectsSettingsThatMeanNothing) {
  for (const auto& settings :
       {std::map<std::string, double>{{"momentum", 1}}, {{"every", 0}}, {{"every", 1.5}}, {{"drop", 1}}})
    EXPECT_THROW(Session("snfs", 1, settings), UsageError) << settings.begin()->first;
}

TEST(AcDc, AlternatesBetweenDenseAndSparseAtTheRightStepsAndEndsSparse) {
  Session run("ac-dc");
  auto options = Session::options_of("ac-dc");
  options.schedule.rounds = 3;  // five phases in 72 of 80 steps: from 8, 22.4, 36.8, 51.2 and 65.6 on
  const auto method = make_method(methods().named("ac-dc"), {run.trainer, run.loader, options});
  EXPECT_TRUE(method->after_step(0, Session::steps).empty());
  const std::map<Index, bool> sparse_from{{8, true}, {22, false}, {37, true}, {51, false}, {66, true}};
  bool sparse = false;
  for (Index step = 1; step <= Session::steps; ++step) {
    run.train_step(step - 1);
    std::vector<Parameter> before;
    for (const Parameter* W : run.weights()) before.push_back(*W);
    const auto events = method->after_step(step, Session::steps);
    const auto change = sparse_from.find(step);
    EXPECT_EQ(events.empty(), change == sparse_from.end()) << step;
    if (change != sparse_from.end()) sparse = change->second;
    const auto counts = run.counts();
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), Index{0}),
              sparse ? std::llround(0.2 * Session::positions) : Session::positions);
    for (std::size_t l = 0; l < before.size(); ++l) {
      Parameter carried = before[l];
      carried.become(run.weights()[l]->pattern(), run.weights()[l]->storage());
      EXPECT_TRUE(testing::same_bits(carried.value(), run.weights()[l]->value()));
      EXPECT_TRUE(testing::same_bits(carried.slot("momentum"), run.weights()[l]->slot("momentum")));
    }
  }
  EXPECT_NEAR(method->density(), 0.2, 1e-3);
}

TEST(AcDc, AWeightThatWasCutStaysInTheNextSparsePhaseIfItHasOvertakenOthers) {
  Session run("ac-dc");
  Parameter& W = *run.weights()[0];
  Index step = 0;
  const auto until_next_phase = [&] {
    while (run.method->after_step(step++, Session::steps).empty()) ASSERT_LT(step, Session::steps);
  };
  until_next_phase();
  Index cut = 0;
  while (W.pattern()->live(cut / W.cols(), cut % W.cols())) ++cut;
  until_next_phase();
  ASSERT_EQ(W.storage(), Storage::dense);
  EXPECT_EQ(W.value()[cut], 0);
  W.value()[cut] = -10;  // as if it had been trained
  until_next_phase();
  ASSERT_NE(W.storage(), Storage::dense);
  EXPECT_TRUE(W.pattern()->live(cut / W.cols(), cut % W.cols()));
}

class DynamicSparse : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Methods, DynamicSparse, ::testing::Values("static", "set", "rigl", "snfs", "ac-dc"),
                         [](const auto& row) { return testing::test_name(row.param); });

TEST_P(DynamicSparse, GivesTheSameBitsForAnyNumberOfThreads) {
  const auto bits = [](int threads) {
    Session run(GetParam(), threads);
    run.method->after_step(0, Session::steps);
    run.go(0, Session::steps);
    return bits_of(run.trainer.parameters());
  };
  EXPECT_TRUE(bits(1) == bits(3));
}

TEST_P(DynamicSparse, GoesOnFromACheckpointToTheSameBits) {
  const testing::TemporaryFolder folder;
  Session whole(GetParam());
  whole.method->after_step(0, Session::steps);
  whole.go(0, Session::steps);
  for (const Index stop : {Index{13}, Index{40}}) {  // between two exchanges, and at one
    Session first(GetParam()), second(GetParam());
    first.method->after_step(0, Session::steps);
    first.go(0, stop);
    save_checkpoint(first.trainer.parameters(), {}, folder.path() / "half", first.method->state());
    load_checkpoint(second.trainer.parameters(), folder.path() / "half", second.method->state());
    second.trainer.resume_at(stop);
    second.loader.start_epoch(stop / second.loader.batches());
    second.go(stop, Session::steps);
    EXPECT_TRUE(bits_of(whole.trainer.parameters()) == bits_of(second.trainer.parameters())) << stop;
  }
}

}  // namespace
}  // namespace espalier
