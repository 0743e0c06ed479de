// Members: several networks trained apart, of which the average is the result.
#include <gtest/gtest.h>

#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/table.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/predictor.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/optim/inference.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

struct Members : ::testing::Test {
  RunConfig config = [] {
    RunConfig c{.data = "synthetic-table", .model = "tabular:12+norm", .threads = 2, .epochs = 2, .dense_twin = false};
    c.schedule.density = 0.3;
    c.members = 3;
    return settled(c);
  }();
  DataParts data =
      load_table_text("table", synthetic_table_csv({.rows = 600}), {.validation = 60, .seed = config.seed});
  std::vector<Real> outputs_of(const Module& model) const {
    return Inference(model, 1).outputs(Loader(data.test, {.batch = 64, .lanes = 16, .shuffle = false}));
  }
};

TEST_F(Members, TheirMeanIsWhatIsMeasured) {
  const Trained all = train_side(config, data, Side::sparse);
  const std::vector<Real> together = outputs_of(*all.model);
  std::vector<double> sum(together.size());
  Index nonzeros = 0;
  for (RunConfig one = config; one.seed < config.seed + 3; ++one.seed) {
    one.members = 1;
    const Trained alone = train_side(one, data, Side::sparse);
    EXPECT_LE(census_of(*alone.model).density(), 0.31);
    nonzeros += census_of(*alone.model).nonzeros();
    const std::vector<Real> own = outputs_of(*alone.model);
    for (std::size_t i = 0; i < own.size(); ++i) sum[i] += static_cast<double>(own[i]);
  }
  for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(static_cast<double>(together[i]), sum[i] / 3, 1e-5);
  EXPECT_EQ(census_of(*all.model).nonzeros(), nonzeros);
  EXPECT_EQ(all.metrics.accuracy, metrics_of(together, *data.test).accuracy);
}

TEST_F(Members, AreInterruptedAndGoOn) {
  const Trained whole = train_side(config, data, Side::sparse);
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint";
  Trained resumed;
  int pieces = 0;
  for (bool done = false; !done; ++pieces) {
    int asked = 0;
    try {
      resumed = train_side(config, data, Side::sparse, {}, {.file = file, .stop = [&] { return ++asked > 6; }});
      done = true;
    } catch (const InterruptedError&) {
    }
  }
  EXPECT_GT(pieces, 2);
  EXPECT_EQ(outputs_of(*resumed.model), outputs_of(*whole.model));
  EXPECT_EQ(resumed.test.loss, whole.test.loss);
}

TEST_F(Members, StandInOneFileThatAnswersAsMeasured) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  const Trained all = train_side(config, data, Side::sparse);
  const Result result = result_of(config, data, nullptr, all);
  EXPECT_EQ(result.model, "average:3xtabular:12+norm");
  ASSERT_TRUE(result.surviving_inputs);
  leave_behind(RunFolder(run, Begin::afresh), config, data, all, result);
  const OpenedModel opened = open_model(run / model_file_name);
  EXPECT_EQ(outputs_of(*opened.model), outputs_of(*all.model));
  EXPECT_EQ(opened.card.model, "average:3xtabular:12+norm");
  EXPECT_EQ(from_toml(run / "config.toml").members, 3);
}

}  // namespace
}  // namespace espalier
