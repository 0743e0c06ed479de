#include "espalier/experiment/training_state.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr const char *progress_key = "progress", *unknown = "";
constexpr const char *early_part = "early", *best_part = "best";
constexpr Index most = Index{1} << 53;  // of anything that is counted

std::string fingerprint_text(std::uint64_t print) {
  return print == 0 ? unknown : fmt::format("{:016x}", print);
}

// --- numbers that are checked ----------------------------------------------------------------------------------------

[[noreturn]] void refuse(const std::string& key, const std::string& expected, const json& found) {
  throw FileError(fmt::format("{}: expected {}, found {}", key, expected, in_quotes(found.dump())));
}

Index whole_number(const json& j, const char* key, Index low, Index high) {
  const json& value = j.at(key);
  if (!value.is_number_integer() || value.get<double>() < static_cast<double>(low) ||
      value.get<double>() > static_cast<double>(high) || value.get<Index>() < low || value.get<Index>() > high)
    refuse(key, low == high ? fmt::format("{}", low) : fmt::format("{} to {}", low, high), value);
  return value.get<Index>();
}

// At least 0 and finite.
double amount(const json& j, const char* key) {
  const json& value = j.at(key);
  if (!value.is_number() || !(value.get<double>() >= 0) || !std::isfinite(value.get<double>()))
    refuse(key, "a finite number of at least 0", value);
  return value.get<double>();
}

// A number that is not defined is null.
double metric(const json& j, const char* key, double low, double high) {
  const json& value = j.at(key);
  if (value.is_null()) return Metrics::unknown;
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high))
    refuse(key, low == 0 && high == 1 ? "0 to 1, or null" : "a number, or null", value);
  return value.get<double>();
}

bool truth(const json& j, const char* key) {
  if (!j.at(key).is_boolean()) refuse(key, "true or false", j.at(key));
  return j.at(key).get<bool>();
}

std::string words(const json& j, const char* key) {
  if (!j.at(key).is_string()) refuse(key, "a text", j.at(key));
  return j.at(key).get<std::string>();
}

constexpr double infinity = std::numeric_limits<double>::infinity();

// --- the parts of the state ------------------------------------------------------------------------------------------

json to_json(const Flops& f) {
  return {f.executed, f.useful};
}
Flops flops_of(const json& parent, const char* key) {
  const json& j = parent.at(key);
  if (!j.is_array() || j.size() != 2 || !j[0].is_number_unsigned() || !j[1].is_number_unsigned())
    refuse(key, "two counts", j);
  return {j[0].get<std::uint64_t>(), j[1].get<std::uint64_t>()};
}

json to_json(const Evaluation& e) {
  return {{"loss", e.loss},       {"accuracy", e.accuracy},    {"brier", e.brier},    {"rmse", e.rmse},
          {"samples", e.samples}, {"flops", to_json(e.flops)}, {"classes", e.classes}};
}
Evaluation evaluation_of(const json& j) {
  return {.loss = metric(j, "loss", -infinity, infinity),
          .accuracy = metric(j, "accuracy", 0, 1),
          .brier = metric(j, "brier", 0, 2),
          .rmse = metric(j, "rmse", 0, infinity),
          .samples = whole_number(j, "samples", 0, most),
          .flops = flops_of(j, "flops"),
          .classes = whole_number(j, "classes", 0, most)};
}

json to_json(const Metrics& m) {
  return {{"samples", m.samples},
          {"classes", m.classes},
          {"accuracy", m.accuracy},
          {"balanced", m.balanced_accuracy},
          {"auc", m.auc},
          {"log_loss", m.log_loss},
          {"rmse", m.rmse},
          {"mae", m.mae},
          {"r2", m.r2},
          {"standard_error", m.standard_error}};
}
Metrics metrics_of(const json& j) {
  return {.samples = whole_number(j, "samples", 0, most),
          .classes = whole_number(j, "classes", 0, most),
          .accuracy = metric(j, "accuracy", 0, 1),
          .balanced_accuracy = metric(j, "balanced", 0, 1),
          .auc = metric(j, "auc", 0, 1),
          .log_loss = metric(j, "log_loss", 0, infinity),
          .rmse = metric(j, "rmse", 0, infinity),
          .mae = metric(j, "mae", 0, infinity),
          .r2 = metric(j, "r2", -infinity, 1),
          .standard_error = metric(j, "standard_error", 0, infinity)};
}

// Triples: class, answer, how often.
json to_json(const Confusion& confusion) {
  json counts = json::array();
  for (const auto& [pair, count] : confusion.counts()) counts.push_back({pair.first, pair.second, count});
  return {{"classes", confusion.classes()}, {"counts", counts}};
}
Confusion confusion_of(const json& j, Index classes) {
  if (whole_number(j, "classes", 0, classes) != 0) whole_number(j, "classes", classes, classes);
  Confusion confusion(j.at("classes").get<Index>());
  for (const json& count : j.at("counts")) {
    if (!count.is_array() || count.size() != 3) refuse("counts", "triples", count);
    const json named = {{"class", count[0]}, {"answer", count[1]}, {"count", count[2]}};
    confusion.add({static_cast<std::int32_t>(whole_number(named, "class", 0, confusion.classes() - 1)),
                   static_cast<std::int32_t>(whole_number(named, "answer", 0, confusion.classes() - 1))},
                  whole_number(named, "count", 1, most));
  }
  return confusion;
}

json to_json(const BestEpoch::Found& f) {
  return {{"epoch", f.epoch}, {"since", f.since}, {"validation", to_json(f.validation)}};
}

// --- position --------------------------------------------------------------------------------------------------------

json to_json(const FitPosition& p) {
  const EpochResult& e = p.epoch;
  return {{"step", p.step},       {"train_loss", e.train_loss}, {"gradient_norm", e.gradient_norm},
          {"seconds", e.seconds}, {"samples", e.samples},       {"flops", to_json(e.flops)}};
}
FitPosition position_of(const json& j, const TrainingLimits& limits, Index first) {
  FitPosition p{.step = whole_number(j, "step", first, limits.steps)};
  const Index behind = p.step % limits.batches * limits.batch;  // samples of the epoch under way
  p.epoch.train_loss =
      metric(j, "train_loss", std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max());
  p.epoch.gradient_norm = amount(j, "gradient_norm");
  p.epoch.seconds = amount(j, "seconds");
  // A round that begins within an epoch has not seen what stands before.
  p.epoch.samples = behind > 0 && first % limits.batches == 0 ? whole_number(j, "samples", behind, behind)
                                                              : whole_number(j, "samples", 0, most);
  p.epoch.flops = flops_of(j, "flops");
  return p;
}

// --- units that were taken out ---------------------------------------------------------------------------------------

// {"fc1": [0, 2, 5], ...}: of each width that has lost groups those that are left, by their first numbers.
json to_json(const Narrowing& narrowing) {
  json left = json::object();
  for (std::size_t w = 0; w < narrowing.whole().size(); ++w)
    if (narrowing.widths()[w].groups != narrowing.whole()[w].groups)
      left[narrowing.whole()[w].name] = narrowing.kept()[w];
  return left;
}

Kept kept_of(const json& j, const Narrowing& narrowing) {
  Kept kept = all_of(narrowing.whole());
  if (!j.contains("units")) return kept;
  if (!j["units"].is_object()) refuse("units", "an object", j["units"]);
  for (const auto& [name, groups] : j["units"].items()) {
    const auto found = std::ranges::find(narrowing.whole(), name, &Width::name);
    if (found == narrowing.whole().end() || !found->fixed.empty()) refuse("units", "names of layers", name);
    if (!groups.is_array() || groups.empty()) refuse("units", "lists of units", groups);
    std::vector<Index>& left = kept[static_cast<std::size_t>(found - narrowing.whole().begin())];
    left.clear();
    for (const json& group : groups)
      left.push_back(whole_number({{"units", group}}, "units", left.empty() ? 0 : left.back() + 1, found->groups - 1));
  }
  return kept;
}

// What there is to remember: of the model and, while it is in training, of the method.
std::vector<CheckpointPart> parts_of(const TrainingParts& p) {
  CheckpointPart now{.parameters = parameters_of(*p.trained.model), .state = state_of(*p.trained.model)};
  if (p.method) {
    std::ranges::copy(p.method->latents(), std::back_inserter(now.parameters));
    std::ranges::copy(p.method->state(), std::back_inserter(now.state));
  }
  std::vector<CheckpointPart> parts{std::move(now)};
  const auto add = [&](const char* name, Snapshot& then) { parts.push_back({name, then.copies(), then.state()}); };
  if (p.early && *p.early) add(early_part, **p.early);
  if (p.best && p.best->best()) add(best_part, *p.best->best());
  return parts;
}

// What a checkpoint says of a training, without the arrays.
struct Progress {
  TrainingState state;
  bool early = false;
  std::optional<BestEpoch::Found> best = {};
  Trained trained = {};
};

Progress progress_of(const json& j, const TrainingLimits& limits) {
  Progress p;
  TrainingState& s = p.state;
  s.finished = truth(j, "finished");
  s.number = static_cast<std::uint64_t>(whole_number(j, "number", 1, most));
  s.noted = words(j, "noted");
  if (!s.finished) {
    s.round = whole_number(j, "round", 0, limits.rounds);
    const Index first = s.round > 0 ? limits.rewound_step : limits.first_step;
    s.position = position_of(j.at("position"), limits, first);
    s.trainer_steps = whole_number(j, "trainer_steps", s.position.step - first, s.position.step - first);
    s.probe_flops = flops_of(j, "probe_flops");
    if (j.contains("pruned_step")) s.pruned_step = whole_number(j, "pruned_step", 0, s.position.step);
    p.early = truth(j, "early");
    if (const json& best = j.at("best"); !best.is_null())
      p.best = {.epoch = whole_number(best, "epoch", 1, limits.steps / limits.batches),
                .since = whole_number(best, "since", 0, limits.steps / limits.batches),
                .validation = evaluation_of(best.at("validation"))};
  }
  p.trained.train_seconds = amount(j, "train_seconds");
  p.trained.checkpoint_seconds = amount(j, "checkpoint_seconds");
  if (j.contains("event_seconds")) p.trained.event_seconds = amount(j, "event_seconds");
  p.trained.train_flops = flops_of(j, "train_flops");
  p.trained.validation = evaluation_of(j.at("validation"));
  p.trained.test = evaluation_of(j.at("test"));
  p.trained.epoch = whole_number(j, "best_epoch", 0, limits.steps / limits.batches);
  p.trained.metrics = metrics_of(j.at("metrics"));
  p.trained.confusion = confusion_of(j.at("confusion"), limits.classes);
  if (!j.at("notes").is_array()) refuse("notes", "a list", j.at("notes"));
  for (const json& note : j.at("notes")) p.trained.notes.push_back(words({{"note", note}}, "note"));
  return p;
}

void take_over(Trained& t, Trained&& from) {
  t.train_seconds = from.train_seconds;
  t.checkpoint_seconds = from.checkpoint_seconds;
  t.event_seconds = from.event_seconds;
  t.train_flops = from.train_flops;
  t.validation = from.validation;
  t.test = from.test;
  t.epoch = from.epoch;
  t.metrics = from.metrics;
  t.confusion = std::move(from.confusion);
  t.notes = std::move(from.notes);
}

// One file. A training that is finished is loaded without what the method remembered.
TrainingState load(const CheckpointFile& file, const json& j, const TrainingParts& into, const TrainingLimits& limits) {
  Progress p = progress_of(j, limits);
  TrainingParts parts = into;
  if (p.state.finished) parts.method = nullptr, parts.early = nullptr, parts.best = nullptr;
  const auto forget = [&] {
    if (into.early) into.early->reset();
    if (into.best) into.best->forget();
  };
  forget();
  if (Narrowing* narrowing = into.method ? into.method->narrowing() : nullptr) {
    narrowing->go_to(kept_of(j, *narrowing));
    if (into.best) into.best->watch(state_of(*into.trained.model));
  }
  if (parts.early && p.early) parts.early->emplace(parameters_of(*parts.trained.model), state_of(*parts.trained.model));
  if (parts.best && p.best) parts.best->go_on(*p.best);
  try {
    file.load(parts_of(parts));
  } catch (const FileError&) {
    forget();
    throw;
  }
  take_over(parts.trained, std::move(p.trained));
  return p.state;
}

struct Candidate {
  CheckpointFile file;
  json progress;
  std::uint64_t number;
};

// Throws FileError if the file is no checkpoint of a training.
Candidate candidate(const std::filesystem::path& path) {
  CheckpointFile file(path);
  try {
    json progress = json::parse(file.metadata().at(progress_key));
    const auto number = static_cast<std::uint64_t>(whole_number(progress, "number", 1, most));
    return {std::move(file), std::move(progress), number};
  } catch (const std::exception& error) {
    throw FileError(fmt::format("{}: expected a checkpoint of a training, found: {}", path.string(), error.what()));
  }
}

void require_same(const Candidate& c, const char* key, std::uint64_t now, const std::string& what) {
  const std::string then = c.progress.value(key, unknown);
  if (then != unknown && now != 0 && then != fingerprint_text(now))
    throw FileError(fmt::format("{}: expected {} as when this training began, found {}", c.file.path(), what,
                                std::string_view(key) == "data" ? "other ones" : "another one"));
}

}  // namespace

void save_training(const TrainingState& s, const TrainingParts& parts, const std::filesystem::path& file) {
  const Trained& t = parts.trained;
  json j = {{"finished", s.finished},
            {"number", s.number},
            {"noted", s.noted},
            {"data", fingerprint_text(t.data)},
            {"config", fingerprint_text(parts.config)},
            {"train_seconds", t.train_seconds},
            {"checkpoint_seconds", t.checkpoint_seconds},
            {"event_seconds", t.event_seconds},
            {"train_flops", to_json(t.train_flops)},
            {"validation", to_json(t.validation)},
            {"test", to_json(t.test)},
            {"best_epoch", t.epoch},
            {"metrics", to_json(t.metrics)},
            {"confusion", to_json(t.confusion)},
            {"notes", t.notes}};
  if (parts.narrowing) j["units"] = to_json(*parts.narrowing);
  if (!s.finished) {
    j["round"] = s.round;
    j["position"] = to_json(s.position);
    j["trainer_steps"] = s.trainer_steps;
    j["probe_flops"] = to_json(s.probe_flops);
    if (s.pruned_step >= 0) j["pruned_step"] = s.pruned_step;
    j["early"] = parts.early && *parts.early;
    const auto best = parts.best ? parts.best->found() : std::nullopt;
    j["best"] = best ? to_json(*best) : json();
  }
  save_checkpoint(parts_of(parts), {{progress_key, j.dump()}}, checkpoint_file(file, s.number));
}

std::optional<TrainingState> load_training(const TrainingParts& parts, const TrainingLimits& limits,
                                           const std::filesystem::path& file) {
  std::vector<Candidate> found;
  std::vector<std::string> complaints;
  for (const std::uint64_t number : {1, 2}) {
    const std::filesystem::path path = checkpoint_file(file, number);
    if (!std::filesystem::exists(path)) continue;
    try {
      found.push_back(candidate(path));
    } catch (const FileError& error) {
      complaints.emplace_back(error.what());
    }
  }
  std::ranges::sort(found, std::greater{}, &Candidate::number);
  for (const Candidate& c : found) {
    require_same(c, "data", parts.trained.data, fmt::format("the data of {}", limits.name));
    require_same(c, "config", parts.config, "the configuration");
    try {
      const TrainingState state = load(c.file, c.progress, parts, limits);
      for (const std::string& complaint : complaints)
        fmt::print(stderr, "{}; going on from {}\n", complaint, c.file.path());
      return state;
    } catch (const std::exception& error) {
      const std::string path = c.file.path(), what = error.what();
      complaints.push_back(what.starts_with(path)
                               ? what
                               : fmt::format("{}: expected a checkpoint of a training, found: {}", path, what));
    }
  }
  if (!complaints.empty()) throw FileError(complaints.front());
  return {};
}

std::filesystem::path checkpoint_file(const std::filesystem::path& checkpoint, std::uint64_t number) {
  return number % 2 == 1 ? checkpoint : std::filesystem::path(checkpoint) += ".2";
}
std::filesystem::path control_file(std::filesystem::path checkpoint) {
  return checkpoint += ".control";
}
std::filesystem::path later_file(std::filesystem::path checkpoint, std::size_t which) {
  return checkpoint += fmt::format(".later-{}", which);
}

}  // namespace espalier
