#include "apps/tool/reproduce.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "apps/tool/commands.h"
#include "apps/tool/config_toml.h"
#include "apps/tool/recipes.h"
#include "apps/tool/training.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/pruning/controls.h"
#include "espalier/pruning/measure.h"

namespace espalier {
namespace {

constexpr std::uint64_t most_seeds = 1000;
constexpr std::uintmax_t limit_bytes = 1 << 28;

// --- experiments -----------------------------------------------------------------------------------------------------

// What decides the bits of a training without pruning.
RunConfig without_pruning(const RunConfig& c) {
  return {.data = c.data,
          .validation = c.validation,
          .augment = c.augment,
          .model = c.model,
          .lanes = c.lanes,
          .epochs = c.epochs,
          .batch = c.batch,
          .optimizer = c.optimizer,
          .rate = c.rate,
          .clip_norm = c.clip_norm,
          .loss = c.loss,
          .huber_delta = c.huber_delta,
          .quantile = c.quantile,
          .class_weights = c.class_weights};
}

std::string digest_of(RunConfig c) {
  const RunConfig plain;
  c.data_dir = plain.data_dir;
  c.seed = plain.seed;
  c.threads = plain.threads;
  c.dense_twin = plain.dense_twin;
  c.baselines = plain.baselines;
  return fmt::format("{:016x}", Random(0, to_toml(c)).bits(0));
}

// root[key], of the kind that is wanted, or nothing.
template <typename T>
std::optional<T> value_of(const toml::table& root, const char* key) {
  const auto node = root[key];
  if (!node) return {};
  const auto value = node.value<T>();
  if (!value)
    throw FileError(fmt::format("line {}: {} has a value of the wrong kind", node.node()->source().begin.line, key));
  return value;
}

std::vector<double> densities_of(const toml::table& root, double otherwise) {
  if (const toml::array* list = root["density"].as_array()) {
    std::vector<double> densities;
    for (const toml::node& node : *list) densities.push_back(node.value<double>().value_or(0));
    return densities;
  }
  return {value_of<double>(root, "density").value_or(otherwise)};
}

std::optional<double> published_at(const toml::table& root, double density) {
  const toml::table* by_density = root["published"].as_table();
  if (!by_density) return value_of<double>(root, "published");
  return value_of<double>(*by_density, fmt::format("{:g}", density).c_str());
}

void apply_recipe(const toml::table& of, RunConfig& config) {
  if (const auto recipe = value_of<std::string>(of, "recipe")) apply(recipe_named(*recipe), config);
}

// Appends the rows of one experiment, on one of the data sets if there are any.
void add_rows(std::vector<ReproduceRow>& rows, const toml::table& defaults, const toml::table* dataset,
              const toml::table& own) {
  ReproduceRow row;
  apply_recipe(defaults, row.config);
  read_sections(row.config, defaults, "defaults", {"seeds", "recipe"});
  if (dataset) {
    apply_recipe(*dataset, row.config);
    read_sections(row.config, *dataset, "dataset", {"name", "recipe"});
  }
  apply_recipe(own, row.config);
  read_sections(row.config, own, "experiment",
                {"name", "recipe", "method", "density", "seeds", "published", "published_gain", "source", "reason"});
  row.name = value_of<std::string>(own, "name").value_or("");
  require(!row.name.empty(), "expected a name");
  if (dataset) {
    row.dataset = value_of<std::string>(*dataset, "name").value_or("(without a name)");
    row.experiment = row.name;
    row.name = row.dataset + ": " + row.experiment;
  }
  const auto method = value_of<std::string>(own, "method").value_or(row.config.method);
  row.dense = method == "dense";
  if (!row.dense) row.config.method = method;
  row.column = own["density"].is_array();
  const std::int64_t seeds =
      value_of<std::int64_t>(own, "seeds").value_or(value_of<std::int64_t>(defaults, "seeds").value_or(1));
  require(seeds >= 1 && seeds <= static_cast<std::int64_t>(most_seeds), "expected 1 to {} seeds, got {}", most_seeds,
          seeds);
  row.seeds = static_cast<std::uint64_t>(seeds);
  row.published_gain = value_of<double>(own, "published_gain");
  row.source = value_of<std::string>(own, "source").value_or("");
  row.reason = value_of<std::string>(own, "reason").value_or("");
  for (const double density : row.dense ? std::vector<double>{1} : densities_of(own, row.config.schedule.density)) {
    require(density > 0 && density <= 1, "expected densities in (0, 1], got {}", density);
    ReproduceRow& added = rows.emplace_back(row);
    added.config.schedule.density = density;
    added.published_error = published_at(own, density);
    check(added.config);
    added.twin = digest_of(without_pruning(added.config));
    added.digest = row.dense ? added.twin : digest_of(added.config);
    RunConfig found = added.config;
    found.control = "none";
    added.found = row.dense ? added.twin : digest_of(found);
  }
}

// --- results ---------------------------------------------------------------------------------------------------------

// One write to a file opened for appending: whole or not at all for everybody who appends at the same time.
void append_line(const std::filesystem::path& file, const std::string& line) {
  const int handle = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (handle < 0) throw FileError(fmt::format("{}: cannot be opened", file.string()));
  char last = '\n';  // of what a machine that went down may have left
  const off_t end = ::lseek(handle, 0, SEEK_END);
  bool done = end == 0 || ::pread(handle, &last, 1, end - 1) == 1;
  const std::string text = (last == '\n' ? "" : "\n") + line + "\n";
  done = done && ::write(handle, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(handle) == 0;
  ::close(handle);
  if (!done) throw FileError(fmt::format("{}: cannot be written (disk full?)", file.string()));
}

}  // namespace

std::vector<ReproduceRow> read_experiments(const std::filesystem::path& file) {
  const toml::table root = parse_toml(file);
  const toml::table none;
  const toml::table& defaults = root["defaults"].is_table() ? *root["defaults"].as_table() : none;
  const toml::array* experiments = root["experiment"].as_array();
  for (const auto& [key, value] : root)
    if (key != "defaults" && key != "experiment" && key != "dataset")
      throw FileError(fmt::format("{}: line {}: expected [defaults], [[dataset]] and [[experiment]], found \"{}\"",
                                  file.string(), value.source().begin.line, std::string(key.str())));
  if (!experiments || experiments->empty())
    throw FileError(fmt::format("{}: expected at least one [[experiment]], found none", file.string()));
  std::vector<const toml::table*> datasets;  // null: of none
  if (const toml::array* list = root["dataset"].as_array())
    for (const toml::node& node : *list) datasets.push_back(node.is_table() ? node.as_table() : &none);
  if (datasets.empty()) datasets.push_back(nullptr);
  std::vector<ReproduceRow> rows;
  for (const toml::table* dataset : datasets)
    for (const toml::node& node : *experiments) {
      const toml::table* own = node.as_table();
      const std::string name = own ? (*own)["name"].value_or("(without a name)") : "";
      try {
        if (!own) throw FileError("expected a table");
        add_rows(rows, defaults, dataset, *own);
      } catch (const Error& error) {
        throw FileError(fmt::format("{}: line {}: experiment \"{}\": {}", file.string(), node.source().begin.line, name,
                                    error.what()));
      }
    }
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (rows[i].label() == rows[j].label())
        throw FileError(fmt::format("{}: experiment \"{}\" stands there twice", file.string(), rows[i].label()));
  return rows;
}

ReproduceResults read_results(const std::filesystem::path& file) {
  ReproduceResults results;
  if (!std::filesystem::exists(file)) return results;
  const std::string text = read_file(file, limit_bytes);
  std::size_t number = 0;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    ++number;
    try {
      Json line = Json::parse(text.substr(at, end - at));
      const std::string key = line.at("key");
      results[key] = std::move(line);
    } catch (const Json::exception& error) {
      throw FileError(fmt::format("{}: line {}: expected a result, found: {}", file.string(), number, error.what()));
    }
  }
  return results;
}

// --- the command -----------------------------------------------------------------------------------------------------

namespace {

struct ReproduceFlags {
  std::string experiments = "pruning/reproduce.toml", only, write, data_dir;
  std::uint64_t seeds = most_seeds;
  int threads = 0;
  bool list = false, table_only = false;
};

// A row and a seed that nobody has run yet.
struct Pending {
  const ReproduceRow* row;
  std::uint64_t seed;
  RunConfig config(const ReproduceFlags& f) const {
    RunConfig c = row->config;
    c.seed = seed;
    c.threads = f.threads;
    if (!f.data_dir.empty()) c.data_dir = f.data_dir;
    return c;
  }
  // Epochs over all trainings: what its time is about proportional to.
  double work() const {
    const RunConfig& c = row->config;
    const Control control = control_named(c.control);
    if (row->dense || control == Control::small_dense) return static_cast<double>(c.epochs);
    const Index trainings = 1 + (c.rewind == "none" ? 0 : c.schedule.rounds) + needs_found(control);
    return static_cast<double>(c.epochs * trainings);
  }
};

std::string text_of_duration(double seconds) {
  const auto minutes = static_cast<Index>(seconds / 60);
  return minutes < 1    ? fmt::format("{:.0f} s", seconds)
         : minutes < 60 ? fmt::format("{} min", minutes)
                        : fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

// What is left, at the pace of what is finished, model by model. Empty if nothing is known of some of it.
std::string time_left(std::span<const Pending> left, const ReproduceResults& results) {
  std::map<std::string, std::pair<double, double>> pace;  // seconds, work
  for (const auto& [key, result] : results)
    if (result.contains("work")) {
      auto& [seconds, work] = pace[result.at("model")];
      seconds += result.at("wall_seconds").get<double>();
      work += result.at("work").get<double>();
    }
  double seconds = 0;
  for (const Pending& p : left) {
    const auto known = pace.find(p.row->config.model);
    if (known == pace.end()) return "";
    seconds += p.work() * known->second.first / known->second.second;
  }
  return ", about " + text_of_duration(seconds) + " left";
}

// Trains, and says what came of it. A training that fails is a result, too: the others need not wait for it. found:
// where the network is left for the controls of the same method, unless empty.
Json run_one(const Pending& p, const RunConfig& config, const Data& data, const std::filesystem::path& checkpoint,
             const std::filesystem::path& found) {
  Json line = {{"key", p.row->key(p.seed)},
               {"name", p.row->name},
               {"method", p.row->dense ? "dense" : config.method},
               {"density", config.schedule.density},
               {"seed", p.seed},
               {"model", config.model},
               {"data", config.data},
               {"epochs", config.epochs},
               {"control", config.control}};
  const auto start = std::chrono::steady_clock::now();
  try {
    const Trained trained = train_model(config, data, p.row->dense ? Side::dense : Side::sparse, {}, checkpoint);
    if (!found.empty()) save_finished(trained, found);
    const Census census = census_of(*trained.model);
    line.update(to_json(trained.metrics));
    line["test_loss"] = trained.test.loss;
    line[validation_key(trained.validation)] = validation_of(trained.validation);
    // Of the network that the configuration names: a control may be a smaller one.
    line["kept"] = static_cast<double>(census.live) / static_cast<double>(census_of(*model_of(config, data)).positions);
    line["nonzeros"] = census.nonzeros();
    line["train_flops"] = trained.train_flops.executed;
    line["train_seconds"] = trained.train_seconds;
    line["work"] = p.work();
    const auto optimizer = make_optimizer(config.optimizer);
    const ModelMeasurement measured = measure({trained.model.get()}, data.train, loss_of(config, data), *optimizer,
                                              {.batch = config.batch,
                                               .lanes = config.lanes,
                                               .threads = threads_of(config),
                                               .repetitions = 5,
                                               .seed = config.seed,
                                               .clip_norm = config.clip_norm})
                                          .front();
    line["train_step_seconds"] = measured.train_step.median;
    line["inference_seconds"] = measured.inference.median;
  } catch (const DivergedError& error) {
    line["failed"] = error.what();
  } catch (const UsageError& error) {
    line["failed"] = error.what();
  }
  line["wall_seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  line["threads"] = threads_of(config);
  line["processor"] = processor_name();
  return line;
}

// NaN for null: a number that is not defined.
double number_of(const Json& line, const char* key) {
  return line[key].is_number() ? line[key].get<double>() : Metrics::unknown;
}

void remove_checkpoint(const std::filesystem::path& checkpoint) {
  std::error_code ignored;
  for (const char* suffix : {"", ".early", ".control"})
    std::filesystem::remove(std::filesystem::path(checkpoint) += suffix, ignored);
}

// A control trains again what its method has found. Where the method is a row of its own, that comes before its
// controls: its network is kept for them until all is done, so that a ticket of nine rounds is found once and not five
// times. To a control it looks like a training of its own that was interrupted between the two.
class FoundNetworks {
 public:
  FoundNetworks(std::filesystem::path folder, std::span<const Pending> pending)
      : folder_(std::move(folder)), pending_(pending) {}
  // Where the network of p has to be left, if somebody wants it.
  std::filesystem::path keep(const Pending& p) const {
    const bool wanted = p.row->config.control == "none" && std::ranges::any_of(pending_, [&](const Pending& other) {
                          return uses_found(other) && other.row->found == p.row->found && other.seed == p.seed;
                        });
    return wanted ? file(p) : std::filesystem::path();
  }
  void hand_over(const Pending& p, const std::filesystem::path& checkpoint) const {
    std::error_code ignored;  // then it is found anew
    if (uses_found(p)) std::filesystem::copy_file(file(p), checkpoint, ignored);
  }
  void remove_all() const {
    std::error_code ignored;
    for (const Pending& p : pending_) std::filesystem::remove(file(p), ignored);
  }

 private:
  static bool uses_found(const Pending& p) { return needs_found(control_named(p.row->config.control)); }
  std::filesystem::path file(const Pending& p) const {
    return folder_ / fmt::format("checkpoint-found-{}-{}", p.row->found, p.seed);
  }
  std::filesystem::path folder_;
  std::span<const Pending> pending_;
};

void run_pending(const std::vector<Pending>& pending, const ReproduceFlags& f, const std::filesystem::path& file,
                 ReproduceResults& results) {
  const FoundNetworks found(file.parent_path(), pending);
  std::set<std::string> loaded;
  for (const Pending& p : pending)  // what is missing is said before hours of training, not after
    if (RunConfig config = p.config(f); loaded.insert(config.data).second) load_data(config);
  watch_for_interrupt();
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const Pending& p = pending[i];
    RunConfig config = p.config(f);
    const Data data = load_data(config);
    const std::filesystem::path checkpoint =
        file.parent_path() / fmt::format("checkpoint-reproduce-{}-{}", p.row->digest, p.seed);
    fmt::print(stderr, "{:>4}/{}  {}, seed {}{}\n", i + 1, pending.size(), p.row->label(), p.seed,
               time_left(std::span(pending).subspan(i), results));
    found.hand_over(p, checkpoint);
    const Json line = [&] {
      try {
        return run_one(p, config, data, checkpoint, found.keep(p));
      } catch (const InterruptedError& error) {
        throw InterruptedError(fmt::format("{}; to go on: the same command again", error.what()));
      }
    }();
    append_line(file, line.dump());
    results[p.row->key(p.seed)] = line;
    remove_checkpoint(checkpoint);
    if (line.contains("failed"))
      fmt::print(stderr, "           failed: {}\n", line["failed"].get<std::string>());
    else
      fmt::print(
          stderr, "           {}, {:.2f} % kept, {}\n",
          line.contains("test_rmse")
              ? fmt::format("test RMSE {:.4g}, R2 {:.4f}", number_of(line, "test_rmse"), number_of(line, "test_r2"))
              : fmt::format("test error {:.2f} %", 100 * (1 - number_of(line, "test_accuracy"))),
          100 * line["kept"].get<double>(), text_of_duration(line["wall_seconds"].get<double>()));
  }
  found.remove_all();
}

void run_reproduce(const ReproduceFlags& f) {
  require(f.seeds >= 1 && f.seeds <= most_seeds, "[--seeds] expected 1 to {}, got {}", most_seeds, f.seeds);
  const std::vector<ReproduceRow> rows = read_experiments(f.experiments);
  const std::filesystem::path file = std::filesystem::path(f.experiments).parent_path() / "results.jsonl";
  ReproduceResults results = read_results(file);
  std::vector<const ReproduceRow*> wanted;
  for (const ReproduceRow& row : rows)
    if (f.only.empty() || fnmatch(f.only.c_str(), row.name.c_str(), 0) == 0 ||
        fnmatch(f.only.c_str(), row.label().c_str(), 0) == 0)
      wanted.push_back(&row);
  require(!wanted.empty(), "[--only] expected the name of an experiment (--list shows them), got \"{}\"", f.only);
  std::vector<Pending> pending;
  for (const ReproduceRow* row : wanted) {
    const std::size_t before = pending.size();
    const std::uint64_t seeds = std::min(row->seeds, f.seeds);
    for (std::uint64_t seed = 1; seed <= seeds; ++seed)
      if (!results.contains(row->key(seed))) pending.push_back({row, seed});
    if (f.list) fmt::print("{:<36}{:>3} of {} seeds done\n", row->label(), seeds - (pending.size() - before), seeds);
  }
  if (f.list) return;
  if (!f.table_only) run_pending(pending, f, file, results);
  const std::string table = reproduce_table(rows, results);
  if (f.write.empty())
    fmt::print("{}", table);
  else
    write_between_markers(f.write, std::filesystem::path(f.experiments).stem(), table);
}

}  // namespace

Command add_reproduce(CLI::App& app) {
  auto f = std::make_shared<ReproduceFlags>();
  app.add_option("--experiments", f->experiments, "What to run; results.jsonl beside it keeps what is finished")
      ->capture_default_str();
  app.add_option("--only", f->only, "Experiments of this name, such as 'rigl' or '*@0.05'");
  app.add_option("--seeds", f->seeds, "At most the first so many of each experiment");
  app.add_option("--threads", f->threads, "0: one per processor; never changes the result")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--data-dir", f->data_dir, "Where the data's files are (else $ESPALIER_DATA, else ./data)");
  app.add_option("--write", f->write,
                 "Put the table between the reproduce:begin and :end comments of this file; of several, between those "
                 "that say reproduce:begin NAME for NAME.toml");
  app.add_flag("--list", f->list, "List the experiments and how far they are; run nothing");
  app.add_flag("--table-only", f->table_only, "Run nothing");
  return [f] { run_reproduce(*f); };
}

}  // namespace espalier
