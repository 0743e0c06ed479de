#include "espalier/layers/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/layers/activations.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequential.h"
#include "support/batch_pass.h"
#include "support/forced_target.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

using testing::make_tiles;
using testing::same_bits;

constexpr Real close = 64 * testing::epsilon;

std::map<std::string, std::vector<Real>> state(Module& module) {
  std::map<std::string, std::vector<Real>> all;
  for (const NamedNumbers& array : state_of(module)) all[array.name].assign(array.numbers.begin(), array.numbers.end());
  return all;
}

// Mean and variance (over n) of channel c over all valid lanes of all tiles, in double.
struct Exact {
  double mean = 0, variance = 0, values = 0;
};
Exact exact(const std::vector<Tile>& tiles, Index c) {
  Exact e;
  std::vector<double> all;
  for (const Tile& tile : tiles) {
    const Index pixels = tile.input.features() / tile.input.shape()[0];
    for (Index i = c * pixels; i < (c + 1) * pixels; ++i)
      for (Index lane = 0; lane < tile.valid(); ++lane) all.push_back(static_cast<double>(tile.input.row(i)[lane]));
  }
  e.values = static_cast<double>(all.size());
  for (const double x : all) e.mean += x / e.values;
  for (const double x : all) e.variance += (x - e.mean) * (x - e.mean) / e.values;
  return e;
}

// The tapes of a forward pass over these tiles.
struct Forward {
  Forward(const Module& module, const std::vector<Tile>& tiles, Mode mode = Mode::training) {
    for (const Tile& tile : tiles) {
      tapes.push_back(std::make_unique<Tape>(/*poison=*/true));
      order.push_back(tapes.back().get());
      outputs.push_back(module.forward(tapes.back()->begin(tile, {.mode = mode})));
    }
  }
  std::vector<std::unique_ptr<Tape>> tapes;
  std::vector<Tape*> order;
  std::vector<Var> outputs;
};

TEST(BatchNorm, EveryChannelOfATileHasMeanZeroAndVarianceOneOnEveryTarget) {
  const BatchNorm norm({.channels = 3});
  for (const std::int64_t target : testing::targets()) {
    const testing::ForcedTarget forced(target);
    for (const Shape& shape : {Shape{3, 5, 7}, Shape{3}})
      for (const Index valid : {2, 13, 16, 40}) {
        std::vector<Tile> tiles = make_tiles(shape, valid, 48, testing::nan);
        for (Index i = 0; i < shape.features(); ++i)
          for (Index lane = 0; lane < valid; ++lane) tiles[0].input.row(i)[lane] += 1000;  // cancels in one pass
        const Forward pass(norm, tiles);
        Tile normalised;
        normalised.input = pass.outputs[0].value();
        for (Index c = 0; c < 3; ++c) {
          const Exact x = exact(tiles, c), y = exact({normalised}, c);
          EXPECT_NEAR(y.mean, 0, 4000 * testing::epsilon);
          EXPECT_NEAR(y.variance, x.variance / (x.variance + 1e-5), 4000 * testing::epsilon)
              << kernels::target_name(target);
        }
      }
  }
}

TEST(BatchNorm, ALargeImageLosesNoDigits) {
  // 16 million values around 3: a float that sums them one by one is off in the third digit.
  Tile tile;
  tile.input = Tensor({1, 1024, 1024}, {16, 16});
  const Random random(1, "large");
  for (Index i = 0; i < tile.input.features() * 16; ++i)
    tile.input.data()[i] = static_cast<Real>(3 + random.uniform(static_cast<std::uint64_t>(i)));
  const kernels::Moments got =
      kernels::moments({.lines = 1, .line = 1024 * 1024, .lanes = 16, .valid = 16}, {tile.input.data(), 0});
  const Exact expected = exact({tile}, 0);
  EXPECT_NEAR(got.mean, expected.mean, 1e-6);
  EXPECT_NEAR(got.variance, expected.variance, 1e-6);
}

TEST(BatchNorm, AFusedActivationIsTheActivationAfterIt) {
  for (const Activation f : {Activation::relu, Activation::tanh, Activation::sigmoid}) {
    BatchNorm fused({.channels = 2, .activation = f});
    Sequential apart;
    apart.add<BatchNorm>(BatchNormOptions{.channels = 2}).add<Activate>(f);
    const std::vector<Tile> tiles = make_tiles({2, 3, 3}, 21, 16);
    testing::expect_close(testing::run_batch(apart, tiles), testing::run_batch(fused, tiles), close);
  }
}

TEST(BatchNorm, ATileOfOneValueTakesTheRunningStatistics) {
  BatchNorm norm({.channels = 4});
  norm.visit_state([](const std::string& name, std::span<Real> numbers) {
    std::ranges::fill(numbers, name.ends_with("mean") ? Real{0.5} : Real{4});
  });
  for (const Index lanes : {1, 16}) {
    const std::vector<Tile> tiles = make_tiles({4}, 1, lanes, testing::nan);
    const Forward pass(norm, tiles);
    for (Index c = 0; c < 4; ++c)
      EXPECT_NEAR(pass.outputs[0].value().row(c)[0], (tiles[0].input.row(c)[0] - Real{0.5}) / std::sqrt(Real{4 + 1e-5}),
                  close);
  }
  // One pixel more, and it has statistics of its own.
  const Forward pass(norm, make_tiles({4, 1, 2}, 1, 16));
  EXPECT_NEAR(pass.outputs[0].value().row(0)[0], -pass.outputs[0].value().row(1)[0], close);
}

TEST(BatchNorm, RunningStatisticsMoveTowardsThoseOfTheWholeBatchHoweverItIsCut) {
  const Shape image{2, 3, 2};
  const std::vector<Tile> whole = make_tiles(image, 45, 48);
  for (const Index lanes : {1, 16, 48}) {
    SCOPED_TRACE(lanes);
    BatchNorm norm({.name = "bn", .channels = 2, .momentum = 0.25});
    const Forward pass(norm, make_tiles(image, 45, lanes, testing::nan));
    EXPECT_EQ(state(norm)["bn.running_mean"], (std::vector<Real>{0, 0})) << "not before they are merged";
    norm.merge_state(pass.order, std::nullopt);
    for (Index c = 0; c < 2; ++c) {
      const Exact e = exact(whole, c);
      const auto at = static_cast<std::size_t>(c);
      EXPECT_NEAR(state(norm)["bn.running_mean"][at], 0.25 * e.mean, close);
      EXPECT_NEAR(state(norm)["bn.running_variance"][at], 0.75 + 0.25 * e.variance * e.values / (e.values - 1), close)
          << "unbiased";
    }
  }
}

TEST(BatchNorm, TilesOfOneValueEachStillTeachTheRunningStatistics) {
  BatchNorm norm({.name = "bn", .channels = 3});
  const std::vector<Tile> tiles = make_tiles({3}, 20, 1);
  const Forward pass(norm, tiles);
  norm.merge_state(pass.order, 1.0);
  for (Index c = 0; c < 3; ++c) {
    const Exact e = exact(tiles, c);
    EXPECT_NEAR(state(norm)["bn.running_mean"][c], e.mean, close);
    EXPECT_NEAR(state(norm)["bn.running_variance"][c], e.variance * 20 / 19, close);
  }
}

TEST(BatchNorm, ABatchOfOneValueTeachesNothing) {
  BatchNorm norm({.name = "bn", .channels = 3});
  const auto before = state(norm);
  const Forward pass(norm, make_tiles({3}, 1, 16));
  norm.merge_state(pass.order, std::nullopt);
  EXPECT_EQ(state(norm), before);
}

TEST(BatchNorm, EvaluationAndInferenceUseTheRunningStatisticsAndObserveNothing) {
  BatchNorm norm({.channels = 2});
  norm.visit_state([](const std::string& name, std::span<Real> numbers) {
    std::ranges::fill(numbers, name.ends_with("mean") ? Real{-1} : Real{0.25});
  });
  const std::vector<Tile> tiles = make_tiles({2, 2, 2}, 16, 16);
  for (const Mode mode : {Mode::evaluation, Mode::inference}) {
    const auto before = state(norm);
    const Forward pass(norm, tiles, mode);
    EXPECT_TRUE(pass.tapes[0]->observations().empty());
    norm.merge_state(pass.order, std::nullopt);
    EXPECT_EQ(state(norm), before);
    for (Index i = 0; i < 8; ++i)
      EXPECT_NEAR(pass.outputs[0].value().row(i)[3], (tiles[0].input.row(i)[3] + 1) / std::sqrt(Real{0.25 + 1e-5}),
                  close);
  }
}

TEST(BatchNorm, ContainersMergeTheStateOfWhatTheyHold) {
  auto body = std::make_unique<Sequential>("body");
  body->add<BatchNorm>(BatchNormOptions{.name = "a", .channels = 2})
      .add<BatchNorm>(BatchNormOptions{.name = "b", .channels = 2});
  Residual model("r", std::move(body), std::make_unique<BatchNorm>(BatchNormOptions{.name = "c", .channels = 2}));
  const auto before = state(model);
  ASSERT_EQ(before.size(), 6u);
  const Forward pass(model, make_tiles({2, 3, 3}, 20, 16));
  model.merge_state(pass.order, std::nullopt);
  for (const auto& [name, numbers] : state(model)) EXPECT_NE(numbers, before.at(name)) << name;
}

TEST(BatchNorm, RunningStatisticsComeBackFromAModelFileToTheBit) {
  const testing::TemporaryFolder folder;
  BatchNorm saved({.channels = 3}), loaded({.channels = 3});
  const std::vector<Tile> tiles = make_tiles({3, 2, 2}, 40, 16);
  saved.merge_state(Forward(saved, tiles).order, std::nullopt);
  save_model(saved, {}, folder.path() / "model");
  ASSERT_NE(state(saved), state(loaded));
  load_model(loaded, folder.path() / "model");
  EXPECT_EQ(state(saved), state(loaded));
  const Forward a(saved, tiles, Mode::inference), b(loaded, tiles, Mode::inference);
  EXPECT_TRUE(same_bits(testing::valid_numbers(a.outputs[2].value()), testing::valid_numbers(b.outputs[2].value())));
}

TEST(BatchNorm, ScaleAndShiftAreNotPrunable) {
  BatchNorm norm({.name = "bn", .channels = 3});
  for (const Parameter* parameter : parameters_of(norm)) EXPECT_FALSE(parameter->prunable()) << parameter->name();
}

TEST(BatchNorm, RefusesOptionsThatCannotBe) {
  EXPECT_THROW(BatchNorm({.channels = 0}), UsageError);
  EXPECT_THROW(BatchNorm({.channels = 1, .epsilon = 0}), UsageError);
  EXPECT_THROW(BatchNorm({.channels = 1, .momentum = 1.5}), UsageError);
}

}  // namespace
}  // namespace espalier
