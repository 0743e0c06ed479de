#include "espalier/pruning/pruner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/fit.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::blobs;
using testing::contains;
using testing::dense_values;

// Three layers of drawn weights with a slot, and a bias.
struct Model {
  std::vector<Parameter> owned;
  std::vector<Parameter*> list;

  Model() {
    owned.reserve(4);
    owned.emplace_back("fc1.weight", 30, 40);
    owned.emplace_back("fc1.bias", 30, 1, Role::bias);
    owned.emplace_back("fc2.weight", 20, 30);
    owned.emplace_back("output.weight", 10, 20);
    for (Parameter& W : owned) {
      W.add_slot("momentum");
      testing::fill_normal(W.value(), W, W.name());
      testing::fill_normal(W.slot("momentum"), W, W.name(), 2);
      list.push_back(&W);
    }
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  Index live() const {
    Index sum = 0;
    for (const Parameter& W : owned) sum += W.prunable() ? W.nonzeros() : 0;
    return sum;
  }
  static constexpr Index positions = 1200 + 600 + 200;
};

// name, row, column -> value, slot
std::map<std::tuple<std::string, Index, Index>, std::pair<Real, Real>> weights_of(const Model& model) {
  std::map<std::tuple<std::string, Index, Index>, std::pair<Real, Real>> weights;
  for (const Parameter& W : model.owned)
    W.for_each_weight([&](Index r, Index c, Index at) {
      const auto i = static_cast<std::size_t>(at);
      weights[{W.name(), r, c}] = {W.value()[i], W.slot("momentum")[i]};
    });
  return weights;
}

const char* const schedules[] = {"one-shot", "linear", "cubic", "iterative"};
const Allocation allocations[] = {Allocation::uniform, Allocation::er, Allocation::global, Allocation::lamp};

TEST(Pruner, KeepsExactlyTheWantedNumberAfterEverySchedule) {
  for (const char* criterion : {"magnitude", "random"})
    for (const char* kind : schedules)
      for (const Allocation& allocation : allocations) {
        Model model;
        Pruner pruner(
            model.list, criterion_named(criterion),
            {.allocation = allocation, .schedule = {.kind = schedule_named(kind), .density = 0.13, .interval = 7}});
        for (Index step = 0; step <= 100; ++step) {
          const auto events = pruner.after_step(step, 100);
          if (events.empty()) continue;
          Index kept = 0;
          for (const PruneEvent& event : events) {
            const Parameter& W = **std::ranges::find(model.list, event.layer, &Parameter::name);
            EXPECT_EQ(event.step, step);
            EXPECT_EQ(event.kept, W.nonzeros());
            EXPECT_EQ(event.density, W.density());
            EXPECT_EQ(event.storage, W.storage());
            kept += event.kept;
          }
          EXPECT_EQ(kept, model.live());
          const double density = pruner.options().schedule.density_at(step, 100);
          const Index slack = allocation == Allocation::uniform ? 2 : 0;  // it rounds in each of three layers
          EXPECT_LE(std::abs(kept - std::llround(density * static_cast<double>(Model::positions))), slack);
        }
        EXPECT_EQ(model.live(), 260) << criterion << ' ' << kind << ' ' << name_of(allocation);
        EXPECT_EQ(model.owned[1].storage(), Storage::dense);  // the bias
      }
}

TEST(Pruner, MagnitudeKeepsTheLargestWeightsOfAllLayersTogether) {
  Model model;
  std::vector<Real> magnitudes;
  for (const Parameter& W : model.owned)
    if (W.prunable())
      for (const Real w : W.value()) magnitudes.push_back(std::abs(w));
  std::ranges::sort(magnitudes, std::greater{});
  Pruner pruner(model.list, criterion_named("magnitude"), {.schedule = {.density = 0.1}});
  pruner.prune_to(0.1, 0);
  for (const Parameter& W : model.owned)
    if (W.prunable())
      W.for_each_weight([&](Index, Index, Index at) { EXPECT_GE(std::abs(W.value()[at]), magnitudes[199]); });
  EXPECT_EQ(model.live(), 200);
}

TEST(Pruner, TouchesNeitherValuesNorSlotsOfSurvivorsAndRevivesNone) {
  Model model;
  Pruner pruner(
      model.list, criterion_named("magnitude"),
      {.schedule = {.kind = Schedule::Kind::cubic, .density = 0.05, .begin = 0.1, .end = 0.6, .interval = 10}});
  std::size_t events = 0;
  for (Index step = 0; step <= 100; ++step) {
    const auto before = weights_of(model);
    if (pruner.after_step(step, 100).empty()) continue;
    ++events;
    const auto after = weights_of(model);
    EXPECT_LT(after.size(), before.size());
    for (const auto& [place, numbers] : after) {
      const auto was = before.find(place);
      ASSERT_NE(was, before.end());  // none came back
      EXPECT_EQ(was->second, numbers);
    }
  }
  EXPECT_EQ(events, 5u);
}

TEST(Pruner, LayersGoFromDenseThroughMaskedToCsrByTheRules) {
  Model model;
  Pruner pruner(model.list, criterion_named("magnitude"),
                {.allocation = Allocation::uniform,
                 .schedule = {.kind = Schedule::Kind::iterative, .density = 0.1, .begin = 0.1, .end = 0.9, .rounds = 9},
                 .storage = {.csr_below = 0.5, .csr_below_of = {{"fc2.weight", 0.2}}}});
  std::map<std::string, std::vector<Storage>> seen;
  for (Index step = 0; step <= 100; ++step) {
    pruner.after_step(step, 100);
    for (const Parameter& W : model.owned) {
      std::vector<Storage>& storages = seen[W.name()];
      if (storages.empty() || storages.back() != W.storage()) storages.push_back(W.storage());
      if (!W.prunable() || W.storage() == Storage::dense) continue;
      const double limit = W.name() == "fc2.weight" ? 0.2 : 0.5;
      EXPECT_EQ(W.storage(), W.density() <= limit ? Storage::csr : Storage::masked) << W.name() << ' ' << W.density();
    }
  }
  const std::vector<Storage> all{Storage::dense, Storage::masked, Storage::csr};
  for (const char* name : {"fc1.weight", "fc2.weight", "output.weight"}) EXPECT_EQ(seen[name], all) << name;
  EXPECT_EQ(seen["fc1.bias"], std::vector<Storage>{Storage::dense});
}

TEST(Pruner, ALiveWeightThatIsZeroIsNotAPrunedOne) {
  Model model;
  Parameter& W = model.owned[0];
  Pruner pruner(model.list, criterion_named("random"), {.schedule = {.density = 0.1}});
  pruner.prune_to(0.5, 1);
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    W.become(W.pattern(), storage);
    std::ranges::fill(W.value(), Real{0});  // live, all of them
    const PatternPtr before = W.pattern();
    const Index live = model.live();
    // The same density again prunes nothing: nonzero values are not what is counted.
    pruner.prune_to(0.5, 2);
    EXPECT_EQ(model.live(), live);
    EXPECT_EQ(*W.pattern(), *before);
  }
  Pruner magnitude(model.list, criterion_named("magnitude"),
                   {.allocation = Allocation::uniform, .schedule = {.density = 0.1}});
  magnitude.prune_to(0.1, 3);
  EXPECT_EQ(W.nonzeros(), 120);  // although all scores tie at 0
}

TEST(Pruner, DoesNothingWhileTheScheduleSaysOne) {
  Model model;
  Pruner pruner(model.list, criterion_named("magnitude"),
                {.schedule = {.kind = Schedule::Kind::cubic, .begin = 0.1, .end = 0.5, .interval = 10}});
  for (Index step = 0; step <= 10; ++step) EXPECT_TRUE(pruner.after_step(step, 100).empty()) << step;
  EXPECT_FALSE(pruner.after_step(20, 100).empty());
  EXPECT_TRUE(pruner.after_step(21, 100).empty());
}

TEST(Pruner, LeavesEverythingAsItWasIfALayerWouldBeEmptied) {
  Model model;
  std::ranges::fill(model.owned[2].value(), Real{0});
  const auto before = testing::bits_of(model.list);
  Pruner pruner(model.list, criterion_named("magnitude"), {.schedule = {.density = 0.1}});
  try {
    pruner.prune_to(0.1, 1);
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(contains, error.what(), "fc2.weight");
  }
  EXPECT_TRUE(before == testing::bits_of(model.list));
}

TEST(Pruner, NeverTouchesProtectedLayersNorCountsThem) {
  Model model;
  Pruner pruner(model.list, criterion_named("magnitude"), {.schedule = {.density = 0.1}, .protect = {"output.weight"}});
  for (const PruneEvent& event : pruner.prune_to(0.1, 1)) EXPECT_NE(event.layer, "output.weight");
  EXPECT_EQ(model.owned[3].storage(), Storage::dense);
  EXPECT_EQ(model.live(), 200 + 180);  // all of the output's, a tenth of 1800
}

TEST(Pruner, RejectsLayersToProtectThatDoNotExistAndImpossibleOptions) {
  Model model;
  try {
    Pruner(model.list, criterion_named("magnitude"), {.schedule = {}, .protect = {"output.weight", "fc3.weight"}});
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(contains, error.what(), "\"fc3.weight\"");
  }
  EXPECT_THROW(Pruner(model.list, nullptr, {}), UsageError);
  EXPECT_THROW(Pruner(model.list, criterion_named("magnitude"), {.schedule = {.density = 0}}), UsageError);
}

TEST(Pruner, GivenDensitiesFixTheFinalOneAndAreMet) {
  Model model;
  Pruner pruner(model.list, criterion_named("magnitude"),
                {.allocation = allocation_named("fc1=0.05,fc2=0.1"),
                 .schedule = {.kind = Schedule::Kind::cubic, .density = 0.9, .interval = 10},
                 .protect = {"output.weight"}});
  EXPECT_NEAR(pruner.options().schedule.density, 120.0 / 1800, 1e-12);
  std::size_t prunings = 0;
  for (Index step = 0; step <= 100; ++step) prunings += !pruner.after_step(step, 100).empty();
  EXPECT_GE(prunings, 5u);
  EXPECT_EQ(model.owned[0].nonzeros(), 60);
  EXPECT_EQ(model.owned[2].nonzeros(), 60);
  EXPECT_EQ(model.owned[3].nonzeros(), 200);
  EXPECT_THROW(Pruner(model.list, criterion_named("magnitude"), {.allocation = allocation_named("fc1=0.05,fc2=0.1")}),
               UsageError);
}

TEST(Pruner, ErkWantsToKnowEveryLayersKernel) {
  Model model;
  std::map<std::string, LayerGeometry> geometry{
      {"fc1.weight", {.rows = 30, .cols = 40, .window = Window{.kernel_height = 2, .kernel_width = 2}, .input = {}}},
      {"fc2.weight", {.rows = 20, .cols = 30, .window = {}, .input = {}}}};
  EXPECT_THROW(Pruner(model.list, criterion_named("magnitude"), {.allocation = Allocation::erk, .geometry = geometry}),
               UsageError);
  geometry["output.weight"] = {.rows = 10, .cols = 20, .window = {}, .input = {}};
  Pruner pruner(model.list, criterion_named("magnitude"), {.allocation = Allocation::erk, .geometry = geometry});
  pruner.prune_to(124.0 / 2000, 1);  // (10 + 30 + 2 + 2) : 50 : 30
  EXPECT_EQ(model.owned[0].nonzeros(), 44);
  EXPECT_EQ(model.owned[2].nonzeros(), 50);
  EXPECT_EQ(model.owned[3].nonzeros(), 30);
}

TEST(KeepLive, IsThePatternOfTheChosenOnesEvenWhereRowsAreEmpty) {
  Parameter W("W", 4, 3);
  W.become(Pattern::from_positions(4, 3, std::vector<Index>{0, 2, 7, 9, 11}), Storage::csr);
  EXPECT_EQ(*keep_live(W, std::vector<std::uint32_t>{1, 2}), *Pattern::from_positions(4, 3, std::vector<Index>{2, 7}));
  EXPECT_EQ(*keep_live(W, std::vector<std::uint32_t>{4}), *Pattern::from_positions(4, 3, std::vector<Index>{11}));
  EXPECT_EQ(keep_live(W, {})->nonzeros(), 0);
  EXPECT_EQ(*keep_live(W, std::vector<std::uint32_t>{0, 1, 2, 3, 4}), *W.pattern());
}

// --- while training -------------------------------------------------------------------------------------------------

// Dropout, a ragged last tile of eight, gradual pruning that switches storages in the middle: the same bits whichever
// threads compute them.
std::vector<std::vector<Real>> trained_bits(int threads, double clip_norm, const std::string& optimizer_name) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc1", .in = 40, .out = 60, .activation = Activation::relu}, 1)
      .add<Dropout>("drop", Real{0.3})
      .add<Linear>(LinearOptions{.name = "output", .in = 60, .out = 5}, 1);
  const auto optimizer = make_optimizer({.name = optimizer_name, .weight_decay = 1e-3});
  Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = threads, .clip_norm = clip_norm});
  Loader loader(blobs(8 * 16 * 3 - 20, 40, 5), {.batch = 8 * 16 - 5, .lanes = 16});
  EXPECT_EQ(loader.tiles(0), 8);
  std::set<Storage> storages;
  Pruner pruner(trainer.parameters(), criterion_named("magnitude"),
                {.schedule = {.kind = Schedule::Kind::cubic, .density = 0.15, .begin = 0.2, .end = 0.8, .interval = 2},
                 .storage = {.csr_below = 0.5}});
  fit(trainer, loader, nullptr, {.epochs = 6, .rate = {.rate = 0.02}, .after_step = [&](Index step, Index steps) {
                                   for (const PruneEvent& event : pruner.after_step(step, steps))
                                     storages.insert(event.storage);
                                 }});
  EXPECT_TRUE(storages.contains(Storage::masked) && storages.contains(Storage::csr));
  return testing::bits_of(trainer.parameters());
}

TEST(PrunedTraining, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const char* optimizer : {"sgd", "adamw"})
    for (const double clip_norm : {0.0, 0.5}) {
      const auto one = trained_bits(1, clip_norm, optimizer);
      for (const int threads : {2, 3, 4})
        EXPECT_TRUE(one == trained_bits(threads, clip_norm, optimizer)) << threads << ' ' << clip_norm << optimizer;
    }
}

// Storage is a matter of speed: the rules must not change what is learnt.
TEST(PrunedTraining, LearnsTheSameWhateverTheStorageRules) {
  std::vector<std::vector<Real>> values[3];
  const double csr_below[] = {0, 0.5, 1};
  for (int run = 0; run < 3; ++run) {
    Sequential model;
    model.add<Linear>(LinearOptions{.name = "fc1", .in = 40, .out = 60, .activation = Activation::relu}, 1)
        .add<Linear>(LinearOptions{.name = "output", .in = 60, .out = 5}, 1);
    const auto optimizer = make_optimizer({});
    Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = 2});
    Loader loader(blobs(200, 40, 5), {.batch = 50, .lanes = 16});
    Pruner pruner(trainer.parameters(), criterion_named("random"),
                  {.schedule = {.density = 0.15, .begin = 0.2, .end = 0.8, .interval = 2},
                   .storage = {.csr_below = csr_below[run]}});
    fit(trainer, loader, nullptr, {.epochs = 5, .rate = {.rate = 0.02}, .after_step = [&](Index step, Index steps) {
                                     pruner.after_step(step, steps);
                                   }});
    for (const Parameter* W : trainer.parameters()) values[run].push_back(dense_values(*W));
  }
  for (int run = 1; run < 3; ++run)
    for (std::size_t p = 0; p < values[0].size(); ++p)
      testing::expect_close(values[0][p], values[run][p], Real{1e-4}, "weights");
}

}  // namespace
}  // namespace espalier
