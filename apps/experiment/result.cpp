#include "espalier/experiment/result.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>

#include "espalier/experiment/baselines.h"
#include "espalier/experiment/tables.h"

namespace espalier {
std::string text_of_seconds(double seconds) {
  if (seconds >= 1) return fmt::format("{:.1f} s", seconds);
  return seconds >= 1e-3 ? fmt::format("{:.2f} ms", seconds * 1e3) : fmt::format("{:.1f} us", seconds * 1e6);
}

namespace {

std::string text_of_bytes(double bytes) {
  if (bytes >= 1e6) return fmt::format("{:.2f} MB", bytes * 1e-6);
  return bytes >= 1e3 ? fmt::format("{:.1f} KB", bytes * 1e-3) : fmt::format("{:.0f} B", bytes);
}
std::string text_of_count(double count) {
  if (count >= 1e12) return fmt::format("{:.2f} T", count * 1e-12);
  if (count >= 1e9) return fmt::format("{:.2f} G", count * 1e-9);
  if (count >= 1e6) return fmt::format("{:.2f} M", count * 1e-6);
  return count >= 1e4 ? fmt::format("{:.1f} k", count * 1e-3) : fmt::format("{:.0f}", count);
}
std::string text_of_percent(double fraction) {
  return fmt::format("{:.2f} %", 100 * fraction);
}
std::string text_of_fraction(double fraction) {
  return fmt::format("{:.4f}", fraction);
}
std::string text_of_error(double error) {
  return fmt::format("{:.4g}", error);
}

// One row of the table: which key, how to say it, whether dense / sparse means something and how to say that.
struct Row {
  const char* name;
  const char* key;
  const char* sparse_key;
  std::string (*text)(double);
  const char* ratio = nullptr;  // key in ratios
  const char* better = nullptr;
  const char* worse = nullptr;
};
constexpr Row rows[] = {
    {"test accuracy", "test_accuracy", "test_accuracy", text_of_percent},
    {"balanced accuracy", "test_balanced_accuracy", "test_balanced_accuracy", text_of_percent},
    {"AUC", "test_auc", "test_auc", text_of_fraction},
    {"test RMSE", "test_rmse", "test_rmse", text_of_error},
    {"test MAE", "test_mae", "test_mae", text_of_error},
    {"test R2", "test_r2", "test_r2", text_of_fraction},
    {"parameters", "parameters", "nonzeros", text_of_count, "parameters", "fewer", "more"},
    {"forward FLOPs, one sample", "forward_flops", "forward_flops_executed", text_of_count, "forward_flops", "fewer",
     "more"},
    {"model file", "file_bytes", "file_bytes", text_of_bytes, "file_bytes", "smaller", "larger"},
    {"entropy of the mask", "mask_entropy_bytes", "mask_entropy_bytes", text_of_bytes},
    {"training step, one batch", "train_step_seconds", "train_step_seconds", text_of_seconds, "train_step", "faster",
     "slower"},
    {"inference, one batch", "inference_seconds", "inference_seconds", text_of_seconds, "inference", "faster",
     "slower"},
    {"latency, one sample", "latency_seconds", "latency_seconds", text_of_seconds, "latency", "faster", "slower"},
    {"whole training", "train_seconds", "train_seconds", text_of_seconds},
    {"whole training, FLOPs", "train_flops_executed", "train_flops_executed", text_of_count},
};

}  // namespace

MeanSd mean_sd(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  MeanSd m;
  for (const double v : values) m.mean += v / n;
  for (const double v : values) m.sd += (v - m.mean) * (v - m.mean);
  m.sd = values.size() > 1 ? std::sqrt(m.sd / (n - 1)) : 0;
  m.standard_error = m.sd / std::sqrt(n);
  return m;
}

Json times_to_json(const ModelMeasurement& m) {
  return {{"parameters", m.census.parameters()},
          {"nonzeros", m.census.nonzeros()},
          {"density", m.census.density()},
          {"effective_nonzeros", m.effective_nonzeros},
          {"forward_flops", m.forward_flops.executed},
          {"forward_flops_executed", m.forward_flops.executed},
          {"forward_flops_useful", m.forward_flops.useful},
          {"file_bytes", m.file.file_bytes},
          {"train_step_seconds", m.train_step.median},
          {"train_step_quartiles", {m.train_step.lower, m.train_step.upper}},
          {"inference_seconds", m.inference.median},
          {"inference_quartiles", {m.inference.lower, m.inference.upper}},
          {"latency_seconds", m.latency.median},
          {"latency_quartiles", {m.latency.lower, m.latency.upper}}};
}

const char* validation_key(const Evaluation& validation) {
  return validation.classes > 0 ? "validation_accuracy" : "validation_rmse";
}

Json validation_of(const Evaluation& validation) {
  if (validation.samples == 0) return {};
  return validation.classes > 0 ? validation.accuracy : validation.rmse;
}

std::string text_of(const Evaluation& e) {
  return e.classes > 0 ? text_of_percent(e.accuracy) : "RMSE " + text_of_error(e.rmse);
}

Json to_json(const Metrics& m) {
  const auto known = [](double number) { return std::isfinite(number) ? Json(number) : Json(); };
  if (m.classes > 0)
    return {{"test_accuracy", known(m.accuracy)},
            {"test_balanced_accuracy", known(m.balanced_accuracy)},
            {"test_auc", known(m.auc)},
            {"test_log_loss", known(m.log_loss)}};
  return {{"test_rmse", known(m.rmse)}, {"test_mae", known(m.mae)}, {"test_r2", known(m.r2)}};
}

Json to_json(const Trained& trained, const ModelMeasurement& m) {
  Metrics metrics = trained.metrics;
  if (metrics.samples == 0) {  // what is known without them
    metrics.classes = trained.test.classes;
    (metrics.classes > 0 ? metrics.accuracy : metrics.rmse) =
        metrics.classes > 0 ? trained.test.accuracy : trained.test.rmse;
  }
  Json json = to_json(metrics);
  json["test_loss"] = trained.test.loss;
  json[validation_key(trained.validation)] = validation_of(trained.validation);
  json.update(times_to_json(m));
  json["train_seconds"] = trained.train_seconds;
  json["train_flops_executed"] = trained.train_flops.executed;
  json["train_flops_useful"] = trained.train_flops.useful;
  json["removed_units"] = 0;
  if (trained.origin) json["mask_entropy_bytes"] = m.mask_entropy_bytes;  // all that the file would have to hold
  return json;
}

Json layers_to_json(const ModelMeasurement& m) {
  Json layers = Json::array();
  for (const LayerMeasurement& layer : m.layers) {
    std::string form;
    for (const StoredLayer& stored : m.file.layers)
      if (stored.name == layer.name) form = stored.form;
    layers.push_back({{"name", layer.name},
                      {"shape", {layer.rows, layer.cols}},
                      {"density", layer.density},
                      {"storage", name_of(layer.storage)},
                      {"kernel", layer.kernel},
                      {"file_form", form},
                      {"forward_flops_executed", layer.forward_flops.executed},
                      {"seconds", layer.seconds}});
  }
  return layers;
}

Json ratios_of(const Json& dense, const Json& sparse) {
  Json ratios;
  for (const Row& row : rows)
    if (row.ratio && dense.contains(row.key) && sparse.contains(row.sparse_key))
      ratios[row.ratio] = dense[row.key].get<double>() / sparse[row.sparse_key].get<double>();
  return ratios;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

std::uintmax_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

std::string table_of(const Json& result) {
  const bool has_dense = result.contains("dense"), has_sparse = result.contains("sparse");
  std::string text =
      fmt::format("{:<28}{:>14}{:>14}{:>12}\n", "", has_dense ? "dense" : "", has_sparse ? "sparse" : "", "");
  for (const Row& row : rows) {
    const auto cell = [&](const char* side, const char* key) -> std::string {
      if (!result.contains(side) || !result[side].contains(key) || result[side][key].is_null()) return "";
      return row.text(result[side][key].get<double>());
    };
    const std::string dense = cell("dense", row.key), sparse = cell("sparse", row.sparse_key);
    if (dense.empty() && sparse.empty()) continue;
    std::string ratio;
    if (row.ratio && result.contains("ratios") && result["ratios"].contains(row.ratio)) {
      const double r = result["ratios"][row.ratio].get<double>();
      ratio = r >= 1 ? fmt::format("{:.1f}x {}", r, row.better) : fmt::format("{:.1f}x {}", 1 / r, row.worse);
    }
    text += fmt::format("{:<28}{:>14}{:>14}   {}\n", row.name, dense, sparse, ratio);
  }
  return text;
}

std::string layer_table_of(const Json& result) {
  std::size_t widest = 16;
  for (const Json& layer : result["layers"]) widest = std::max(widest, layer["name"].get<std::string>().size());
  const auto row = [&](const auto& name, const auto&... rest) {
    return fmt::format("{:<{}}", name, widest) + fmt::format("{:>14}{:>10}  {:<8}{:<18}{:<12}{:>8}\n", rest...);
  };
  std::string text = row("layer", "shape", "density", "storage", "kernel", "in file", "forward");
  for (const Json& layer : result["layers"])
    text += row(layer["name"].get<std::string>(),
                fmt::format("{} x {}", layer["shape"][0].get<Index>(), layer["shape"][1].get<Index>()),
                fmt::format("{:.4f}", layer["density"].get<double>()), layer["storage"].get<std::string>(),
                layer["kernel"].get<std::string>(), layer["file_form"].get<std::string>(),
                text_of_seconds(layer["seconds"].get<double>()));
  return text;
}

namespace {

// How a table over seeds says how good a network is.
struct Headline {
  const char *key, *title;
  double (*number)(double);
  const char* format;
  // of sparse and dense, seed by seed
  const char* gain_title;
  double (*gain)(double sparse, double dense);
};
constexpr Headline of_classes{"test_accuracy",
                              "test error %",
                              [](double accuracy) { return 100 * (1 - accuracy); },
                              "{:.2f} +- {:.2f}",
                              "sparse - dense, test accuracy in percentage points, seed by seed",
                              [](double sparse, double dense) { return 100 * (sparse - dense); }};
constexpr Headline of_regression{"test_rmse",
                                 "test RMSE",
                                 [](double rmse) { return rmse; },
                                 "{:.4g} +- {:.2g}",
                                 "sparse over dense, test RMSE in %, seed by seed (below 0: sparse is better)",
                                 [](double sparse, double dense) { return 100 * (sparse / dense - 1); }};

}  // namespace

std::string seeds_table_of(const std::vector<Json>& results) {
  const Headline& headline = results.front()["sparse"].contains("test_rmse") ? of_regression : of_classes;
  // Rows: dense, then each density; columns over the seeds of that row.
  std::map<double, std::vector<const Json*>, std::greater<>> by_density;
  for (const Json& result : results) by_density[result["density"].get<double>()].push_back(&result);
  std::string text = fmt::format("{:<16}{:>6}{:>18}{:>14}{:>12}{:>14}{:>14}\n", "", "seeds", headline.title,
                                 "parameters", "file", "train step", "inference");
  const auto add = [&](const std::string& name, const std::vector<const Json*>& rows_of, auto&& part) {
    std::size_t seeds = 0;
    const auto column = [&](const char* key) {  // numbers that are there
      std::vector<double> values;
      for (const Json* result : rows_of)
        if (const Json& side = part(*result); side.contains(key) && side[key].is_number()) values.push_back(side[key]);
      return values;
    };
    std::vector<double> numbers = column(headline.key);
    seeds = numbers.size();
    for (double& number : numbers) number = headline.number(number);
    const MeanSd m = mean_sd(numbers);
    const auto cell = [&](const char* key, std::string (*text_of_number)(double)) {
      const std::vector<double> values = column(key);
      return values.empty() ? std::string() : text_of_number(mean_sd(values).mean);
    };
    text += fmt::format("{:<16}{:>6}{:>18}{:>14}{:>12}{:>14}{:>14}\n", name, seeds,
                        seeds ? fmt::format(fmt::runtime(headline.format), m.mean, m.sd) : "–",
                        cell("nonzeros", text_of_count), cell("file_bytes", text_of_bytes),
                        cell("train_step_seconds", text_of_seconds), cell("inference_seconds", text_of_seconds));
  };
  const auto& first = by_density.begin()->second;
  if (first.front()->contains("baselines"))
    for (const auto& baseline : first.front()->at("baselines").items())
      add(baseline.key(), first,
          [&](const Json& result) -> const Json& { return result["baselines"][baseline.key()]; });
  for (const auto& [density, rows_of] : by_density) {
    if (density == by_density.begin()->first && rows_of.front()->contains("dense"))
      add("dense", rows_of, [](const Json& result) -> const Json& { return result["dense"]; });
    add(fmt::format("density {:g}", density), rows_of,
        [](const Json& result) -> const Json& { return result["sparse"]; });
  }
  // The same seed gives both networks the same initial values and the same batches: what varies with the seed cancels.
  std::string gains;
  for (const auto& [density, rows_of] : by_density) {
    std::vector<double> points;
    for (const Json* result : rows_of)
      if (result->contains("dense"))
        points.push_back(headline.gain((*result)["sparse"][headline.key].get<double>(),
                                       (*result)["dense"][headline.key].get<double>()));
    if (points.size() < 2) continue;
    const MeanSd gain = mean_sd(points);
    gains += fmt::format("density {:<8g}{:>6}{:>+10.2f} +- {:.2f} (standard error {:.2f})\n", density, points.size(),
                         gain.mean, gain.sd, gain.standard_error);
  }
  if (!gains.empty()) text += fmt::format("\n{}\n", headline.gain_title) + gains;
  return text;
}

std::string page_of(const Json& result) {
  const std::string method =
      result["method"].get<std::string>() +
      (result.contains("control") ? ", control " + result["control"].get<std::string>() : std::string());
  const std::string headline = fmt::format(
      "{} on {}: {}, {:.1f} % of the weights gone, seed {}, {} threads, {}\n{}\n", result["model"].get<std::string>(),
      result["dataset"].get<std::string>(), method, 100 * (1 - result["sparse"]["density"].get<double>()),
      result["seed"].get<std::uint64_t>(), result["threads"].get<int>(), result["processor"].get<std::string>(),
      result["provenance"].get<std::string>());
  const std::string baselines = baseline_table_of(result), inputs = inputs_line_of(result);
  return headline + "\n" + table_of(result) + (baselines.empty() ? "" : "\n") + baselines + "\n" +
         layer_table_of(result) + (inputs.empty() ? "" : "\n") + inputs;
}

}  // namespace espalier
