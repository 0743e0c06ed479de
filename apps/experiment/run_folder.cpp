#include "espalier/experiment/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/report.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/experiment/trained_rows.h"
#include "espalier/layers/model_file.h"

namespace espalier {
namespace {

// What a run writes, besides checkpoints; config.toml, by which a run is known, last.
constexpr std::array run_files{"result.json",     "results.json",   "table.txt",  model_file_name, "metrics.jsonl",
                               mask_file_name,    report_file_name, "sweep.json", "plots.svg",     preprocessing_file,
                               trained_rows_file, log_file_name,    "config.toml"};
constexpr std::string_view config_begins = "# Everything that produced this run.";

// What the file of a run's model says of it. (A control may be another model than the configuration's.)
ModelCard card_of(const RunConfig& config, const DataParts& data, const Module& model, std::uint64_t fingerprint) {
  ModelCard card = card_of(model, data);
  card.dataset = config.data;
  card.seed = config.seed;
  if (fingerprint != 0) card.fingerprint = fingerprint;
  return card;
}

// The first bytes of a regular file.
std::string beginning_of(const std::filesystem::path& file) {
  constexpr std::size_t enough = 1 << 16;
  std::error_code none;
  if (!std::filesystem::is_regular_file(file, none)) return "";
  std::string text(enough, '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

// Of a safetensors file, which many programs write, and under the same names.
bool has_our_format(const std::filesystem::path& file) {
  return beginning_of(file).find(R"("format":"espalier-)") != std::string::npos;
}

bool is_report(const std::filesystem::path& file) {
  return beginning_of(file).find(report_mark) != std::string::npos;
}

bool is_checkpoint(const std::filesystem::path& file) {
  return file.filename().string().starts_with("checkpoint-") && has_our_format(file);
}

// Checkpoints of a run, whichever process wrote them.
bool may_be_checkpoint(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with("checkpoint-sparse") || name.starts_with("checkpoint-dense");
}

bool holds_run(const std::filesystem::path& folder) {
  return beginning_of(folder / "config.toml").starts_with(config_begins);
}

// A file that stands where a run would write one, and that no run has written; empty: there is none.
std::filesystem::path foreign_file(const std::filesystem::path& folder) {
  std::error_code none;
  const bool run = holds_run(folder);
  for (const char* name : run_files) {
    const std::filesystem::path file = folder / name;
    if (!std::filesystem::exists(file, none)) continue;
    if (!run || (std::string_view(name) == model_file_name && !has_our_format(file)) ||
        (std::string_view(name) == report_file_name && !is_report(file)))
      return file;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (may_be_checkpoint(entry.path()) && !is_checkpoint(entry.path())) return entry.path();
  return {};
}

void require_no_foreign_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = foreign_file(folder);
  require(file.empty(), "[out] {}: expected a folder with a run, or without files of a run's names, found {}",
          folder.string(), file.filename().string());
}

void require_no_run(const std::filesystem::path& folder) {
  require(!holds_run(folder), "[out] {}: expected a folder without a run, found one (--overwrite removes what it left)",
          folder.string());
}

void remove_checkpoints_in(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (is_checkpoint(entry.path())) found.push_back(entry.path());
  for (const auto& file : found) std::filesystem::remove(file, ignored);
}

// The folders of a sweep's runs, as it names them.
std::vector<std::string> names_of_runs(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  constexpr std::uintmax_t limit_bytes = 1 << 26;
  const std::filesystem::path file = folder / "sweep.json";
  if (std::error_code none; !std::filesystem::exists(file, none)) return names;
  const Json json = Json::parse(read_file(file, limit_bytes), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("runs") || !json["runs"].is_array()) return names;
  for (const Json& run : json["runs"])
    if (run.is_object() && run.contains("name") && run["name"].is_string()) names.push_back(run["name"]);
  return names;
}

// What a run has left, its runs within included. A link stays one, to a file that is gone until it is written again.
void remove_run(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> within;
  const std::vector<std::string> names = names_of_runs(folder);
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();  // density-: from before sweeps had names for them
    const bool named = std::ranges::count(names, name) > 0 || name.starts_with("density-");
    if (named && entry.is_directory(ignored) && holds_run(entry.path()) && foreign_file(entry.path()).empty())
      within.push_back(entry.path());
  }
  for (const auto& run : within) {
    remove_run(run);
    ::rmdir(run.c_str());  // unless something else is in it
  }
  remove_checkpoints_in(folder);
  for (const char* name : run_files)
    if (const auto file = link_target(folder / name); std::filesystem::is_regular_file(file, ignored))
      std::filesystem::remove(file, ignored);
}

// A lock on a folder, which the system takes back when the process ends, however it ends; null: another process has it.
// Where the file system has no locks there is none.
std::shared_ptr<const void> lock_on(const std::filesystem::path& folder) {
  struct Lock {
    int file = -1;
    ~Lock() {
      if (file >= 0) ::close(file);
    }
  };
  const auto lock = std::make_shared<Lock>();
  lock->file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock->file >= 0 && ::flock(lock->file, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) return nullptr;
  return lock;
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw FileError(fmt::format("{}: cannot make the output folder: {}", folder.string(), error.message()));
}

std::shared_ptr<const void> lock_or_throw(const std::filesystem::path& folder) {
  auto lock = lock_on(folder);
  if (!lock)
    throw FileError(fmt::format("{}: expected a folder of its own, found one that another process writes a run into",
                                folder.string()));
  return lock;
}

std::shared_ptr<const void> make_and_lock(const std::filesystem::path& folder) {
  make_folder(folder);
  return lock_or_throw(folder);
}

// Where a training that is done is to be found, if what it leaves cannot be written.
std::string whereabouts_of(const Trained& trained, const RunFolder& folder) {
  if (!trained.not_kept.empty()) return fmt::format("nor could the training be kept ({})", trained.not_kept);
  return fmt::format("the training is done, and kept in {}",
                     (trained.kept_in.empty() ? folder.path() : trained.kept_in).string());
}

// name, name-2, name-3 ...
std::filesystem::path numbered(const std::string& name, int n) {
  return n == 1 ? std::filesystem::path(name) : std::filesystem::path(fmt::format("{}-{}", name, n));
}

}  // namespace

RunFolder::RunFolder(std::filesystem::path path, Begin begin) : RunFolder(path, begin, make_and_lock(path)) {}

RunFolder::RunFolder(std::filesystem::path path, Begin begin, std::shared_ptr<const void> lock)
    : path_(std::move(path)), begin_(begin), lock_(std::move(lock)) {
  if (begin == Begin::afresh) require_no_run(path_);
  if (begin != Begin::where_it_stopped || holds_run(path_)) require_no_foreign_file(path_);
  OutputFile(path_ / ".writable").write("?");  // and goes again
  remove_stale_temporaries(path_);
  if (begin == Begin::overwriting) remove_run(path_);
}

RunFolder RunFolder::within(const std::string& name) const {
  RunFolder folder(path_ / name, begin_ == Begin::where_it_stopped ? begin_ : Begin::afresh);
  folder.within_ = name;
  return folder;
}

std::filesystem::path RunFolder::checkpoint(const std::string& of) const {
  return path_ / ("checkpoint-" + of);
}

bool RunFolder::has_checkpoint() const {
  std::error_code none;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path_, none))
    if (is_checkpoint(entry.path())) return true;
  return false;
}

void RunFolder::remove_checkpoints() const {
  remove_checkpoints_in(path_);
}

std::optional<Result> result_in(const std::filesystem::path& run) {
  const std::filesystem::path file = run / "result.json";
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
  for (const char* name : run_files)
    if (is(run / name)) return true;
  for (const auto& entry : std::filesystem::directory_iterator(run, none))
    if (is_checkpoint(entry.path()) && is(entry.path())) return true;
  return false;
}

// --- where a run is left ---------------------------------------------------------------------------------------------

// Folders that are not in use, for a run to begin in or to go on in.
class FreeFolder {
 public:
  static std::optional<RunFolder> take(const std::filesystem::path& path, Begin begin) {
    make_folder(path);
    auto lock = lock_on(path);
    if (!lock) return {};
    const bool fits = begin == Begin::where_it_stopped || (!holds_run(path) && foreign_file(path).empty());
    if (!fits) return {};
    return RunFolder(path, begin, std::move(lock));
  }
};

namespace {

constexpr int most_folders = 100000;

bool is_interrupted_run_of(const std::filesystem::path& folder, const std::string& config) {
  constexpr std::uintmax_t limit_bytes = 1 << 20;
  const std::filesystem::path file = folder / "config.toml";
  return std::filesystem::exists(file) && !std::filesystem::exists(folder / "result.json") &&
         read_file(file, limit_bytes) == config;
}

}  // namespace

void require_not_in_use(const std::filesystem::path& folder) {
  lock_or_throw(folder);
}

void require_free(const RunPlace& place) {
  if (place.out.empty() && !place.overwrite) return;
  const std::filesystem::path folder(place.out.empty() ? place.name : place.out);
  require_not_in_use(folder);
  if (!place.overwrite) require_no_run(folder);
  require_no_foreign_file(folder);
}

RunFolder new_run(const RunPlace& place) {
  if (!place.out.empty() || place.overwrite)
    return RunFolder(place.out.empty() ? place.name : place.out, place.overwrite ? Begin::overwriting : Begin::afresh);
  for (int n = 1; n < most_folders; ++n)
    if (auto folder = FreeFolder::take(numbered(place.name, n), Begin::afresh)) return *std::move(folder);
  throw FileError(fmt::format("{}: expected a folder that is free, found {} that are used", place.name, most_folders));
}

RunFolder open_run(const RunPlace& place, const RunConfig& config) {
  const std::string text = to_toml(config);
  for (int n = 1; !place.overwrite && n < (place.out.empty() ? most_folders : 2); ++n) {
    const std::filesystem::path path = numbered(place.out.empty() ? place.name : place.out, n);
    if (!std::filesystem::exists(path)) break;
    if (!is_interrupted_run_of(path, text)) continue;
    if (auto folder = FreeFolder::take(path, Begin::where_it_stopped)) return *std::move(folder);
  }
  RunFolder folder = new_run(place);
  folder.write("config.toml", text);
  return folder;
}

// --- metrics.jsonl ---------------------------------------------------------------------------------------------------

MetricsLog::MetricsLog(const RunFolder& folder, Index epochs, std::uintmax_t kept_bytes)
    : path_(folder.path() / "metrics.jsonl"),
      within_(folder.name_within()),
      file_(path_),
      masks_(folder.path() / mask_file_name, /*keeps_all=*/kept_bytes > 0),
      epochs_(epochs) {
  file_.keep(kept_bytes);
}

Observer MetricsLog::observer(Side which) {
  const std::string side = name_of(which);
  return {.epoch = [this, side](const EpochResult& e, Index round, double density) { epoch(side, e, round, density); },
          .pruned = [this, side](const std::vector<PruneEvent>& events) { pruned(side, events); },
          .noted = [this] { return noted(); },
          .go_on_behind = [this](const std::string& note) { go_on_behind(note); }};
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
  // A terminal that is gone is no reason to end a training.
  std::fputs(
      fmt::format("  {:<7}epoch {:>3}/{}  loss {:.4f}  {}density {:.3f}  {:.0f} samples/s\n", side, e.epoch, epochs_,
                  e.train_loss, validated ? fmt::format("validation {}  ", text_of(e.validation)) : std::string(),
                  density, static_cast<double>(e.samples) / e.seconds)
          .c_str(),
      stderr);
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
  masks_.add(events, layers);
  write({{"side", side}, {"pruned_at_step", events.front().step}, {"density", kept / positions}, {"layers", layers}});
}

void MetricsLog::write(const Json& line) {
  unwritten_ += line.dump() + "\n";
  flush();
}

// What cannot be written now is written with the next line, or when the training goes on.
void MetricsLog::flush() {
  file_.append(unwritten_);  // even if that is nothing: what stands behind goes
  unwritten_.clear();
  masks_.flush();
}

void MetricsLog::finish() {
  flush();
  masks_.finish();
}

std::string MetricsLog::noted() {
  if (unwritten_.empty()) file_.synchronise();
  return Json({{"log", within_}, {"bytes", file_.bytes()}, {"unwritten", unwritten_}, {"masks", masks_.noted()}})
      .dump();
}

void MetricsLog::go_on_behind(const std::string& note) {
  if (note.empty()) return;
  try {
    const Json json = Json::parse(note);
    if (json.at("log").get<std::string>() != within_) return;  // its lines are in another folder
    const auto bytes = json.at("bytes").get<std::uintmax_t>();
    unwritten_ = json.at("unwritten").get<std::string>();
    if (const std::uintmax_t found = file_.keep(bytes); found < bytes)
      std::fputs(fmt::format("{}: expected the {} bytes that stood there when the training was last kept, found {}\n",
                             path_.string(), bytes, found)
                     .c_str(),
                 stderr);
    if (json.contains("masks")) masks_.go_on_behind(json["masks"]);
  } catch (const Json::exception& error) {
    throw FileError(fmt::format("a checkpoint: expected how far {} was, found: {}", path_.string(), error.what()));
  }
}

Result result_of(const RunConfig& config, const DataParts& data, const Trained* dense, const Trained& sparse,
                 Times times) {
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
  Result result = result_of(e, dense, sparse, card_of(config, data, *sparse.model, sparse.data),
                            layout_named(config.layout), times);
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

void leave_model(const RunFolder& folder, const RunConfig& config, const DataParts& data, const Module& model,
                 std::uint64_t fingerprint, const std::optional<Origin>& origin) {
  save_model(model, card_of(config, data, model, fingerprint), folder.path() / model_file_name,
             {.layout = layout_named(config.layout), .origin = origin});
  if (data.preprocessing) TrainedRows(*data.train).save(folder.path() / trained_rows_file);
}

void leave_behind(const RunFolder& folder, const RunConfig& config, const DataParts& data, const Trained& sparse,
                  const Result& result) {
  try {
    folder.write("config.toml", to_toml(config));
    leave_model(folder, config, data, *sparse.model, sparse.data, sparse.origin);
    folder.write("result.json", to_json(result).dump(2) + "\n");
    write_report(folder.path());
  } catch (const FileError& error) {
    throw FileError(fmt::format("{}; {}", error.what(), whereabouts_of(sparse, folder)));
  }
  folder.remove_checkpoints();  // not before: until then there is something to go on from
}

Trained trained_in(const RunFolder& folder, const RunConfig& config, const DataParts& data) {
  const auto result = result_in(folder.path());
  if (!result)
    throw FileError(fmt::format("{}: expected a run that is finished, found no result", folder.path().string()));
  Trained trained{.model = model_of(config, data)};
  load_narrowed(*trained.model, data.train->shape(), folder.path() / model_file_name);
  trained.train_seconds = result->sparse.train_seconds;
  trained.checkpoint_seconds = result->sparse.checkpoint_seconds;
  trained.event_seconds = result->sparse.event_seconds;
  trained.train_flops = result->sparse.train_flops;
  trained.notes = result->notes;
  trained.units = result->sparse.units;
  return trained;
}

}  // namespace espalier
