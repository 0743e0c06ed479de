#include "espalier/optim/inference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/noise.h"
#include "espalier/layers/models.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::blobs;

TEST(Inference, CarriesEachTileOfABatchOnceAndKeepsTheTapesInTheirOrder) {
  const ModulePtr model = make_model("mlp:12-20-3", {.input = {12}, .outputs = 3});
  Inference inference(*model, 3);
  const Loader loader(blobs(90), {.batch = 50, .lanes = 16, .shuffle = false});
  for (const Index b : {0, 1}) {
    std::vector<int> visits(loader.tiles(b));
    const Flops flops = inference.for_each_tile(loader, b, {.mode = Mode::inference}, [&](const Passage& p) {
      ++visits[p.number];
      EXPECT_EQ(p.tile.first, 16 * p.number);
      EXPECT_EQ(p.output.value().features(), 3);
      EXPECT_EQ(p.output.value().valid(), p.tile.valid());
    });
    EXPECT_EQ(visits, std::vector<int>(loader.tiles(b), 1));
    EXPECT_EQ(flops.useful, static_cast<std::uint64_t>(loader.batch_samples(b)) * 2 * (12 * 20 + 20 * 3));
    ASSERT_EQ(inference.tapes().size(), visits.size());
    for (std::size_t t = 0; t < visits.size(); ++t)
      EXPECT_EQ(inference.tapes()[t]->first_sample(), static_cast<Index>(16 * t));
  }
}

TEST(Inference, CountsTheWorkOfItsVisitors) {
  const ModulePtr model = make_model("linear", {.input = {12}, .outputs = 3});
  Inference inference(*model, 2);
  const Loader loader(blobs(40), {.batch = 40, .lanes = 16});
  const auto flops_with = [&](std::uint64_t more) {
    return inference
        .for_each_tile(loader, 0, {.mode = Mode::inference},
                       [&](const Passage&) { thread_flops() += Flops{.executed = more, .useful = 0}; })
        .executed;
  };
  EXPECT_EQ(flops_with(5), flops_with(0) + 3 * 5);
}

TEST(Inference, ScoreIsEvaluationMetricsAndOutputsToTheBit) {
  const struct {
    const char* model;
    DatasetPtr data;
    Loss loss;
  } cases[] = {
      {"tabular:16+norm", blobs(77), softmax_cross_entropy},
      {"tabular:16", std::make_shared<testing::Surface>(77, TargetScale{.mean = 1, .deviation = 3}), huber(1)}};
  for (const auto& c : cases) {
    const ModulePtr model = make_model(c.model, {.input = c.data->shape(), .outputs = outputs_for(*c.data)});
    const Loader loader(c.data, {.batch = 30, .lanes = 16});
    Inference inference(*model, 2);
    const Score score = inference.score(loader, c.loss);
    const Evaluation e = inference.evaluate(loader, c.loss);
    EXPECT_EQ(score.outputs, inference.outputs(loader));
    EXPECT_EQ(score.evaluation.loss, e.loss);
    EXPECT_EQ(score.evaluation.accuracy, e.accuracy);
    EXPECT_EQ(score.evaluation.rmse, e.rmse);
    EXPECT_EQ(score.evaluation.flops.executed, e.flops.executed);
    const Metrics m = metrics_of(score.outputs, *c.data);
    EXPECT_EQ(score.metrics.samples, 77);
    if (e.classes > 0)
      EXPECT_EQ(score.metrics.auc, m.auc);
    else
      EXPECT_EQ(score.metrics.mae, m.mae);
  }
}

TEST(Inference, NeedsNoLoss) {
  const ModulePtr model = make_model("linear", {.input = {12}, .outputs = 3});
  const Loader loader(blobs(40), {.batch = 40, .lanes = 16});
  const Score without = Inference(*model, 1).score(loader, nullptr);
  EXPECT_EQ(without.evaluation.loss, 0);
  EXPECT_EQ(without.evaluation.accuracy, without.metrics.accuracy);
}

TEST(Inference, RefusesLessThanOneThread) {
  const ModulePtr model = make_model("linear", {.input = {12}, .outputs = 3});
  EXPECT_THROW(Inference(*model, 0), UsageError);
}

// A run is scored in its own tiles, with layers masked or csr; its saved model has csr, and predicts in other tiles.
// Every lane of a wide tile is computed alike, and a pruned weight adds nothing in either storage. (A tile of one lane
// sums in another order.)
TEST(Inference, OutputsAreTheSameBitsInTilesOfAnyWidthAboveOneAndInBothSparseStorages) {
  struct Row {
    const char* model;
    Shape input;
  };
  for (const Row& row :
       {Row{"mlp:90-70-10", {90}}, Row{"tabular:64-64+norm", {37}}, Row{"tabular-resnet:20x2", {37}},
        Row{"lenet-5", {1, 16, 16}}, Row{"resnet-20", {3, 8, 8}}, Row{"cnn-1d", {64, 3}}, Row{"gru:20", {9, 3}}})
    for (const bool pruned : {false, true}) {
      const ModulePtr model = make_model(row.model, {.input = row.input, .outputs = 10});
      for (Parameter* W : parameters_of(*model))
        if (W->prunable() && pruned)
          W->become(Pattern::random(W->rows(), W->cols(), W->positions() / 4 + 1, Random(1, W->name())),
                    Storage::masked);
      const auto data = std::make_shared<Noise>(row.input, 10, 150, 1);
      const auto outputs = [&](Index batch, Index lanes) {
        return Inference(*model, 2).outputs(Loader(data, {.batch = batch, .lanes = lanes, .shuffle = false}));
      };
      const std::vector<Real> expected = outputs(150, 64);
      for (const Index lanes : {16, 32, 48, 128})
        EXPECT_TRUE(outputs(70, lanes) == expected) << row.model << ' ' << lanes;
      if (!pruned) continue;
      for (Parameter* W : parameters_of(*model))
        if (W->prunable()) W->become(W->pattern(), Storage::csr);
      EXPECT_TRUE(outputs(150, 64) == expected) << row.model << " in csr";
      EXPECT_TRUE(outputs(70, 16) == expected) << row.model << " in csr, tiles of 16";
    }
}

}  // namespace
}  // namespace espalier
