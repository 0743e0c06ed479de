#include "espalier/experiment/baselines.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

RunConfig linear_of(RunConfig c) {
  constexpr Index most_epochs = 20;
  const ModelProfile profile = model_profile("linear");
  c.model = "linear";
  c.epochs = std::min(c.epochs, most_epochs);
  c.clip_norm = profile.clip_norm;
  if (optimizers().named(c.optimizer.name).rate_follows_model) {
    c.rate.rate = profile.rate;
    c.rate.warmup = profile.warmup;
  }
  c.method = "magnitude";  // none is run
  c.control = "none";
  c.rewind = "none";
  return c;
}

}  // namespace

bool wants_baselines(const RunConfig& config, const DataParts& data) {
  return config.baselines || data.train->shape().rank() == 1;
}

std::vector<BaselineResult> baselines_of(const RunConfig& config, const DataParts& data, const Checkpoint& checkpoint) {
  const RunConfig c = linear_of(config);
  BaselineResult constant{.name = data.train->classes() > 0 ? "majority" : "mean",
                          .test = baseline_metrics(*data.train, *data.test)};
  BaselineResult linear{.name = "linear"};
  try {
    const Trained trained = train_side(c, data, Side::dense, {}, checkpoint);
    linear.test = trained.metrics;
    linear.parameters = census_of(*trained.model).parameters();
    linear.epochs = c.epochs;
    linear.train_seconds = trained.train_seconds;
  } catch (const DivergedError& error) {
    linear.failed = error.what();
  }
  return {std::move(constant), std::move(linear)};
}

}  // namespace espalier
