#include "espalier/experiment/run_folder.h"

#include <fmt/format.h>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/tables.h"

namespace espalier {
namespace {

// What a model's file says of itself besides its weights. (A control may be another model than the configuration's.)
std::map<std::string, std::string> file_metadata(const RunConfig& config, const Module& model) {
  return {{"model", model.name()}, {"dataset", config.data}};
}

}  // namespace

RunFolder::RunFolder(std::filesystem::path path, Begin begin) : path_(std::move(path)), begin_(begin) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) throw FileError(fmt::format("{}: cannot make the output folder: {}", path_.string(), error.message()));
  const std::filesystem::path probe = path_ / ".writable";
  write_file_atomically(probe, "");
  std::filesystem::remove(probe, error);
  if (begin == Begin::where_it_stopped) return;
  for (const char* file : {"result.json", "model.safetensors", "metrics.jsonl", preprocessing_file})
    std::filesystem::remove(path_ / file, error);
  remove_checkpoints();
}

std::filesystem::path RunFolder::checkpoint(const std::string& of) const {
  return path_ / ("checkpoint-" + of);
}

void RunFolder::remove_checkpoints() const {
  std::error_code ignored;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
    if (entry.path().filename().string().starts_with("checkpoint-")) found.push_back(entry.path());
  for (const auto& file : found) std::filesystem::remove(file, ignored);
}

void RunFolder::write(const std::string& file, const std::string& text) const {
  write_file_atomically(path_ / file, text);
}

MetricsLog::MetricsLog(const RunFolder& folder, Index epochs)
    : path_(folder.path() / "metrics.jsonl"),
      file_(path_, folder.begin() == Begin::afresh ? std::ios::trunc : std::ios::app),
      epochs_(epochs) {
  if (!file_) throw FileError(fmt::format("{}: cannot be written", path_.string()));
}

Observer MetricsLog::observer(Side which) {
  const std::string side = name_of(which);
  return {.epoch = [this, side](const EpochResult& e, Index round, double density) { epoch(side, e, round, density); },
          .pruned = [this, side](const std::vector<PruneEvent>& events) { pruned(side, events); }};
}

void MetricsLog::epoch(const std::string& side, const EpochResult& e, Index round, double density) {
  const bool validated = e.validation.samples > 0;
  write({{"side", side},
         {"round", round},
         {"epoch", e.epoch},
         {"train_loss", e.train_loss},
         {validation_key(e.validation), validation_of(e.validation)},
         {"validation_loss", validated ? Json(e.validation.loss) : Json()},
         {"density", density},
         {"rate", e.rate},
         {"gradient_norm", e.gradient_norm},
         {"train_flops_executed", e.flops.executed},
         {"seconds", e.seconds}});
  const Index every = std::max<Index>(1, epochs_ / 10);
  if (e.epoch % every && e.epoch != epochs_) return;
  fmt::print(stderr, "  {:<7}epoch {:>3}/{}  loss {:.4f}  {}density {:.3f}  {:.0f} samples/s\n", side, e.epoch, epochs_,
             e.train_loss, validated ? fmt::format("validation {}  ", text_of(e.validation)) : "", density,
             static_cast<double>(e.samples) / e.seconds);
}

void MetricsLog::pruned(const std::string& side, const std::vector<PruneEvent>& events) {
  Json layers = Json::array();
  double kept = 0, positions = 0;
  for (const PruneEvent& event : events) {
    layers.push_back(
        {{"name", event.layer}, {"kept", event.kept}, {"density", event.density}, {"storage", name_of(event.storage)}});
    kept += static_cast<double>(event.kept);
    positions += static_cast<double>(event.kept) / event.density;
  }
  write({{"side", side}, {"pruned_at_step", events.front().step}, {"density", kept / positions}, {"layers", layers}});
}

void MetricsLog::write(const Json& line) {
  file_ << line.dump() << std::endl;
  if (!file_) throw FileError(fmt::format("{}: cannot be written (disk full?)", path_.string()));
}

Json result_of(const RunConfig& config, const Data& data, const Trained* dense, const Trained& sparse) {
  std::vector<Module*> models;
  if (dense) models.push_back(dense->model.get());
  models.push_back(sparse.model.get());
  const auto optimizer = make_optimizer(config.optimizer);
  const auto measured = measure(models, data.train, loss_of(config, data), *optimizer,
                                {.batch = config.batch,
                                 .lanes = config.lanes,
                                 .threads = threads_of(config),
                                 .seed = config.seed,
                                 .clip_norm = config.clip_norm,
                                 .metadata = file_metadata(config, *sparse.model),
                                 .origin = sparse.origin});
  Json result = {{"dataset", data.name},    {"provenance", data.provenance},    {"model", config.model},
                 {"method", config.method}, {"schedule", config.schedule.kind}, {"density", config.schedule.density},
                 {"seed", config.seed},     {"threads", threads_of(config)},    {"lanes", config.lanes},
                 {"batch", config.batch},   {"epochs", config.epochs},          {"processor", processor_name()}};
  if (config.control != "none") result["control"] = config.control;
  if (dense) result["dense"] = to_json(*dense, measured.front());
  result["sparse"] = to_json(sparse, measured.back());
  if (dense) result["ratios"] = ratios_of(result["dense"], result["sparse"]);
  result["layers"] = layers_to_json(measured.back());
  if (data.preprocessing) {
    result["surviving_inputs"] = surviving_inputs(*sparse.model, *data.preprocessing);
    result["input_columns"] = data.preprocessing->source_column_count();
  }
  return result;
}

void leave_behind(const RunFolder& folder, const RunConfig& config, const Data& data, const Trained& sparse,
                  const Json& result) {
  folder.write("config.toml", to_toml(config));
  save_model(*sparse.model, file_metadata(config, *sparse.model), folder.path() / "model.safetensors", sparse.origin);
  if (data.preprocessing) folder.write(preprocessing_file, to_json(*data.preprocessing));
  folder.write("result.json", result.dump(2) + "\n");
}

}  // namespace espalier
