#include "apps/tool/baselines.h"

#include <fmt/format.h>

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

bool wants_baselines(const RunConfig& config, const Data& data) {
  return config.baselines || data.train->shape().rank() == 1;
}

Json baselines_of(const RunConfig& config, const Data& data, const std::filesystem::path& checkpoint) {
  const RunConfig c = linear_of(config);
  Json all;
  all[data.train->classes() > 0 ? "majority" : "mean"] = to_json(baseline_metrics(*data.train, *data.test));
  try {
    const Trained linear = train_model(c, data, Side::dense, {}, checkpoint);
    if (!checkpoint.empty()) save_finished(linear, checkpoint);
    Json& json = all["linear"] = to_json(linear.metrics);
    json["parameters"] = census_of(*linear.model).parameters();
    json["nonzeros"] = json["parameters"];
    json["epochs"] = c.epochs;
    json["train_seconds"] = linear.train_seconds;
  } catch (const DivergedError& error) {
    all["linear"] = {{"failed", error.what()}};
  }
  return all;
}

std::string baseline_table_of(const Json& result) {
  if (!result.contains("baselines")) return "";
  struct Column {
    const char *title, *key;
    double factor;
    const char* format;
  };
  constexpr Column columns[] = {{"accuracy", "test_accuracy", 100, "{:.2f} %"},
                                {"balanced", "test_balanced_accuracy", 100, "{:.2f} %"},
                                {"AUC", "test_auc", 1, "{:.4f}"},
                                {"log-loss", "test_log_loss", 1, "{:.4f}"},
                                {"RMSE", "test_rmse", 1, "{:.4g}"},
                                {"MAE", "test_mae", 1, "{:.4g}"},
                                {"R2", "test_r2", 1, "{:.4f}"}};
  std::string text = fmt::format("{:<28}", "baselines, test set");
  const Json& all = result["baselines"];
  for (const Column& column : columns)
    if (all.begin()->contains(column.key)) text += fmt::format("{:>14}", column.title);
  text += "\n";
  for (const auto& [name, numbers] : all.items()) {
    std::string row = name == "majority" ? "majority class" : name == "mean" ? "mean target" : name;
    if (numbers.contains("epochs")) row += fmt::format(", {} epochs", numbers["epochs"].get<Index>());
    text += fmt::format("{:<28}", row);
    if (numbers.contains("failed")) text += "   " + numbers["failed"].get<std::string>();
    for (const Column& column : columns)
      if (numbers.contains(column.key))
        text += fmt::format("{:>14}", numbers[column.key].is_null()
                                          ? "–"
                                          : fmt::format(fmt::runtime(column.format),
                                                        column.factor * numbers[column.key].get<double>()));
    text += "\n";
  }
  return text;
}

}  // namespace espalier
