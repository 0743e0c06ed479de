// A line of results.jsonl: from a result to JSON, and back.
#include <cmath>

#include "espalier/experiment/reproduce.h"
#include "espalier/experiment/result_json.h"

namespace espalier {
namespace {

Json or_null(double number) {
  return std::isfinite(number) ? Json(number) : Json();
}

}  // namespace

std::string line_of(const ReproduceResult& r) {
  Json line = {{"key", r.key},     {"name", r.name}, {"method", r.method}, {"density", r.density}, {"seed", r.seed},
               {"model", r.model}, {"data", r.data}, {"epochs", r.epochs}, {"control", r.control}};
  if (!r.failed.empty()) {
    line["failed"] = r.failed;
  } else {
    line.update(to_json(r.test));
    line["test_loss"] = or_null(r.test_loss);
    line[validation_key(!r.regression())] = r.validation ? Json(*r.validation) : Json();
    line["kept"] = r.kept;
    if (r.nonzeros) line["nonzeros"] = *r.nonzeros;
    line["train_flops"] = r.train_flops;
    line["train_seconds"] = r.train_seconds;
    if (r.work) line["work"] = *r.work;
    if (r.train_step_seconds) line["train_step_seconds"] = *r.train_step_seconds;
    if (r.inference_seconds) line["inference_seconds"] = *r.inference_seconds;
  }
  line["wall_seconds"] = r.wall_seconds;
  line["threads"] = r.threads;
  line["processor"] = r.processor;
  return line.dump();
}

ReproduceResult result_of_line(const std::string& text) {
  const Json line = Json::parse(text);
  const auto optional = [&]<typename T>(const char* key, std::optional<T>& into) {
    if (line.contains(key) && line[key].is_number()) into = line[key].get<T>();
  };
  ReproduceResult r{.key = line.at("key"),
                    .name = line.at("name"),
                    .method = line.at("method"),
                    .density = line.at("density"),
                    .seed = line.at("seed"),
                    .model = line.at("model"),
                    .data = line.at("data"),
                    .epochs = line.at("epochs"),
                    .control = line.value("control", "none"),
                    .failed = line.value("failed", "")};
  r.wall_seconds = line.value("wall_seconds", 0.0);
  r.threads = line.value("threads", 1);
  r.processor = line.value("processor", "");
  if (!r.failed.empty()) return r;
  r.test = metrics_of(line);
  if (line.at("test_loss").is_number()) r.test_loss = line["test_loss"].get<double>();
  optional(validation_key(!r.regression()), r.validation);
  r.kept = line.at("kept");
  optional("nonzeros", r.nonzeros);
  r.train_flops = line.at("train_flops");
  r.train_seconds = line.at("train_seconds");
  optional("work", r.work);
  optional("train_step_seconds", r.train_step_seconds);
  optional("inference_seconds", r.inference_seconds);
  return r;
}

}  // namespace espalier
