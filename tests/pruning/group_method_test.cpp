// Whole units that are taken out while a network trains.
#include "espalier/pruning/group_method.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/optim/optimizer.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::bits_of;
using testing::contains;

// Bytes of the given shape, in three classes.
DatasetPtr shaped_blobs(const Shape& shape, Index samples) {
  std::vector<std::uint8_t> bytes;
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < samples; ++i) {
    const auto label = static_cast<std::uint64_t>(i % 3);
    const Random pattern(1, "pattern", label), noise(1, "noise", 0, static_cast<std::uint64_t>(i));
    for (std::uint64_t f = 0; f < static_cast<std::uint64_t>(shape.features()); ++f)
      bytes.push_back(static_cast<std::uint8_t>((pattern.bits(f) & 1 ? 130 : 30) + noise.below(f, 96)));
    labels.push_back(static_cast<std::int32_t>(label));
  }
  return std::make_shared<ByteSamples>("shaped", shape, 3, std::move(bytes), std::move(labels));
}

struct Asked {
  std::string model = "mlp:12-24-16-3", method = "neuron-magnitude", structure = "units";
  Shape input = {12};
  PrunerOptions options = {.schedule = {.kind = Schedule::Kind::linear, .density = 0.25, .end = 0.6, .interval = 3}};
  Settings settings = {};
  int threads = 1;
  OptimizerOptions optimizer = {};
};

struct GroupSession {
  explicit GroupSession(const Asked& asked)
      : model(make_model(asked.model, {.input = asked.input, .outputs = 3})),
        optimizer(make_optimizer(asked.optimizer)),
        loader(shaped_blobs(asked.input, 96), {.batch = 32, .lanes = 16}),
        trainer(*model, softmax_cross_entropy, *optimizer, {.threads = asked.threads}),
        options(asked.options) {
    options.structure = structure_named(asked.structure);
    method = make_method(
        methods().named(asked.method),
        {.trainer = trainer, .train = loader, .options = options, .steps = steps, .settings = asked.settings});
  }
  std::vector<PruneEvent> train_all() {
    std::vector<PruneEvent> last;
    method->after_step(0, steps);
    for (Index step = 0; step < steps; ++step) {
      trainer.step(loader, step % loader.batches(), 0.05);
      if (auto events = method->after_step(step + 1, steps); !events.empty()) last = std::move(events);
    }
    return last;
  }
  Parameter& parameter(const std::string& name) {
    for (Parameter* W : trainer.parameters())
      if (W->name() == name) return *W;
    throw UsageError("no " + name);
  }

  static constexpr Index steps = 30;
  ModulePtr model;
  std::unique_ptr<Optimizer> optimizer;
  Loader loader;
  Trainer trainer;
  PrunerOptions options;
  std::unique_ptr<Method> method;
};

std::string refused(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "nothing was refused";
}

// --- narrowing -------------------------------------------------------------------------------------------------------

// Invariants 1 and 3.
TEST(Narrowing, KeepsTheFirstNumbersOfWhatIsLeft) {
  const ModulePtr model = make_model("mlp:3-6-4-2", {.input = {3}, .outputs = 2});
  Narrowing narrowing(*model, {3});
  const auto number_of = [&](const char* name) {
    return static_cast<std::size_t>(&width_named(narrowing.whole(), name) - narrowing.whole().data());
  };
  const std::size_t fc1 = number_of("fc1"), fc2 = number_of("fc2");
  Kept kept = all_of(narrowing.widths());
  kept[fc1] = {0, 2, 3, 5};
  const auto first = narrowing.keep(kept, 10);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[0].before, nullptr);
  EXPECT_EQ(first[2].after, nullptr) << "the output layer has lost nothing";
  kept = all_of(narrowing.widths());
  kept[fc1] = {1, 3};
  kept[fc2] = {3};
  const auto second = narrowing.keep(kept, 20);
  EXPECT_EQ(narrowing.kept()[fc1], (std::vector<Index>{2, 5}));
  EXPECT_EQ(narrowing.widths()[fc1].groups, 2);
  EXPECT_EQ(narrowing.whole()[fc1].groups, 6);
  EXPECT_EQ(parameters_of(*model)[0]->rows(), 2);
  const PruneEvent& of_fc2 = second[1];
  EXPECT_EQ(of_fc2.layer, "fc2.weight");
  EXPECT_EQ(std::pair(of_fc2.rows, of_fc2.cols), std::pair(Index{4}, Index{6}));
  EXPECT_EQ(*of_fc2.before, *Pattern::from_positions(
                                4, 6, std::vector<Index>{0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23}));
  EXPECT_EQ(*of_fc2.after, *Pattern::from_positions(4, 6, std::vector<Index>{20, 23}));
  EXPECT_EQ(of_fc2.kept, 2);
  EXPECT_DOUBLE_EQ(of_fc2.density, 2.0 / 24);
}

// Invariant 2.
TEST(Narrowing, GivesAModelOfAnyWidthTheShapeThatACheckpointHas) {
  const Shape input{3, 8, 8};
  const auto made = [&] { return make_model("resnet-20", {.input = input, .outputs = 3}); };
  const ModulePtr model = made(), other = made();
  Narrowing narrowing(*model, input), loaded(*other, input);
  const auto halve = [](Narrowing& n) {
    Kept kept = all_of(n.widths());
    for (std::size_t w = 0; w < kept.size(); ++w)
      if (n.widths()[w].fixed.empty()) kept[w].resize(std::max<std::size_t>(kept[w].size() / 2, 1));
    n.keep(kept, 0);
  };
  halve(narrowing);
  const Kept wide = narrowing.kept();
  halve(narrowing);
  loaded.go_to(narrowing.kept());
  for (const Kept& kept : {narrowing.kept(), wide, narrowing.kept()}) {
    loaded.go_to(kept);
    EXPECT_EQ(loaded.kept(), kept);
  }
  const auto a = parameters_of(*model), b = parameters_of(*other);
  for (std::size_t p = 0; p < a.size(); ++p)
    EXPECT_EQ(std::pair(a[p]->rows(), a[p]->cols()), std::pair(b[p]->rows(), b[p]->cols())) << a[p]->name();
  const auto x = state_of(*model), y = state_of(*other);
  for (std::size_t s = 0; s < x.size(); ++s) EXPECT_EQ(x[s].numbers.size(), y[s].numbers.size()) << x[s].name;
  for (std::size_t w = 0; w < loaded.widths().size(); ++w)
    EXPECT_EQ(loaded.widths()[w].groups, narrowing.widths()[w].groups);
}

TEST(Narrowing, TellsNeuronsChannelsAndHeadsApart) {
  const auto kinds = [](const std::string& model, const Shape& input) {
    const ModulePtr m = make_model(model, {.input = input, .outputs = 3});
    const auto widths = widths_of(*m, input);
    const auto all = kinds_of(widths, *m, input);
    std::map<std::string, std::string> of;
    for (std::size_t w = 0; w < widths.size(); ++w)
      if (widths[w].fixed.empty()) of[widths[w].name] = name_of(all[w]);
    return of;
  };
  using Kinds = std::map<std::string, std::string>;
  EXPECT_EQ(kinds("lenet-5", {1, 16, 16}), (Kinds{{"conv1", "channels"}, {"conv2", "channels"}, {"fc1", "neurons"}}));
  EXPECT_EQ(kinds("mlp:12-8-3", {12}), (Kinds{{"fc1", "neurons"}}));
  EXPECT_EQ(kinds("gru:6", {5, 2}), (Kinds{{"gru.input", "neurons"}}));
  const Kinds attention = kinds("attention:8x4x1", {5, 2});
  EXPECT_EQ(std::ranges::count(attention, "heads", &Kinds::value_type::second), 1);
  EXPECT_EQ(std::ranges::count(attention, "neurons", &Kinds::value_type::second), 1) << "the hidden layer's";
}

// --- training --------------------------------------------------------------------------------------------------------

TEST(GroupMethod, LeavesADenseNetworkThatIsNarrower) {
  for (const char* method : {"neuron-magnitude", "fpgm", "group-lasso", "magnitude", "taylor", "random"})
    for (const bool global : {true, false}) {
      SCOPED_TRACE(fmt::format("{}, {}", method, global));
      Asked asked{.method = method, .structure = "neurons"};
      asked.options.allocation = global ? Allocation::global : Allocation::uniform;
      GroupSession run(asked);
      const Census before = census_of(*run.model);
      const auto events = run.train_all();
      ASSERT_EQ(events.size(), 3u);
      EXPECT_DOUBLE_EQ(run.method->density(), 0.25);
      const UnitsLeft units = *run.method->units();
      EXPECT_EQ(std::pair(units.before(), units.kept()), std::pair(Index{40}, Index{10}));
      if (!global) {
        EXPECT_EQ(run.parameter("fc1.weight").rows(), 6);
      }
      EXPECT_EQ(run.parameter("fc1.weight").rows() + run.parameter("fc2.weight").rows(), 10);
      EXPECT_EQ(run.parameter("fc2.weight").cols(), run.parameter("fc1.weight").rows());
      EXPECT_LT(census_of(*run.model).parameters(), before.parameters() / 3);
      Index kept = 0;
      for (Parameter* W : run.trainer.parameters()) {
        EXPECT_EQ(W->storage(), Storage::dense);
        for (const std::string& slot : W->slot_names()) EXPECT_EQ(W->slot(slot).size(), W->value().size());
      }
      for (const PruneEvent& event : events) kept += event.kept;
      EXPECT_EQ(kept, census_of(*run.model).live);
      EXPECT_GT(run.trainer.evaluate(run.loader).accuracy, 0.6);
    }
}

TEST(GroupMethod, TakesChannelsOfAResidualNetworkWithTheirNormalisation) {
  Asked asked{.model = "resnet-20", .structure = "channels", .input = {3, 8, 8}};
  asked.options.schedule.density = 0.5;
  GroupSession run(asked);
  const auto flops = [&] {
    Trainer other(*run.model, softmax_cross_entropy, *run.optimizer, {.threads = 1});
    return other.evaluate(run.loader).flops.executed;
  };
  const auto before = flops();
  run.train_all();
  EXPECT_NEAR(run.method->density(), 0.5, 0.01);
  EXPECT_LT(flops(), before / 2);
  EXPECT_EQ(run.model->output_shape({3, 8, 8}), Shape{3});
  for (const NamedNumbers& state : state_of(*run.model)) {
    const std::string layer = state.name.substr(0, state.name.rfind('.'));
    EXPECT_EQ(std::ssize(state.numbers), run.parameter(layer + ".gamma").rows()) << state.name;
  }
  // Sums need the same channels on both sides.
  EXPECT_EQ(run.parameter("stage1.block1.conv2.weight").rows(), run.parameter("conv1.weight").rows());
}

TEST(GroupMethod, TakesHeadsOfAttention) {
  Asked asked{.model = "attention:8x4x1", .structure = "heads", .input = {5, 2}};
  asked.options.schedule.density = 0.5;
  GroupSession run(asked);
  Index rows = 0;
  for (const Parameter* W : run.trainer.parameters())
    if (W->name().ends_with("query.weight")) rows = W->rows();
  EXPECT_EQ(rows, 8);
  run.train_all();
  for (const Parameter* W : run.trainer.parameters()) {
    if (W->name().ends_with("query.weight") || W->name().ends_with("key.weight")) {
      EXPECT_EQ(W->rows(), 4) << W->name();
    }
    if (W->name().ends_with("attention.output.weight")) {
      EXPECT_EQ(W->cols(), 4);
    }
  }
  EXPECT_EQ(run.method->units()->kept(), 2);
  EXPECT_TRUE(std::isfinite(run.trainer.evaluate(run.loader).loss));
}

TEST(GroupMethod, GivesTheSameBitsForAnyNumberOfThreadsOnConvolutionsToo) {
  const auto bits = [](int threads) {
    Asked asked{.model = "resnet-20", .method = "slimming", .input = {3, 8, 8}, .threads = threads};
    asked.options.schedule = {.kind = Schedule::Kind::one_shot, .density = 0.5, .begin = 0.5, .end = 0.5};
    GroupSession run(asked);
    run.train_all();
    return bits_of(run.trainer.parameters());
  };
  EXPECT_EQ(bits(1), bits(2));
}

// --- guards ----------------------------------------------------------------------------------------------------------

TEST(GroupMethod, KeepsMinimaMultiplesAndProtectedLayers) {
  Asked asked;
  asked.options.units = {.criterion = "random", .round_to = 4, .minimum = 5};
  asked.options.schedule.density = 0.1;
  {
    GroupSession run(asked);
    run.train_all();
    const Index fc1 = run.parameter("fc1.weight").rows(), fc2 = run.parameter("fc2.weight").rows();
    EXPECT_EQ(std::pair(fc1 % 4, fc2 % 4), std::pair(Index{0}, Index{0}));
    EXPECT_GE(std::min(fc1, fc2), 5);
  }
  asked.options.units = {};
  asked.options.protect = {"fc2"};
  asked.options.schedule.density = 0.25;
  GroupSession run(asked);
  run.train_all();
  EXPECT_EQ(run.parameter("fc2.weight").rows(), 16);
  EXPECT_EQ(run.parameter("fc1.weight").rows(), 6) << "the share is of the units that may go";
}

TEST(GroupMethod, SaysInOneLineWhatCannotBe) {
  const auto says = [](const std::function<void(Asked&)>& change) {
    Asked asked;
    change(asked);
    return refused([&] { GroupSession run(asked); });
  };
  EXPECT_EQ(says([](Asked& a) { a.structure = "channels"; }),
            "[structure] expected a network with channels that may go, got mlp:12-24-16-3 with 24 neurons of fc1, 16 "
            "neurons of fc2");
  EXPECT_PRED2(contains, says([](Asked& a) { a.options.protect = {"fc3"}; }), "got \"fc3\"; did you mean fc1 or fc2?");
  EXPECT_PRED2(contains, says([](Asked& a) { a.options.allocation = Allocation::lamp; }),
               "[allocation] expected global or uniform");
  EXPECT_PRED2(contains, says([](Asked& a) { a.options.units.criterion = "norm-scale"; }),
               "[norm-scale] fc1: expected a normalisation");
  EXPECT_PRED2(contains, says([](Asked& a) { a.options.units.round_to = 0; }), "[round-to]");
  EXPECT_PRED2(contains, says([](Asked& a) { a.options.units.minimum = 0; }), "[minimum]");
  EXPECT_PRED2(contains, says([](Asked& a) { a.method = "snip"; }),
               "[structure] expected a method that takes out whole units (random, magnitude, taylor, neuron-magnitude, "
               "fpgm, slimming or group-lasso");
  EXPECT_PRED2(contains, says([](Asked& a) { a.structure = "elements"; }),
               "[structure] expected neurons, channels, heads or units, for neuron-magnitude takes out whole units");
  EXPECT_PRED2(contains, says([](Asked& a) { a.method = "slimming"; }),
               "[slimming] expected a network with units that may go and have a batch norm behind them, got "
               "mlp:12-24-16-3");
}

TEST(GroupMethod, RefusesToCutALayerAndNamesIt) {
  Asked asked{.structure = "neurons"};
  asked.options.allocation = Allocation::uniform;
  EXPECT_EQ(refused([&] { GroupSession(asked).method->require_possible(0.03); }),
            "[structure] neurons: expected at least 1 of the 16 neurons of fc2 to stay, got none at density 0.03: the "
            "layer would be cut; ask for more, or protect it");
  asked.options.allocation = Allocation::global;
  EXPECT_EQ(
      refused([&] { GroupSession(asked).method->require_possible(0.03); }),
      "[structure] neurons: expected at least 2 of 40 to stay, which fc1, fc2 need, got 1 at density 0.03: a layer "
      "would be cut; ask for more");
  GroupSession(asked).method->require_possible(0.05);
  // One layer's units are all worse: its best one stays.
  GroupSession run(asked);
  for (const char* name : {"fc2.weight", "output.weight"}) {
    Parameter& W = run.parameter(name);
    std::ranges::fill(W.value(), Real{1e-6});
  }
  run.method->prune_to(0.5, 0);
  EXPECT_GE(run.parameter("fc2.weight").rows(), 1);
}

// --- penalties -------------------------------------------------------------------------------------------------------

TEST(GroupLasso, TakesTheProximalStepByHand) {
  EXPECT_DOUBLE_EQ(proximal_factor(5, 1), 0.8);
  EXPECT_EQ(proximal_factor(1, 1), 0);
  EXPECT_EQ(proximal_factor(0.5, 1), 0);
  EXPECT_EQ(proximal_factor(0, 0), 0);
  // Rows (3, 4) and (0.6, 0.8): norms 5 and 1. rate strength sqrt(2) = 1 takes the first to 4/5, the second to zero.
  Asked asked{.model = "mlp:2-2-3", .method = "group-lasso", .input = {2}, .settings = {{"strength", 0.5}}};
  asked.options.schedule = {.kind = Schedule::Kind::one_shot, .density = 0.5, .begin = 0.5, .end = 0.5};
  GroupSession run(asked);
  Parameter& W = run.parameter("fc1.weight");
  const Parameter& V = run.parameter("output.weight");
  const std::vector<Real> other(V.value().begin(), V.value().end());
  std::ranges::copy(std::vector<Real>{3, 4, Real{0.6}, Real{0.8}}, W.value().begin());
  auto& latents = dynamic_cast<Latents&>(*run.method);
  latents.finish(static_cast<Real>(std::sqrt(2.0)), 1);
  EXPECT_NEAR(W.value()[0], 2.4, 1e-6);
  EXPECT_NEAR(W.value()[1], 3.2, 1e-6);
  EXPECT_NEAR(W.value()[2], 0, 1e-6);
  EXPECT_NEAR(W.value()[3], 0, 1e-6);
  EXPECT_TRUE(std::ranges::equal(other, std::as_const(V).value())) << "what reads the units pays nothing";
  latents.finish(1, 16);
  EXPECT_NEAR(W.value()[0], 2.4, 1e-6) << "after the last pruning there is no penalty";
  run.method->prune_to(0.5, 15);
  EXPECT_NEAR(W.value()[1], 3.2, 1e-6) << "the unit without weights has gone";
}

TEST(Slimming, PullsScalesByHandAndComparesThemAsTheyAre) {
  std::vector<Real> G{1, 1, 1};
  add_scale_penalty(std::vector<Real>{2, -3, 0}, Real{0.5}, G);
  EXPECT_EQ(G, (std::vector<Real>{Real{1.5}, Real{0.5}, 1}));

  Asked asked{.model = "tabular:4-4+norm",
              .method = "slimming",
              .input = {6},
              .settings = {{"strength", 0.1}},
              .optimizer = {.momentum = 0}};
  asked.options.schedule = {.kind = Schedule::Kind::one_shot, .density = 0.5, .begin = 0.5, .end = 0.5};
  GroupSession run(asked);
  std::vector<Parameter*> scales;
  for (Parameter* W : run.trainer.parameters())
    if (W->role() == Role::scale) scales.push_back(W);
  ASSERT_EQ(scales.size(), 2u);
  auto& latents = dynamic_cast<Latents&>(*run.method);
  const std::vector<Real> none(4, 0);
  scales[0]->value()[1] = -1;
  ASSERT_TRUE(latents.update(*scales[0], scales[0]->blocks()[0], none, Real{0.5}, 1));
  EXPECT_NEAR(scales[0]->value()[0], 0.95, 1e-6);
  EXPECT_NEAR(scales[0]->value()[1], -0.95, 1e-6);
  EXPECT_FALSE(latents.update(*scales[0], scales[0]->blocks()[0], none, Real{0.5}, 16)) << "after the cut";
  Parameter& W = run.parameter("fc1.weight");
  EXPECT_FALSE(latents.update(W, W.blocks()[0], std::vector<Real>(24, 0), Real{0.5}, 1)) << "weights are as they were";
  // All scales of the second layer are smaller than those of the first: one of it stays, and four of eight in all.
  std::ranges::copy(std::vector<Real>{1, 2, 3, 4}, scales[0]->value().begin());
  std::ranges::copy(std::vector<Real>{Real{0.3}, Real{0.4}, Real{0.1}, Real{0.2}}, scales[1]->value().begin());
  run.method->prune_to(0.5, 15);
  EXPECT_EQ(scales[0]->rows(), 3);
  EXPECT_EQ(scales[0]->value()[0], 2);
  ASSERT_EQ(scales[1]->rows(), 1);
  EXPECT_EQ(scales[1]->value()[0], Real{0.4});
}

}  // namespace
}  // namespace espalier
