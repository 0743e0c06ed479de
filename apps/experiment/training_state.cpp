#include "espalier/experiment/training_state.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

constexpr const char *progress_key = "progress", *unknown_data = "";

std::string fingerprint_text(std::uint64_t data) {
  return data == 0 ? unknown_data : fmt::format("{:016x}", data);
}

// Throws FileError if the file is no checkpoint of a training.
nlohmann::json progress_in(const std::filesystem::path& path) {
  try {
    return nlohmann::json::parse(load_safetensors(path).metadata.at(progress_key));
  } catch (const FileError&) {
    throw;
  } catch (const std::exception& error) {
    throw FileError(fmt::format("{}: expected a checkpoint of a training, found: {}", path.string(), error.what()));
  }
}

nlohmann::json to_json(const Flops& f) {
  return {f.executed, f.useful};
}
Flops flops_of(const nlohmann::json& j) {
  return {j.at(0), j.at(1)};
}
nlohmann::json to_json(const Evaluation& e) {
  return {{"loss", e.loss},       {"accuracy", e.accuracy},    {"brier", e.brier},    {"rmse", e.rmse},
          {"samples", e.samples}, {"flops", to_json(e.flops)}, {"classes", e.classes}};
}
Evaluation evaluation_of(const nlohmann::json& j) {
  return {.loss = j.at("loss"),
          .accuracy = j.at("accuracy"),
          .brier = j.value("brier", 0.0),  // in files from before it was known
          .rmse = j.at("rmse"),
          .samples = j.at("samples"),
          .flops = flops_of(j.at("flops")),
          .classes = j.value("classes", Index{1})};  // once, all were of classes
}
// Numbers that are not defined become null.
nlohmann::json to_json(const Metrics& m) {
  return {{"samples", m.samples},
          {"classes", m.classes},
          {"accuracy", m.accuracy},
          {"balanced", m.balanced_accuracy},
          {"auc", m.auc},
          {"log_loss", m.log_loss},
          {"rmse", m.rmse},
          {"mae", m.mae},
          {"r2", m.r2}};
}
Metrics metrics_of(const nlohmann::json& j) {
  const auto number = [&](const char* key) { return j.at(key).is_null() ? Metrics::unknown : j.at(key).get<double>(); };
  return {.samples = j.at("samples"),
          .classes = j.at("classes"),
          .accuracy = number("accuracy"),
          .balanced_accuracy = number("balanced"),
          .auc = number("auc"),
          .log_loss = number("log_loss"),
          .rmse = number("rmse"),
          .mae = number("mae"),
          .r2 = number("r2")};
}

// Triples: class, answer, how often.
nlohmann::json to_json(const Confusion& confusion) {
  nlohmann::json counts = nlohmann::json::array();
  for (const auto& [pair, count] : confusion.counts()) counts.push_back({pair.first, pair.second, count});
  return {{"classes", confusion.classes()}, {"counts", counts}};
}
Confusion confusion_of(const nlohmann::json& j) {
  Confusion confusion(j.at("classes").get<Index>());
  for (const auto& count : j.at("counts")) confusion.add({count.at(0), count.at(1)}, count.at(2));
  return confusion;
}

// What there is to remember: of the model and, while it is in training, of the method.
std::vector<Parameter*> everything(const Trained& t, Method* method) {
  std::vector<Parameter*> all = parameters_of(*t.model);
  if (method) std::ranges::copy(method->latents(), std::back_inserter(all));
  return all;
}
std::vector<NamedNumbers> state_of(const Trained& t, Method* method) {
  std::vector<NamedNumbers> all = state_of(*t.model);
  if (method) std::ranges::copy(method->state(), std::back_inserter(all));
  return all;
}

}  // namespace

void save_training(const TrainingState& p, const Trained& t, Method* method, const std::filesystem::path& path) {
  const EpochResult& e = p.position.epoch;
  const nlohmann::json json = {{"finished", p.finished},
                               {"data", fingerprint_text(t.data)},
                               {"round", p.round},
                               {"trainer_steps", p.trainer_steps},
                               {"step", p.position.step},
                               {"epoch",
                                {{"train_loss", e.train_loss},
                                 {"gradient_norm", e.gradient_norm},
                                 {"seconds", e.seconds},
                                 {"samples", e.samples},
                                 {"flops", to_json(e.flops)}}},
                               {"train_seconds", t.train_seconds},
                               {"train_flops", to_json(t.train_flops)},
                               {"validation", to_json(t.validation)},
                               {"test", to_json(t.test)},
                               {"metrics", to_json(t.metrics)},
                               {"confusion", to_json(t.confusion)},
                               {"notes", t.notes},
                               {"best_epoch", t.epoch}};
  save_checkpoint(everything(t, method), {{progress_key, json.dump()}}, path, state_of(t, method));
}

void require_data(std::uint64_t data, const std::string& name, const std::filesystem::path& path) {
  const std::string known = progress_in(path).value("data", unknown_data);  // once, it was not kept
  if (known != unknown_data && known != fingerprint_text(data))
    throw FileError(
        fmt::format("{}: expected the data of {} as when this training began, found other ones", path.string(), name));
}

TrainingState load_training(Trained& t, Method* method, const std::filesystem::path& path) {
  try {
    const nlohmann::json json = progress_in(path);
    if (json.at("finished").get<bool>()) method = nullptr;
    load_checkpoint(everything(t, method), path, state_of(t, method));
    TrainingState p{json.at("finished"), json.at("round"), json.at("trainer_steps"), {json.at("step"), {}}};
    const auto& epoch = json.at("epoch");
    p.position.epoch.train_loss = epoch.at("train_loss");
    p.position.epoch.gradient_norm = epoch.at("gradient_norm");
    p.position.epoch.seconds = epoch.at("seconds");
    p.position.epoch.samples = epoch.at("samples");
    p.position.epoch.flops = flops_of(epoch.at("flops"));
    t.train_seconds = json.at("train_seconds");
    t.train_flops = flops_of(json.at("train_flops"));
    t.validation = evaluation_of(json.at("validation"));
    t.test = evaluation_of(json.at("test"));
    t.epoch = json.value("best_epoch", Index{0});
    if (json.contains("metrics")) t.metrics = metrics_of(json.at("metrics"));
    if (json.contains("confusion")) t.confusion = confusion_of(json.at("confusion"));
    if (json.contains("notes")) t.notes = json.at("notes").get<std::vector<std::string>>();
    return p;
  } catch (const FileError&) {
    throw;
  } catch (const std::exception& error) {
    throw FileError(fmt::format("{}: expected a checkpoint of a training, found: {}", path.string(), error.what()));
  }
}

std::filesystem::path early_file(std::filesystem::path checkpoint) {
  return checkpoint += ".early";
}
std::filesystem::path best_file(std::filesystem::path checkpoint) {
  return checkpoint += ".best";
}
std::filesystem::path control_file(std::filesystem::path checkpoint) {
  return checkpoint += ".control";
}

}  // namespace espalier
