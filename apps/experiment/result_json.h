// Results as JSON: result.json, and what `--json` prints. The keys are documented in apps/README.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "espalier/experiment/result.h"

namespace espalier {

using Json = nlohmann::ordered_json;

Json to_json(const Result& result);
// Throws Json::exception for anything that to_json does not write. Of the times the medians and quartiles come back.
Result result_of(const Json& json);

// The number that a validation set is asked for, as results name it: validation_accuracy, or validation_rmse for
// regression.
const char* validation_key(bool classification);
// test_accuracy, test_balanced_accuracy, test_auc, test_log_loss, or test_rmse, test_mae, test_r2; null where a number
// is not defined.
Json to_json(const Metrics& metrics);
// From those keys, wherever they stand; how many samples and classes there were is not said there: 1, or no classes.
Metrics metrics_of(const Json& json);
Json to_json(const SideResult& side);
// Dense / sparse of every quantity that has such a ratio.
Json ratios_of(const Result& result);
Json to_json(const std::vector<LayerResult>& layers);

}  // namespace espalier
