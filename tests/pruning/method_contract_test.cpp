// What every pruning method owes, asked of all that the catalogue lists: nothing need be added here for a new one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/method.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {

void PrintTo(const MethodInfo& info, std::ostream* out) {  // in test output
  *out << info.name;
}

namespace {

using testing::bits_of;
using testing::blobs;

constexpr Index epochs = 12;

// Random networks need room to choose from.
bool is_of_random_weights(const MethodInfo& info) {
  return info.family == "strong lottery ticket";
}
double density_for(const MethodInfo& info) {
  return is_of_random_weights(info) ? info.defaults.schedule.density : 0.25;
}
const char* model_for(const MethodInfo& info) {
  if (info.name == "slimming") return "tabular:24-16+norm";  // whose layers have a normalisation
  return is_of_random_weights(info) ? "mlp:12-128-64-3" : "mlp:12-24-16-3";
}

// A network small enough for all methods to train in a second, and a training that can be left and taken up again.
struct Session {
  explicit Session(const MethodInfo& info, int threads = 1)
      : model(make_model(model_for(info), {.input = {12}, .outputs = 3})),
        trainer(*model, softmax_cross_entropy, *optimizer, {.threads = threads}),
        method(make_method(info, {trainer, loader, options_of(info), epochs * loader.batches()})) {}

  static PrunerOptions options_of(const MethodInfo& info) {
    PrunerOptions options{.allocation = info.defaults.allocation,
                          .structure = info.defaults.structure,
                          .schedule = info.defaults.schedule};
    options.schedule.density = density_for(info);
    options.schedule.interval = std::min<Index>(options.schedule.interval, 4);
    return options;
  }
  Index steps() const { return epochs * loader.batches(); }
  void begin() { method->after_step(0, steps()); }
  void go(Index from, Index to) {
    for (Index step = from; step < to; ++step) {
      loader.start_epoch(step / loader.batches());
      trainer.step(loader, step % loader.batches(), 0.05);
      method->after_step(step + 1, steps());
    }
  }
  std::vector<Parameter*> everything() {
    std::vector<Parameter*> all = trainer.parameters();
    std::ranges::copy(method->latents(), std::back_inserter(all));
    return all;
  }

  ModulePtr model;
  std::unique_ptr<Optimizer> optimizer = make_optimizer({});
  Loader loader{blobs(256), {.batch = 32, .lanes = 16}};
  Trainer trainer;
  std::unique_ptr<Method> method;
};

std::vector<std::vector<Real>> values_and_patterns(Session& run) {
  for (Parameter* W : run.trainer.parameters())
    for (const std::string& slot : W->slot_names()) W->remove_slot(slot);
  return bits_of(run.trainer.parameters());
}

class MethodContract : public ::testing::TestWithParam<MethodInfo> {};
INSTANTIATE_TEST_SUITE_P(Catalogue, MethodContract, ::testing::ValuesIn(methods().entries()),
                         [](const auto& row) { return testing::test_name(row.param.name); });

TEST_P(MethodContract, SaysWhatItIsWhereItWasPublishedAndWhatItCosts) {
  const MethodInfo& m = GetParam();
  for (const std::string* text : {&m.name, &m.family, &m.line, &m.source, &m.formula, &m.cost, &m.caveat, &m.example})
    EXPECT_FALSE(text->empty()) << m.name;
  EXPECT_NE(m.example.find("espalier "), std::string::npos);
  EXPECT_NE(m.example.find(m.name), std::string::npos);
  EXPECT_NE(m.criterion == nullptr, m.make == nullptr) << "a criterion or a hook of its own, not both";
  EXPECT_EQ(settled(m.defaults.schedule), m.defaults.schedule);
}

TEST_P(MethodContract, LeavesAnOrdinarySparseNetworkOfAtMostTheDensityAskedFor) {
  Session run(GetParam());
  run.begin();
  run.go(0, run.steps());
  run.method->finish(run.steps());
  const Census census = census_of(*run.model);
  if (const auto units = run.method->units()) {  // whose density is that of units, and whose matrices are dense
    EXPECT_EQ(units->kept(), std::lround(density_for(GetParam()) * static_cast<double>(units->before())));
    EXPECT_NEAR(run.method->density(), density_for(GetParam()), 1e-9);
    EXPECT_LT(census.positions, units->whole.positions / 2);
    EXPECT_EQ(census.density(), 1);
  } else {
    EXPECT_LE(census.density(), density_for(GetParam()) + 0.01);
    EXPECT_GT(census.density(), 0.02);
    EXPECT_NEAR(run.method->density(), census.density(), 1e-9);
  }
  for (const Parameter* W : run.trainer.parameters()) {
    if (!W->prunable() || !W->pattern()) continue;
    if (W->storage() != Storage::masked) continue;
    const std::vector<std::uint8_t> mask = W->pattern()->mask();
    for (std::size_t n = 0; n < mask.size(); ++n) EXPECT_TRUE(mask[n] || W->value()[n] == 0) << W->name() << ' ' << n;
  }
  // Better than chance, 1/3, by far; the trainer that is left is an ordinary one as well.
  const double accuracy = run.trainer.evaluate(run.loader).accuracy;
  EXPECT_GT(accuracy, 0.55) << GetParam().name;
  const auto before = census.live;
  run.go(0, 1);
  EXPECT_EQ(census_of(*run.model).live, before);
}

TEST_P(MethodContract, GivesTheSameBitsForAnyNumberOfThreads) {
  const auto bits = [&](int threads) {
    Session run(GetParam(), threads);
    run.begin();
    run.go(0, run.steps());
    run.method->finish(run.steps());
    return bits_of(run.trainer.parameters());
  };
  EXPECT_EQ(bits(1), bits(3));
}

TEST_P(MethodContract, GoesOnFromACheckpointAsIfNothingHadHappened) {
  const testing::TemporaryFolder folder;
  for (const Index stop : {Index{7}, Index{50}}) {
    Session whole(GetParam()), first(GetParam()), second(GetParam());
    whole.begin();
    whole.go(0, whole.steps());
    whole.method->finish(whole.steps());

    first.begin();
    first.go(0, stop);
    const std::filesystem::path file = folder.path() / "half";
    save_checkpoint(first.everything(), {}, file, first.method->state());
    if (const Narrowing* narrower = first.method->narrowing()) second.method->narrowing()->go_to(narrower->kept());
    load_checkpoint(second.everything(), file, second.method->state());
    second.trainer.resume_at(stop);
    second.go(stop, second.steps());
    second.method->finish(second.steps());
    EXPECT_EQ(values_and_patterns(whole), values_and_patterns(second)) << GetParam().name << " from step " << stop;
  }
}

}  // namespace
}  // namespace espalier
