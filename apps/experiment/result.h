// Results as JSON and as tables for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "espalier/experiment/training.h"
#include "espalier/pruning/measure.h"

namespace espalier {

using Json = nlohmann::ordered_json;

// The number that a validation set is asked for, as results name it: validation_accuracy, or validation_rmse for
// regression; null without samples. For people: "97.31 %", "RMSE 0.4711".
const char* validation_key(const Evaluation& validation);
Json validation_of(const Evaluation& validation);
std::string text_of(const Evaluation& evaluation);

// test_accuracy, test_balanced_accuracy, test_auc, test_log_loss, or test_rmse, test_mae, test_r2; null where a number
// is not defined.
Json to_json(const Metrics& metrics);
// One side (dense or sparse) as it stands in result.json.
Json to_json(const Trained& trained, const ModelMeasurement& m);
Json times_to_json(const ModelMeasurement& m);  // what `bench` knows of it
Json layers_to_json(const ModelMeasurement& m);
// dense / sparse of every key both have: higher is better.
Json ratios_of(const Json& dense, const Json& sparse);

// The sample's standard deviation; 0 of a single value.
struct MeanSd {
  double mean = 0, sd = 0, standard_error = 0;
};
MeanSd mean_sd(const std::vector<double>& values);

std::string processor_name();
std::string text_of_seconds(double seconds);  // "1.20 ms"
std::uintmax_t peak_resident_bytes();

// "dense | sparse | ratio", for people.
std::string table_of(const Json& result);
std::string layer_table_of(const Json& result);
// What a run prints: a headline, both tables.
std::string page_of(const Json& result);
// Rows of mean +- sd over seeds, and, where there are dense twins, what pruning gained seed by seed.
std::string seeds_table_of(const std::vector<Json>& results);

}  // namespace espalier
