#include "espalier/experiment/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <sstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/core/random.h"
#include "espalier/core/tensor.h"
#include "espalier/core/threads.h"
#include "espalier/datasets/quoted.h"
#include "espalier/experiment/config_toml-inl.h"
#include "espalier/experiment/data.h"
#include "espalier/layers/average.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/controls.h"
#include "espalier/pruning/group_criterion.h"
#include "espalier/pruning/method.h"
#include "espalier/pruning/structure.h"

namespace espalier {
namespace {

// The one list of keys, the data's first: written, read back and checked for unknown keys from here.
//   field(section, key, reference to the member)
template <typename Config, typename Field>
void for_each_data_field(Config& c, Field&& field) {
  field("data", "name", c.data);
  field("data", "folder", c.data_dir);
  field("data", "format", c.format);
  field("data", "validation", c.validation);
  field("data", "augment", c.augment);
  field("table", "test_data", c.test_data);
  field("table", "target", c.table.target);
  field("table", "task", c.table.task);
  field("table", "scaling", c.table.scaling);
  field("table", "encoding", c.table.encoding);
  field("table", "impute", c.table.impute);
  field("table", "missing", c.table.missing_marks);
  field("table", "ignore", c.table.ignore);
  field("table", "categorical", c.table.categorical);
  field("table", "use", c.table.use);
  field("table", "header", c.table.csv.dialect.header);
  field("table", "delimiter", c.table.csv.dialect.delimiter);
  field("table", "decimal", c.table.csv.dialect.decimal);
  field("table", "charset", c.table.csv.dialect.charset);
  field("table", "skip_bad_rows", c.table.csv.skip_bad_rows);
  field("table", "test_fraction", c.table.test_fraction);
}

template <typename Config, typename Field>
void for_each_field(Config& c, Field&& field) {
  for_each_data_field(c, field);
  field("run", "recipe", c.recipe);
  field("run", "model", c.model);
  field("run", "init", c.init);
  field("run", "init_names", c.init_names);
  field("run", "members", c.members);
  field("run", "seed", c.seed);
  field("run", "threads", c.threads);
  field("run", "lanes", c.lanes);
  field("run", "layout", c.layout);
  field("run", "dense_twin", c.dense_twin);
  field("run", "baselines", c.baselines);
  field("training", "epochs", c.epochs);
  field("training", "patience", c.patience);
  field("training", "batch", c.batch);
  field("training", "clip_norm", c.clip_norm);
  field("training", "continued", c.continued);
  field("training", "continued_rates", c.continued_rates);
  field("loss", "name", c.loss);
  field("loss", "huber_delta", c.huber_delta);
  field("loss", "quantile", c.quantile);
  field("loss", "class_weights", c.class_weights);
  field("optimizer", "name", c.optimizer.name);
  field("optimizer", "momentum", c.optimizer.momentum);
  field("optimizer", "beta1", c.optimizer.beta1);
  field("optimizer", "beta2", c.optimizer.beta2);
  field("optimizer", "epsilon", c.optimizer.epsilon);
  field("optimizer", "weight_decay", c.optimizer.weight_decay);
  field("rate", "schedule", c.rate.schedule);
  field("rate", "rate", c.rate.rate);
  field("rate", "warmup", c.rate.warmup);
  field("rate", "floor", c.rate.floor);
  field("rate", "gamma", c.rate.gamma);
  field("rate", "milestones", c.rate.milestones);
  field("pruning", "method", c.method);
  field("pruning", "allocation", c.allocation);
  field("pruning", "structure", c.structure);
  field("pruning", "schedule", c.schedule.kind);
  field("pruning", "density", c.schedule.density);
  field("pruning", "begin", c.schedule.begin);
  field("pruning", "end", c.schedule.end);
  field("pruning", "interval", c.schedule.interval);
  field("pruning", "rounds", c.schedule.rounds);
  field("pruning", "rewind", c.rewind);
  field("pruning", "control", c.control);
  field("pruning", "protect", c.protect);
  field("pruning", "criterion", c.units.criterion);
  field("pruning", "round_to", c.units.round_to);
  field("pruning", "minimum", c.units.minimum);
  field("pruning", "recalibrate", c.recalibrate);
  field("pruning", "settings", c.settings);
  field("storage", "csr_below", c.storage.csr_below);
  field("storage", "csr_below_of", c.storage.csr_below_of);
}

// Keys that are written only where they differ from the default: a configuration from before they came keeps its text,
// and with it its digest in `espalier reproduce`.
constexpr std::array<std::string_view, 31> later_keys{"pruning.recalibrate",
                                                      "training.continued",
                                                      "training.continued_rates",
                                                      "run.init",
                                                      "run.layout",
                                                      "run.init_names",
                                                      "run.recipe",
                                                      "run.members",
                                                      "training.patience",
                                                      "data.format",
                                                      "run.baselines",
                                                      "loss.name",
                                                      "loss.huber_delta",
                                                      "loss.quantile",
                                                      "loss.class_weights",
                                                      "table.test_data",
                                                      "table.target",
                                                      "table.task",
                                                      "table.scaling",
                                                      "table.encoding",
                                                      "table.impute",
                                                      "table.missing",
                                                      "table.ignore",
                                                      "table.categorical",
                                                      "table.test_fraction",
                                                      "table.use",
                                                      "table.header",
                                                      "table.delimiter",
                                                      "table.decimal",
                                                      "table.charset",
                                                      "table.skip_bad_rows"};
constexpr std::array<std::string_view, 3> later_keys_of_units{"pruning.criterion", "pruning.round_to",
                                                              "pruning.minimum"};

// Values as TOML writes them; numbers in the shortest form that reads back the same.
std::string text_of(const std::string& value) {
  std::ostringstream quoted;
  quoted << toml::value(value);
  return quoted.str();
}
std::string text_of(RateSchedule value) {
  return text_of(std::string(name_of(value)));
}
std::string text_of(Header value) {
  return text_of(std::string(name_of(value)));
}
std::string text_of(Charset value) {
  return text_of(std::string(name_of(value)));
}
// A delimiter or a decimal mark.
std::string text_of(char value) {
  return text_of(value == '.' ? std::string(name_of_decimal(value)) : name_of_delimiter(value));
}
std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}
template <std::integral T>
std::string text_of(T value) {
  return fmt::format("{}", value);
}
template <typename T>
std::string text_of(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() > 1 ? ", " : "") + text_of(value);
  return text + "]";
}
std::string text_of(const std::map<std::string, double>& values) {
  std::string text = "{";
  for (const auto& [key, value] : values)
    text += fmt::format("{}{} = {}", text.size() > 1 ? ", " : " ", text_of(key), text_of(value));
  return text + " }";
}

bool assign(const toml::node& node, std::string& to) {
  return node.is_string() && (to = **node.as_string(), true);
}
bool assign(const toml::node& node, RateSchedule& to) {
  return node.is_string() && (to = rate_schedule_named(**node.as_string()), true);
}
bool assign(const toml::node& node, Header& to) {
  return node.is_string() && (to = header_named(**node.as_string()), true);
}
bool assign(const toml::node& node, Charset& to) {
  return node.is_string() && (to = charset_named(**node.as_string()), true);
}
bool assign(const toml::node& node, char& to) {
  if (!node.is_string()) return false;
  const std::string& name = **node.as_string();
  to = name == name_of_decimal('.') ? '.' : delimiter_named(name);
  return true;
}
bool assign(const toml::node& node, bool& to) {
  return node.is_boolean() && (to = **node.as_boolean(), true);
}
bool assign(const toml::node& node, double& to) {
  const auto value = node.value<double>();
  return node.is_number() && value && (to = *value, true);
}
template <std::integral T>
bool assign(const toml::node& node, T& to) {
  if (!node.is_integer()) return false;
  const std::int64_t value = **node.as_integer();
  to = static_cast<T>(value);
  return static_cast<std::int64_t>(to) == value;
}
template <typename T>
bool assign(const toml::node& node, std::vector<T>& to) {
  if (!node.is_array()) return false;
  to.clear();
  for (const toml::node& element : *node.as_array())
    if (!assign(element, to.emplace_back())) return false;
  return true;
}
bool assign(const toml::node& node, std::map<std::string, double>& to) {
  if (!node.is_table()) return false;
  to.clear();
  for (const auto& [key, value] : *node.as_table())
    if (!assign(value, to[std::string(key.str())])) return false;
  return true;
}

// What the user left open of the training is as it suits the model.
void settle_training(RunConfig& c) {
  const ModelProfile profile = model_profile(c.model);
  if (c.lanes == 0) c.lanes = profile.lanes;
  if (c.clip_norm == -1) c.clip_norm = profile.clip_norm;
  if (c.rate.rate == 0) {
    c.rate.rate = default_rate(optimizers().named(c.optimizer.name), profile);
    if (c.rate.warmup == 0) c.rate.warmup = profile.warmup;
  }
  require(c.lanes >= 1 && c.lanes <= 4096 && (c.lanes == 1 || c.lanes % lane_quantum == 0),
          "[lanes] expected 0 (what suits the model), 1 or a multiple of {} up to 4096, got {}", lane_quantum, c.lanes);
  const Index fewest = c.init.empty() ? 1 : 0;  // weights that are given can be pruned as they are
  require(c.epochs >= fewest && c.epochs <= 1000000, "[epochs] expected {} to 1000000{}, got {}", fewest,
          fewest ? ", or 0 with --init" : "", c.epochs);
  require(c.batch >= 1 && c.batch <= 1 << 24, "[batch] expected 1 to 2^24 samples, got {}", c.batch);
  require(c.clip_norm >= 0 && std::isfinite(c.clip_norm), "[clip-norm] expected at least 0, or -1, got {}",
          c.clip_norm);
  if (c.loss != "auto") losses().named(c.loss);
  settled(LossOptions{.huber_delta = c.huber_delta, .quantile = c.quantile});
  if (c.class_weights != "none" && c.class_weights != "balanced")
    throw not_among({"none", "balanced"}, "class-weights", c.class_weights);
  c.optimizer = settled(c.optimizer);
  c.rate = settled(c.rate);
}

// What goes together with whole units, and what goes with those alone.
void check_units(const RunConfig& c, const MethodInfo& method, const Structure& structure) {
  check(method, structure);
  if (c.units.criterion != "auto" && !group_criteria().find(c.units.criterion)) {
    std::vector<std::string> known = group_criteria().all_names();
    known.insert(known.begin(), "auto");
    throw not_among(known, "criterion", c.units.criterion);
  }
  if (!structure.of_units()) {
    require(c.units == UnitOptions{}, "[{}] expected none with a structure of {}, for it is of whole units, got {}",
            c.units.criterion != "auto" ? "criterion"
            : c.units.round_to != 1     ? "round-to"
                                        : "minimum",
            c.structure,
            c.units.criterion != "auto" ? c.units.criterion
            : c.units.round_to != 1     ? fmt::format("{}", c.units.round_to)
                                        : fmt::format("{}", c.units.minimum));
    return;
  }
  require(c.allocation == "global" || c.allocation == "uniform",
          "[allocation] expected global or uniform with a structure of {}, got {}", c.structure, c.allocation);
  require(c.units.round_to >= 1, "[round-to] expected at least 1, got {}", c.units.round_to);
  require(c.units.minimum >= 1, "[minimum] expected at least 1, got {}", c.units.minimum);
  require(c.control == "none",
          "[control] expected none with a structure of {}, for it takes patterns of weights, got {}", c.structure,
          c.control);
  require(
      rewind_named(c.rewind).kind != Rewind::Kind::step,
      "[rewind] expected none or rate with a structure of {}, for a narrower network has no earlier weights, got {}",
      c.structure, c.rewind);
}

// Throws UsageError for an allocation that cannot be: what has not learnt anything loses nothing, whatever goes.
void check_allocation(const RunConfig& c, const MethodInfo& method) {
  if (allocation_named(c.allocation).rule != Allocation::sensitivity) return;
  require(method.criterion != nullptr,
          "[allocation] expected one by shape or global, for {} does not prune by scores, got {}", method.name,
          c.allocation);
  const bool untrained = c.init.empty() && c.schedule.begin == 0 && !rewind_named(c.rewind);
  require(
      !untrained,
      "[allocation] expected pruning that begins after some training (--begin above 0) or of weights that are given "
      "(--init), got {} of an untrained network",
      c.allocation);
}

// What the user left open of the pruning is as the method has it.
void settle_pruning(RunConfig& c) {
  const MethodInfo& method = methods().named(c.method);
  const MethodDefaults& own = method.defaults;
  if (c.structure == "auto") c.structure = name_of(own.structure);
  const Structure structure = structure_named(c.structure);
  const std::optional<double> fixed = structure.density();  // N:M: the same everywhere
  if (c.allocation == "auto") c.allocation = fixed ? "uniform" : name_of(own.allocation);
  if (c.rewind == "auto") c.rewind = name_of(own.rewind);
  if (c.schedule.kind == "auto") c.schedule.kind = name_of(own.schedule.kind);
  if (c.schedule.density == 0) c.schedule.density = fixed.value_or(own.schedule.density);
  const Schedule times = schedule_named(c.schedule.kind) == own.schedule.kind ? own.schedule : Schedule{};
  if (c.schedule.begin < 0) c.schedule.begin = times.begin;
  if (c.schedule.end < 0) c.schedule.end = std::max(times.end, c.schedule.begin);
  if (c.schedule.interval == 0) c.schedule.interval = own.schedule.interval;
  if (c.schedule.rounds == 0) c.schedule.rounds = own.schedule.rounds;
  c.settings = settings_of(method, c.settings);
  check_allocation(c, method);
  if (fixed) {
    require(c.allocation == "uniform", "[allocation] expected none or uniform with a structure of {}, got {}",
            c.structure, c.allocation);
    check_fixed_density(c, c.schedule.density, *fixed);
  }
  control_named(c.control);
  require(c.epochs > 0 || c.control == "none", "[control] expected none with 0 epochs, for it is trained, got {}",
          c.control);
  check_units(c, method, structure);
  const Schedule schedule = schedule_of(c.schedule);
  const Rewind rewind = rewind_named(c.rewind);
  require(!rewind || needs_scores_alone(method),
          "[rewind] expected a method that prunes by scores, such as lottery or magnitude, got {}", c.method);
  require(!rewind || schedule.kind == Schedule::Kind::iterative,
          "[rewind] expected an iterative schedule, whose rounds can begin again, got {}", c.schedule.kind);
}

// Throws FileError for [a.a.a. ...] or a.a.a. ... = 1 of more levels than a configuration has: toml++ makes a table of
// each, and ends them one inside the other, on the stack. Comments and strings of so many dots are refused with them.
void require_few_levels(const std::string& text, const std::string& file) {
  constexpr int most = 100;
  Index line = 1;
  int dots = 0;
  for (const char c : text) {
    line += c == '\n';
    dots += c == '.';
    if (c == '\n' || c == ',' || c == '=') dots = 0;
    if (dots > most)
      throw FileError(fmt::format("{}: line {}: expected at most {} levels of tables, found more", file, line, most));
  }
}

// A training that goes on after it was over: each time later than the time before, and not where there are others.
void check_continued(const RunConfig& c) {
  require(c.continued.size() == c.continued_rates.size(), "[continued] expected a rate for each of {} times, got {}",
          c.continued.size(), c.continued_rates.size());
  if (c.continued.empty()) return;
  const Index fewest = c.init.empty() ? 1 : 0;
  Index before = fewest - 1;
  for (const Index epochs : c.continued) {
    require(epochs > before && epochs < c.epochs, "[continued] expected rising numbers from {} to {}, got {}", fewest,
            c.epochs - 1, epochs);
    before = epochs;
  }
  for (const double rate : c.continued_rates)
    require(rate > 0 && std::isfinite(rate), "[continued-rates] expected positive learning rates, got {}", rate);
  require(c.members == 1, "[continued] expected one network, got {} members", c.members);
  require(c.rewind == "none", "[continued] expected one training, got rounds of them with rewind {}", c.rewind);
  require(c.control == "none", "[continued] expected no control, got {}", c.control);
}

}  // namespace

RunConfig settled(RunConfig c) {
  require_known_data(c.data, c.format);
  augmentation_named(c.augment);
  require(layout_named(c.layout) != Layout::compressed, "[layout] expected smallest or csr, got {}", c.layout);
  check(c.table);
  require(c.test_data.empty() || names_table(c.data, c.format),
          "[test-data] expected data that are a table, too, got {}", c.data);
  require(c.validation >= 0, "[validation] expected at least 0 samples, got {}", c.validation);
  require(c.members >= 1 && c.members <= most_members_of_average, "[members] expected 1 to {}, got {}",
          most_members_of_average, c.members);
  require(c.patience >= 0, "[patience] expected at least 0 epochs, got {}", c.patience);
  require(c.threads >= 0 && c.threads <= 1024, "[threads] expected 0 to 1024, got {}", c.threads);
  settle_training(c);
  settle_pruning(c);
  check_continued(c);
  return c;
}

RunConfig before_continued(RunConfig c) {
  if (!c.continued.empty()) c.epochs = c.continued.front();
  c.continued.clear();
  c.continued_rates.clear();
  return c;
}

ScheduleChoice choice_of(const Schedule& s) {
  return {name_of(s.kind), s.density, s.begin, s.end, s.interval, s.rounds};
}

Schedule schedule_of(const ScheduleChoice& c) {
  return settled({schedule_named(c.kind), c.density, c.begin, c.end, c.interval, c.rounds});
}

void check_fixed_density(const RunConfig& c, double density, double fixed) {
  constexpr double as_good_as_equal = 1e-6;
  require(std::abs(density - fixed) < as_good_as_equal,
          "[density] expected none, for structure {} with allocation {} comes to {}, got {}", c.structure, c.allocation,
          fixed, density);
}

std::string to_toml(const RunConfig& config) {
  std::map<std::string, std::string> defaults;  // of later keys
  const RunConfig plain;
  for_each_field(plain, [&](const char* section, const char* key, const auto& value) {
    const std::string name = fmt::format("{}.{}", section, key);
    if (std::ranges::count(later_keys, name) + std::ranges::count(later_keys_of_units, name) > 0)
      defaults[name] = text_of(value);
  });
  std::string text =
      "# Everything that produced this run. Again, to the same bits:  espalier train --config config.toml\n";
  std::string_view open;
  for_each_field(config, [&](const char* section, const char* key, const auto& value) {
    const auto found = defaults.find(fmt::format("{}.{}", section, key));
    if (found != defaults.end() && found->second == text_of(value)) return;
    if (open != section) text += fmt::format("\n[{}]\n", section);
    open = section;
    text += fmt::format("{} = {}\n", key, text_of(value));
  });
  return text;
}

std::uint64_t fingerprint(const RunConfig& config) {
  RunConfig c = config;
  c.threads = RunConfig().threads;    // which change no bit
  c.data_dir = RunConfig().data_dir;  // files may have been moved
  return Random::hash(to_toml(c));
}

toml::table parse_toml_text(const std::string& text, const std::string& file) {
  require_few_levels(text, file);
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw FileError(fmt::format("{}: line {}: expected TOML, found: {}", file, error.source().begin.line,
                                on_one_line(error.description())));
  }
}

toml::table parse_toml(const std::filesystem::path& path) {
  constexpr std::uintmax_t limit_bytes = 1 << 20;
  return parse_toml_text(read_file(path, limit_bytes), path.string());
}

void read_sections(RunConfig& config, const toml::table& root, const std::string& file,
                   std::initializer_list<std::string_view> besides) {
  std::set<std::string> known;
  for_each_field(config, [&](const char* section, const char* key, auto& value) {
    known.insert(fmt::format("{}.{}", section, key));
    const toml::node* node = root[section][key].node();
    if (!node) return;
    const auto line = node->source().begin.line;
    try {
      if (!assign(*node, value))
        throw FileError(fmt::format("{}: line {}: {}.{} has a value of the wrong kind", file, line, section, key));
    } catch (const UsageError& error) {  // a word that is none of those known
      throw FileError(fmt::format("{}: line {}: {}", file, line, on_one_line(error.what())));
    }
  });
  for (const auto& [section, content] : root) {
    if (std::ranges::count(besides, section.str()) > 0) continue;
    const std::string name = on_one_line(section.str());
    if (!content.is_table())
      throw FileError(
          fmt::format("{}: line {}: expected a section, found \"{}\"", file, content.source().begin.line, name));
    for (const auto& [key, value] : *content.as_table())
      if (!known.contains(fmt::format("{}.{}", section.str(), key.str())))
        throw FileError(fmt::format(
            "{}: line {}: unknown key {}.{}{}", file, value.source().begin.line, name, on_one_line(key.str()),
            did_you_mean(fmt::format("{}.{}", section.str(), key.str()), {known.begin(), known.end()})));
  }
}

RunConfig from_toml(const std::filesystem::path& path) {
  RunConfig config;
  read_sections(config, parse_toml(path), path.string());
  return config;
}

RunConfig from_toml_text(const std::string& text, const std::string& file) {
  RunConfig config;
  read_sections(config, parse_toml_text(text, file), file);
  return config;
}

}  // namespace espalier
