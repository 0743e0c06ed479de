#include "espalier/experiment/run_folder.h"

#include <fmt/format.h>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/experiment/trained_rows.h"
#include "espalier/layers/model_file.h"

namespace espalier {
namespace {

// What the file of a run's model says of it. (A control may be another model than the configuration's.)
ModelCard card_of(const RunConfig& config, const DataParts& data, const Trained& trained) {
  ModelCard card = card_of(*trained.model, data);
  card.dataset = config.data;
  card.seed = config.seed;
  if (trained.data != 0) card.fingerprint = trained.data;
  return card;
}

bool is_checkpoint(const std::filesystem::path& file) {
  return file.filename().string().starts_with("checkpoint-");
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
  // What the run before has found out. A link stays one, to a file that is gone until it is written again.
  for (const char* name : {"result.json", model_file_name, "metrics.jsonl", preprocessing_file, trained_rows_file})
    if (const auto file = link_target(path_ / name); std::filesystem::is_regular_file(file, error))
      std::filesystem::remove(file, error);
  remove_checkpoints();
}

std::filesystem::path RunFolder::checkpoint(const std::string& of) const {
  return path_ / ("checkpoint-" + of);
}

void RunFolder::remove_checkpoints() const {
  std::error_code ignored;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
    if (is_checkpoint(entry.path())) found.push_back(entry.path());
  for (const auto& file : found) std::filesystem::remove(file, ignored);
}

std::optional<Result> RunFolder::result() const {
  const std::filesystem::path file = path_ / "result.json";
  if (!std::filesystem::exists(file)) return {};
  constexpr std::uintmax_t limit_bytes = 1 << 24;
  try {
    return result_of(Json::parse(read_file(file, limit_bytes)));
  } catch (const Json::exception& error) {
    throw FileError(fmt::format("{}: expected a run's result, found: {}", file.string(), error.what()));
  }
}

void RunFolder::write(const std::string& file, const std::string& text) const {
  write_file_atomically(path_ / file, text);
}

bool is_file_of_run(const std::filesystem::path& file, const std::filesystem::path& run) {
  std::error_code none;
  const auto is = [&](const std::filesystem::path& own) { return std::filesystem::equivalent(own, file, none); };
  for (const char* name : {"config.toml", "sweep.json", "metrics.jsonl", model_file_name, "result.json", "results.json",
                           "table.txt", preprocessing_file, trained_rows_file})
    if (is(run / name)) return true;
  for (const auto& entry : std::filesystem::directory_iterator(run, none))
    if (is_checkpoint(entry.path()) && is(entry.path())) return true;
  return false;
}

RunFolder open_run(const std::filesystem::path& path, const RunConfig& config) {
  constexpr std::uintmax_t limit_bytes = 1 << 20;
  const std::filesystem::path file = path / "config.toml";
  const std::string text = to_toml(config);
  const bool same = std::filesystem::exists(file) && !std::filesystem::exists(path / "result.json") &&
                    read_file(file, limit_bytes) == text;
  RunFolder folder(path, same ? Begin::where_it_stopped : Begin::afresh);
  folder.write("config.toml", text);
  return folder;
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
         {validation_key(e.validation.classes > 0), !validated                 ? Json()
                                                    : e.validation.classes > 0 ? Json(e.validation.accuracy)
                                                                               : Json(e.validation.rmse)},
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

Result result_of(const RunConfig& config, const DataParts& data, const Trained* dense, const Trained& sparse) {
  const Experiment e{.model = sparse.model,
                     .data = data,
                     .loss = loss_of(config, data),
                     .optimizer = make_optimizer(config.optimizer),
                     .epochs = config.epochs,
                     .batch = config.batch,
                     .lanes = config.lanes,
                     .seed = config.seed,
                     .threads = threads_of(config),
                     .clip_norm = config.clip_norm,
                     .pruning = pruning_of(config)};
  Result result = result_of(e, dense, sparse, card_of(config, data, sparse));
  result.model = trained_model_name(config);
  result.members = config.members;
  result.control = config.control;
  if (data.preprocessing) {
    result.surviving_inputs = surviving_inputs(*sparse.model, *data.preprocessing);
    result.input_columns = data.preprocessing->source_column_count();
  }
  return result;
}

std::vector<std::string> surviving_inputs(const Module& model, const Preprocessing& preprocessing) {
  const std::vector<Index> source = preprocessing.source_columns();
  const std::vector<const Parameter*> parameters = parameters_of(model);
  const auto first = std::ranges::find_if(
      parameters, [&](const Parameter* W) { return W->prunable() && W->cols() == static_cast<Index>(source.size()); });
  if (first == parameters.end()) return {};
  // The first layer, of every member if the model is an average: "1.fc1.weight", "2.fc1.weight".
  const auto within_member = [](const std::string& name) {
    const std::size_t behind = name.find_first_not_of("0123456789");
    return behind == 0 ? name : name.substr(behind);
  };
  std::vector<bool> survives(preprocessing.source_column_count());
  for (const Parameter* W : parameters)
    if (within_member(W->name()) == within_member((*first)->name()))
      W->for_each_weight([&](Index, Index column, Index n) {
        if (W->value()[n] != 0) survives[source[column]] = true;
      });
  std::vector<std::string> names;
  for (std::size_t c = 0; c < survives.size(); ++c)
    if (survives[c]) names.push_back(preprocessing.column_name(static_cast<Index>(c)));
  return names;
}

void leave_behind(const RunFolder& folder, const RunConfig& config, const DataParts& data, const Trained& sparse,
                  const Result& result) {
  folder.write("config.toml", to_toml(config));
  save_model(*sparse.model, card_of(config, data, sparse), folder.path() / "model.safetensors", sparse.origin);
  if (data.preprocessing) TrainedRows(*data.train).save(folder.path() / trained_rows_file);
  folder.write("result.json", to_json(result).dump(2) + "\n");
  folder.remove_checkpoints();  // not before: until then there is something to go on from
}

}  // namespace espalier
