#include "espalier/experiment/result_json.h"

#include <cmath>

#include "espalier/experiment/base64.h"

namespace espalier {
namespace {

struct MetricKey {
  const char* key;
  double Metrics::*metric;
};
constexpr MetricKey class_keys[] = {{"test_accuracy", &Metrics::accuracy},
                                    {"test_balanced_accuracy", &Metrics::balanced_accuracy},
                                    {"test_auc", &Metrics::auc},
                                    {"test_log_loss", &Metrics::log_loss}};
constexpr MetricKey regression_keys[] = {
    {"test_rmse", &Metrics::rmse}, {"test_mae", &Metrics::mae}, {"test_r2", &Metrics::r2}};

std::span<const MetricKey> metric_keys(bool classification) {
  return classification ? std::span<const MetricKey>(class_keys) : std::span<const MetricKey>(regression_keys);
}

// What was not timed is null.
void add_timing(Json& json, const std::string& name, const Timing& t) {
  if (!(t.median > 0)) {
    json[name + "_seconds"] = nullptr;
    json[name + "_quartiles"] = nullptr;
    return;
  }
  json[name + "_seconds"] = t.median;
  json[name + "_quartiles"] = {t.lower, t.upper};
}
Timing timing_of(const Json& json, const std::string& name) {
  if (json.at(name + "_seconds").is_null()) return {};
  const Json& quartiles = json.at(name + "_quartiles");
  return {json.at(name + "_seconds"), quartiles.at(0), quartiles.at(1)};
}

// Of the network before its weights and other numbers; of each layer the units before and after.
Json to_json(const UnitsLeft& units) {
  Json layers = Json::object();
  for (const UnitsLeft::OfWidth& width : units.widths) layers[width.name] = {width.whole, width.kept};
  return {{"before", units.before()},
          {"kept", units.kept()},
          {"weights_before", units.whole.positions},
          {"others_before", units.whole.unprunable},
          {"layers", std::move(layers)}};
}
UnitsLeft units_of(const Json& json) {
  UnitsLeft units;
  units.whole.positions = units.whole.live = json.at("weights_before");
  units.whole.unprunable = json.at("others_before");
  for (const auto& [name, counts] : json.at("layers").items())
    units.widths.push_back({name, counts.at(0).get<Index>(), counts.at(1).get<Index>()});
  return units;
}

SideResult side_of(const Json& json) {
  SideResult side{.test = metrics_of(json),
                  .test_loss = json.at("test_loss").is_number() ? json["test_loss"].get<double>() : Metrics::unknown,
                  .best_epoch = json.value("best_epoch", Index{0}),
                  .train_seconds = json.at("train_seconds"),
                  .beside = json.value("trained_beside", Index{1}),
                  .checkpoint_seconds = json.value("checkpoint_seconds", 0.0),
                  .event_seconds = json.value("event_seconds", 0.0),
                  .train_flops = {json.at("train_flops_executed"), json.at("train_flops_useful")},
                  .parameters = json.at("parameters"),
                  .nonzeros = json.at("nonzeros"),
                  .effective_nonzeros = json.at("effective_nonzeros"),
                  .removed_units = json.at("removed_units"),
                  .density = json.at("density"),
                  .forward_flops = {json.at("forward_flops_executed"), json.at("forward_flops_useful")},
                  .file_bytes = json.at("file_bytes"),
                  .train_step = timing_of(json, "train_step"),
                  .inference = timing_of(json, "inference"),
                  .latency = timing_of(json, "latency")};
  side.test->standard_error = json.value("test_standard_error", Metrics::unknown);
  const char* key = validation_key(side.test->classes > 0);
  if (json.at(key).is_number()) side.validation = json[key].get<double>();
  if (json.contains("mask_entropy_bytes")) side.mask_entropy_bytes = json["mask_entropy_bytes"].get<double>();
  if (json.contains("units")) side.units = units_of(json["units"]);
  return side;
}

LayerResult layer_of(const Json& json) {
  LayerResult layer{json.at("name"),
                    json.at("shape").at(0),
                    json["shape"].at(1),
                    json.at("density"),
                    json.at("storage"),
                    json.at("kernel"),
                    json.at("file_form"),
                    {json.at("forward_flops_executed"), 0},
                    json.at("seconds").is_null() ? 0 : json["seconds"].get<double>()};
  layer.file_bytes = json.value("file_bytes", std::uintmax_t{0});
  if (json.contains("dense_seconds")) layer.dense_seconds = json["dense_seconds"].get<double>();
  layer.dense_forward_flops.executed = json.value("dense_forward_flops", std::uint64_t{0});
  return layer;
}

SamplePicture picture_of(const Json& json) {
  const Json& shape = json.at("shape");
  return {Shape{shape.at(0).get<Index>(), shape.at(1).get<Index>(), shape.at(2).get<Index>()},
          bytes_of_base64(json.at("pixels").get<std::string>())};
}

Json to_json(const BaselineResult& b) {
  if (!b.failed.empty()) return {{"failed", b.failed}};
  Json json = to_json(b.test);
  if (b.passes == 0) return json;
  json["parameters"] = b.parameters;
  json["nonzeros"] = b.parameters;
  json["epochs"] = b.passes;
  json["solved"] = b.solved;
  json["train_seconds"] = b.train_seconds;
  if (b.validation) json[validation_key(b.test.classes > 0)] = *b.validation;
  return json;
}

// {"cat": {"cat": 90, "dog": 10}, ...}: of each class how often each answer was given, where that is above 0.
Json to_json(const Confusion& confusion, const std::vector<std::string>& names) {
  Json json = Json::object();
  for (const auto& [pair, count] : confusion.counts())
    json[names[static_cast<std::size_t>(pair.first)]][names[static_cast<std::size_t>(pair.second)]] = count;
  return json;
}

Confusion confusion_of(const Json& json, const std::vector<std::string>& names) {
  Confusion confusion(static_cast<Index>(names.size()));
  Json number_of;  // whose at() throws what is to be thrown
  for (std::size_t c = 0; c < names.size(); ++c) number_of[names[c]] = c;
  for (const auto& [name, answers] : json.items())
    for (const auto& [answer, count] : answers.items())
      confusion.add({number_of.at(name), number_of.at(answer)}, count);
  return confusion;
}

BaselineResult baseline_of(const std::string& name, const Json& json) {
  BaselineResult b{.name = name, .failed = json.value("failed", "")};
  if (b.failed.empty()) b.test = metrics_of(json);
  b.parameters = json.value("parameters", Index{0});
  b.passes = json.value("epochs", Index{0});
  b.solved = json.value("solved", false);
  b.train_seconds = json.value("train_seconds", 0.0);
  if (const char* key = validation_key(b.test.classes > 0); json.contains(key))
    b.validation = json.at(key).get<double>();
  return b;
}

}  // namespace

const char* validation_key(bool classification) {
  return classification ? "validation_accuracy" : "validation_rmse";
}

Json to_json(const Metrics& m) {
  Json json;
  for (const auto& [key, metric] : metric_keys(m.classes > 0))
    json[key] = std::isfinite(m.*metric) ? Json(m.*metric) : Json();
  return json;
}

Metrics metrics_of(const Json& json) {
  const bool classification = json.contains("test_accuracy");
  Metrics m{.samples = 1, .classes = classification ? 1 : 0};
  for (const auto& [key, metric] : metric_keys(classification))
    if (json.contains(key) && json[key].is_number()) m.*metric = json[key].get<double>();
  return m;
}

Json to_json(const SideResult& side) {
  Json json;
  if (side.test) {
    json = to_json(*side.test);
    if (std::isfinite(side.test->standard_error)) json["test_standard_error"] = side.test->standard_error;
    json["test_loss"] = side.test_loss;
    json[validation_key(side.test->classes > 0)] = side.validation ? Json(*side.validation) : Json();
  }
  json["parameters"] = side.parameters;
  json["nonzeros"] = side.nonzeros;
  json["density"] = side.density;
  json["effective_nonzeros"] = side.effective_nonzeros;
  json["forward_flops"] = side.forward_flops.executed;
  json["forward_flops_executed"] = side.forward_flops.executed;
  json["forward_flops_useful"] = side.forward_flops.useful;
  json["file_bytes"] = side.file_bytes;
  add_timing(json, "train_step", side.train_step);
  add_timing(json, "inference", side.inference);
  add_timing(json, "latency", side.latency);
  if (side.test) {
    if (side.best_epoch > 0) json["best_epoch"] = side.best_epoch;
    json["train_seconds"] = side.train_seconds;
    if (side.beside > 1) json["trained_beside"] = side.beside;
    json["checkpoint_seconds"] = side.checkpoint_seconds;
    json["event_seconds"] = side.event_seconds;
    json["train_flops_executed"] = side.train_flops.executed;
    json["train_flops_useful"] = side.train_flops.useful;
    json["removed_units"] = side.removed_units;
  }
  if (side.mask_entropy_bytes) json["mask_entropy_bytes"] = *side.mask_entropy_bytes;
  if (side.units) json["units"] = to_json(*side.units);
  return json;
}

Json ratios_of(const Result& result) {
  Json ratios;
  for (const Quantity& q : quantities())
    if (const auto ratio = q.ratio ? q.ratio_of(result) : std::nullopt) ratios[q.ratio] = *ratio;
  return ratios;
}

Json to_json(const std::vector<LayerResult>& layers) {
  Json json = Json::array();
  for (const LayerResult& layer : layers) {
    json.push_back({{"name", layer.name},
                    {"shape", {layer.rows, layer.cols}},
                    {"density", layer.density},
                    {"storage", layer.storage},
                    {"kernel", layer.kernel},
                    {"file_form", layer.file_form},
                    {"file_bytes", layer.file_bytes},
                    {"forward_flops_executed", layer.forward_flops.executed},
                    {"seconds", layer.seconds > 0 ? Json(layer.seconds) : Json()}});
    if (!layer.dense_seconds) continue;
    json.back()["dense_forward_flops"] = layer.dense_forward_flops.executed;
    json.back()["dense_seconds"] = *layer.dense_seconds;
  }
  return json;
}

Json to_json(const Result& r) {
  Json json = {{"dataset", r.dataset}, {"provenance", r.provenance}, {"model", r.model},
               {"method", r.method},   {"schedule", r.schedule},     {"density", r.density},
               {"seed", r.seed},       {"threads", r.threads},       {"lanes", r.lanes},
               {"batch", r.batch},     {"epochs", r.epochs},         {"processor", r.processor}};
  if (r.members > 1) json["members"] = r.members;
  if (r.race_seconds > 0) json["race_seconds"] = r.race_seconds;
  if (r.control != "none") json["control"] = r.control;
  if (r.dense) json["dense"] = to_json(*r.dense);
  json["sparse"] = to_json(r.sparse);
  if (r.dense) json["ratios"] = ratios_of(r);
  json["layers"] = to_json(r.layers);
  if (r.surviving_inputs) {
    json["surviving_inputs"] = *r.surviving_inputs;
    json["input_columns"] = r.input_columns;
  }
  if (r.sample)
    json["sample"] = {{"shape", {r.sample->shape[0], r.sample->shape[1], r.sample->shape[2]}},
                      {"pixels", base64_of(r.sample->pixels)}};
  for (const BaselineResult& b : r.baselines) json["baselines"][b.name] = to_json(b);
  if (!r.class_names.empty()) {
    json["classes"] = r.class_names;
    json["confusion"] = to_json(r.confusion, r.class_names);
  }
  if (!r.notes.empty()) json["notes"] = r.notes;
  return json;
}

Result result_of(const Json& json) {
  Result r{.dataset = json.at("dataset"),
           .provenance = json.at("provenance"),
           .model = json.at("model"),
           .method = json.at("method"),
           .schedule = json.at("schedule"),
           .density = json.at("density"),
           .seed = json.at("seed"),
           .threads = json.at("threads"),
           .lanes = json.at("lanes"),
           .batch = json.at("batch"),
           .epochs = json.at("epochs"),
           .processor = json.at("processor"),
           .control = json.value("control", "none"),
           .sparse = side_of(json.at("sparse")),
           .members = json.value("members", Index{1}),
           .race_seconds = json.value("race_seconds", 0.0)};
  if (json.contains("dense")) r.dense = side_of(json["dense"]);
  for (const Json& layer : json.at("layers")) r.layers.push_back(layer_of(layer));
  if (json.contains("surviving_inputs")) {
    r.surviving_inputs = json["surviving_inputs"].get<std::vector<std::string>>();
    r.input_columns = json.at("input_columns");
  }
  if (json.contains("sample")) r.sample = picture_of(json["sample"]);
  if (json.contains("baselines"))
    for (const auto& [name, baseline] : json["baselines"].items()) r.baselines.push_back(baseline_of(name, baseline));
  if (json.contains("classes")) {
    r.class_names = json["classes"].get<std::vector<std::string>>();
    r.confusion = confusion_of(json.at("confusion"), r.class_names);
  }
  if (json.contains("notes")) r.notes = json["notes"].get<std::vector<std::string>>();
  return r;
}

}  // namespace espalier
