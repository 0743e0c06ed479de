// Looking changes nothing: what is timed, counted, scored or evaluated is afterwards, byte for byte, what it was
// before, and training goes on as if nothing had looked.
#include "espalier/layers/unchanged.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/checkpoint.h"
#include "espalier/datasets/noise.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/optim/trainer.h"
#include "espalier/pruning/dead_units.h"
#include "espalier/pruning/evidence.h"
#include "espalier/pruning/measure.h"
#include "espalier/pruning/pruner.h"
#include "espalier/pruning/sensitivity.h"
#include "espalier/pruning/storage_rules.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

struct Case {
  std::string model;
  Shape input;
  bool large = false;  // only in csr, and not examined sample by sample
};

// One of each family that make_model knows, as small as it can be.
const std::vector<Case> zoo{{"lenet-300-100", {1, 28, 28}, true},
                            {"lenet-5", {1, 16, 16}, true},
                            {"conv-2", {3, 8, 8}, true},
                            {"conv-4", {3, 8, 8}, true},
                            {"conv-6", {3, 8, 8}, true},
                            {"resnet-20", {3, 8, 8}, true},
                            {"vgg-small", {3, 8, 8}, true},
                            {"mlp:6-40-20-4", {6}},
                            {"linear", {6}},
                            {"tabular:24-20", {6}},
                            {"tabular:24-20+norm", {6}},
                            {"tabular:24-20+norm+dropout=0.3", {6}},
                            {"tabular-resnet:8x2", {6}},
                            {"tabular-resnet:8x2+norm+dropout=0.3", {6}},
                            {"cnn-1d", {64, 3}},
                            {"gru:5", {7, 3}},
                            {"attention:8x2x1", {5, 3}},
                            {"average:2xtabular:12", {6}}};
// As they are before any test has added one of its own.
const std::vector<std::string> families = known_models();

Index classes_of(const Case& of) {
  return of.model == "lenet-300-100" ? 10 : 4;
}

// A model in the middle of its training: statistics that have moved, two slots for each weight, some weights pruned.
struct Training {
  Training(const Case& of, Storage storage)
      : model(make_model(of.model, {.input = of.input, .outputs = classes_of(of)})),
        data(std::make_shared<Noise>(of.input, classes_of(of), 32, 1)),
        loader(data, {.batch = 16, .lanes = 16}) {
    for (Parameter* W : parameters_of(*model))
      if (W->prunable() && storage != Storage::dense)
        W->become(Pattern::random(W->rows(), W->cols(), std::max<Index>(1, W->positions() / (of.large ? 20 : 3)),
                                  Random(1, W->name())),
                  storage);
    step(0);
    step(1);
  }
  double step(Index b) { return trainer.step(loader, b, 0.01).loss; }
  // The files that it would leave, and its packed copies.
  std::vector<std::string> bytes() {
    constexpr std::uintmax_t limit = std::uintmax_t{1} << 30;
    save_model(*model, {}, folder.path() / "model");
    save_checkpoint(parameters_of(*model), {}, folder.path() / "checkpoint", state_of(*model));
    std::vector<std::string> all{read_file(folder.path() / "model", limit),
                                 read_file(folder.path() / "checkpoint", limit)};
    for (const Parameter* W : parameters_of(*model)) {
      std::string& packed = all.emplace_back();
      for (const Real w : W->packed()) packed += fmt::format("{:a} ", w);
    }
    return all;
  }

  ModulePtr model;
  DatasetPtr data;
  Loader loader;
  std::unique_ptr<Optimizer> optimizer = make_optimizer({.name = "adam", .weight_decay = 1e-3});
  Trainer trainer{*model, softmax_cross_entropy, *optimizer, {.threads = 2}};
  testing::TemporaryFolder folder;
};

struct Look {
  const char* name;
  std::function<void(Training&)> look;
};

// Whether the calling thread computes with subnormal numbers, as it does unless told otherwise.
bool keeps_subnormals() {
  volatile float smallest = std::numeric_limits<float>::min();
  return smallest / 2 > 0;
}

// In whatever optimizer, rate and clipping it is measured: they need not be the training's.
void measure_with(Training& t, const OptimizerOptions& options, double rate, double clip_norm) {
  const auto optimizer = make_optimizer(options);
  measure({t.model.get()}, t.data, softmax_cross_entropy, *optimizer,
          {.batch = 16, .lanes = 16, .repetitions = 1, .rate = rate, .clip_norm = clip_norm});
}

const std::vector<Look> looks{
    {"measure", [](Training& t) { measure_with(t, {.name = "adam"}, 0, 0); }},
    {"geometries_of", [](Training& t) { geometries_of(*t.model, t.data->shape()); }},
    {"effective_nonzeros", [](Training& t) { effective_nonzeros(*t.model, t.data->shape()); }},
    {"find_dead_units", [](Training& t) { find_dead_units(*t.model, t.data->shape()); }},
    {"sensitivity_of",
     [](Training& t) {
       const std::vector<Parameter*> layers = pruned_layers(parameters_of(*t.model), {});
       const Judge judge = [&] { return Inference(*t.model, 2).evaluate(t.loader, nullptr); };
       sensitivity_of(std::span(layers).first(std::min<std::size_t>(layers.size(), 2)), *criterion_named("magnitude"),
                      {0.1}, judge);
     }},
    {"census_of", [](Training& t) { census_of(*t.model); }},
    {"model_bytes", [](Training& t) { model_bytes(*t.model, {}); }},
    {"Inference::infer", [](Training& t) { Inference(*t.model, 2).infer(t.loader, 0); }},
    {"Inference::outputs", [](Training& t) { Inference(*t.model, 2).outputs(t.loader); }},
    {"Inference::evaluate", [](Training& t) { Inference(*t.model, 2).evaluate(t.loader, softmax_cross_entropy); }},
    {"Trainer::evaluate", [](Training& t) { t.trainer.evaluate(t.loader); }},
    {"Trainer::score", [](Training& t) { t.trainer.score(t.loader); }},
    {"Trainer::examine", [](Training& t) { t.trainer.examine(t.loader, 0, [](const Tape&) {}); }},
};

const std::vector<Look> looks_at_small_ones{
    {"measure, another optimizer", [](Training& t) { measure_with(t, {.name = "nesterov"}, 0.1, 0.5); }},
    {"tune", [](Training& t) { tune(*t.model, t.data->shape(), 16, 1); }},
};

// These drop packed copies, which only inference uses.
const std::vector<Look> probes{
    {"Trainer::gradients", [](Training& t) { t.trainer.gradients(t.loader, 1); }},
    {"Evidence",
     [](Training& t) {
       Evidence evidence(t.trainer, t.loader, 2);
       for (const Parameter* W : t.trainer.parameters()) {
         evidence.gradient(*W);
         evidence.dense_gradient(*W);
         evidence.squared_batch_gradient(*W);
         evidence.squared_gradient(*W);
         evidence.hessian_gradient(*W, 2);
         if (!W->prunable()) continue;
         evidence.flow(*W);
         evidence.input_squares(*W);
         evidence.input_products(*W);
       }
     }},
};

TEST(Looking, LeavesEveryModelInEveryStorageAsItWasByteForByte) {
  for (const Case& of : zoo)
    for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
      if (of.large && storage != Storage::csr) continue;
      SCOPED_TRACE(fmt::format("{}, {}", of.model, name_of(storage)));
      Training looked_at(of, storage), left_alone(of, storage);
      std::vector<const std::vector<Look>*> lists{&looks};
      if (of.model == "lenet-5" || of.model.ends_with("+norm")) lists.push_back(&looks_at_small_ones);
      prepare_for_latency(*looked_at.model);
      const auto packed = looked_at.bytes();
      for (const auto* list : lists)
        for (const Look& look : *list) {
          look.look(looked_at);
          ASSERT_TRUE(looked_at.bytes() == packed) << look.name;
          ASSERT_TRUE(keeps_subnormals()) << look.name;
        }
      if (!of.large) {
        for (Parameter* W : looked_at.trainer.parameters()) W->unpack();
        const auto before = looked_at.bytes();
        for (const Look& look : probes) {
          look.look(looked_at);
          ASSERT_TRUE(looked_at.bytes() == before) << look.name;
        }
      }
      EXPECT_EQ(looked_at.trainer.steps(), 2);
      for (Index b = 0; b < 2; ++b) EXPECT_EQ(looked_at.step(b), left_alone.step(b));
      EXPECT_TRUE(looked_at.bytes() == left_alone.bytes()) << "after another two steps";
    }
}

TEST(Looking, IsTriedOnEveryFamilyOfModels) {
  for (const std::string& name : families) {
    const std::string family = name.substr(0, name.find_first_of(":["));
    EXPECT_TRUE(std::ranges::any_of(zoo, [&](const Case& of) { return of.model.starts_with(family); })) << name;
  }
}

// --- the scope that makes it so -------------------------------------------------------------------------------------

TEST(Unchanged, TakesBackWhateverHappenedToTheModel) {
  Training t({"tabular:24-20+norm", {6}}, Storage::csr);
  prepare_for_latency(*t.model);
  const auto before = t.bytes();
  Parameter& W = *t.trainer.parameters()[0];
  const std::span<const Real> values = std::as_const(W).value();
  {
    const Unchanged afterwards(*t.model);
    EXPECT_TRUE(t.bytes() == before) << "the copies are like the originals";
    W.become(nullptr, Storage::dense);
    W.add_slot("more");
    W.remove_slot("adam_m");
    std::ranges::fill(W.value(), std::numeric_limits<Real>::max());
    for (const NamedNumbers& array : state_of(*t.model)) std::ranges::fill(array.numbers, Real{7});
    EXPECT_FALSE(t.bytes() == before);
  }
  EXPECT_TRUE(t.bytes() == before);
  EXPECT_EQ(std::as_const(W).value().data(), values.data()) << "the parameters proper are back";
}

}  // namespace
}  // namespace espalier
