#include "espalier/experiment/baselines.h"

#include "espalier/core/error.h"
#include "espalier/experiment/linear.h"

namespace espalier {

bool wants_baselines(const RunConfig& config, const DataParts& data) {
  return config.baselines || data.train->shape().rank() == 1;
}

namespace {

BaselineResult linear_baseline(const DataParts& data, int threads) {
  BaselineResult linear{.name = "linear"};
  try {
    const LinearFit fit = fit_linear(*data.train, *data.validation, threads);
    linear.test = metrics_of(fit.outputs_for(*data.test), *data.test);
    if (data.validation->samples() > 0) {
      const Metrics validation = metrics_of(fit.outputs_for(*data.validation), *data.validation);
      linear.validation = validation.classes > 0 ? validation.accuracy : validation.rmse;
    }
    linear.parameters = static_cast<Index>(fit.weights.size());
    linear.passes = fit.passes;
    linear.solved = fit.converged;
    linear.train_seconds = fit.seconds;
  } catch (const DivergedError& error) {
    linear.failed = error.what();
  }
  return linear;
}

}  // namespace

std::vector<BaselineResult> baselines_of(const DataParts& data, int threads) {
  std::vector<BaselineResult> baselines{
      {.name = data.train->classes() > 0 ? "majority" : "mean", .test = baseline_metrics(*data.train, *data.test)}};
  if (data.train->tokens() == 0) baselines.push_back(linear_baseline(data, threads));
  return baselines;
}

}  // namespace espalier
