#include "espalier/experiment/baselines.h"

#include "espalier/core/error.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/linear.h"

namespace espalier {
namespace {

DataParts as_by_default(RunConfig config, const DataParts& loaded) {
  const TableOptions plain;
  TableOptions& own = config.table;
  if (encoding_of(own) == encoding_of(plain) || !loaded.preprocessing || loaded.preprocessing->sparse_features > 0)
    return loaded;
  own.scaling = plain.scaling;
  own.encoding = plain.encoding;
  own.impute = plain.impute;
  return load_data(config);
}

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

bool wants_baselines(const RunConfig& config, const DataParts& data) {
  return config.baselines || data.train->shape().rank() == 1;
}

std::vector<BaselineResult> baselines_of(const RunConfig& config, const DataParts& loaded) {
  const DataParts data = as_by_default(config, loaded);
  std::vector<BaselineResult> baselines{
      {.name = data.train->classes() > 0 ? "majority" : "mean", .test = baseline_metrics(*data.train, *data.test)}};
  if (data.train->tokens() == 0) baselines.push_back(linear_baseline(data, threads_of(config)));
  return baselines;
}

}  // namespace espalier
