// From data to a small network, as an app would do it, on a budget of seconds.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "espalier/datasets/locate.h"
#include "espalier/datasets/mnist.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/layers/models.h"
#include "espalier/optim/fit.h"
#include "espalier/pruning/pruner.h"

namespace espalier {
namespace {

// LeNet-300-100, pruned to a tenth while it trains. Returns its accuracy on the test set.
double prune_while_training(const DataParts& raw, Index epochs) {
  const DataParts data = standardised(raw);
  const ModulePtr model = make_model("lenet-300-100", {.input = data.train->shape(), .outputs = 10});
  const auto optimizer = make_optimizer({});
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = 2});
  Loader train(data.train, {.batch = 64, .lanes = 32});
  const Loader test(data.test, {.batch = 512, .lanes = 64, .shuffle = false});
  Pruner pruner(trainer.parameters(), criterion_named("magnitude"),
                {.schedule = {.kind = Schedule::Kind::cubic, .density = 0.1, .begin = 0.1, .end = 0.6, .interval = 5}});
  const auto history =
      fit(trainer, train, &test, {.epochs = epochs, .rate = {.rate = 0.05}, .after_step = [&](Index step, Index steps) {
                                    pruner.after_step(step, steps);
                                  }});
  const Census census = census_of(*model);
  EXPECT_EQ(census.positions, 266'200);
  EXPECT_EQ(census.live, 26'620);
  EXPECT_EQ(census.unprunable, 410);
  for (const Parameter* W : trainer.parameters()) {
    if (!W->prunable() || W->density() > StorageRules{}.csr_below) continue;
    EXPECT_EQ(W->storage(), Storage::csr) << W->name();
  }
  EXPECT_EQ(trainer.parameters()[0]->storage(), Storage::csr);  // most of the weights
  // A forward pass needs a tenth of the dense FLOPs, and a step of the last epoch fewer than one of the first.
  EXPECT_EQ(history.back().validation.flops.useful, static_cast<std::uint64_t>(data.test->samples()) * 2 * 26'620);
  EXPECT_LT(history.back().flops.executed, history.front().flops.executed / 2);
  ::testing::Test::RecordProperty("accuracy", std::to_string(history.back().validation.accuracy));
  return history.back().validation.accuracy;
}

TEST(EndToEnd, LenetAtATenthOfItsWeightsReadsSyntheticDigits) {
  EXPECT_GE(prune_while_training(synthetic_digits(6000, 1000), 3), 0.94);
}

TEST(EndToEnd, LenetAtATenthOfItsWeightsReadsMnist) {
  std::filesystem::path folder = find_data("", "mnist", holds_mnist);
  const std::filesystem::path beside = std::filesystem::path(ESPALIER_SOURCE_DIR) / "data" / "mnist";
  if (folder.empty() && holds_mnist(beside)) folder = beside;
  if (folder.empty())
    GTEST_SKIP() << "MNIST's four files are neither in $ESPALIER_DATA/mnist nor in data/mnist of the source tree";
  EXPECT_GE(prune_while_training(mnist(folder), 2), 0.965);
}

}  // namespace
}  // namespace espalier
