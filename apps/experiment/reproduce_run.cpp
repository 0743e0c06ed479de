// Running the rows of a table of experiments, as far as they are not finished.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>

#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/experiment/baselines.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/reproduce.h"
#include "espalier/pruning/controls.h"
#include "espalier/pruning/measure.h"

namespace espalier {
namespace {

// One write to a file opened for appending: whole or not at all, whatever else is appended at the same time.
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
    if (result.work) {
      auto& [seconds, work] = pace[result.model];
      seconds += result.wall_seconds;
      work += *result.work;
    }
  double seconds = 0;
  for (const Pending& p : left) {
    const auto known = pace.find(p.row->config.model);
    if (known == pace.end()) return "";
    seconds += p.work() * known->second.first / known->second.second;
  }
  return ", about " + text_of_duration(seconds) + " left";
}

// What came of the linear baseline.
void solve_linear(ReproduceResult& r, const RunConfig& config, const DataParts& data) {
  const std::vector<BaselineResult> baselines = baselines_of(config, data);
  const auto found = std::ranges::find(baselines, "linear", &BaselineResult::name);
  require(found != baselines.end(), "[method] linear: expected samples that are no text, got those of {}", data.name);
  const BaselineResult& linear = *found;
  r.failed = linear.failed;
  if (!r.failed.empty()) return;
  r.test = linear.test;
  r.test_loss = r.regression() ? Metrics::unknown : linear.test.log_loss;
  r.validation = linear.validation;
  r.nonzeros = linear.parameters;
  r.epochs = linear.passes;
  r.train_seconds = linear.train_seconds;
}

// Trains and measures. found: where the network is left for the controls of the same method, unless empty.
void train_and_measure(ReproduceResult& r, const Pending& p, const RunConfig& config, const DataParts& data,
                       const std::filesystem::path& checkpoint, const std::filesystem::path& found) {
  const Trained trained = train_side(config, data, p.row->dense ? Side::dense : Side::sparse, {}, {.file = checkpoint});
  if (!found.empty()) save_finished(trained, found);
  const Census census = census_of(*trained.model);
  r.test = trained.metrics;
  r.test_loss = trained.test.loss;
  if (trained.validation.samples > 0)
    r.validation = r.regression() ? trained.validation.rmse : trained.validation.accuracy;
  // Of the network that the configuration names: a control may be a smaller one.
  r.kept = static_cast<double>(census.live) / static_cast<double>(census_of(*model_of(config, data)).positions);
  r.nonzeros = census.nonzeros();
  r.train_flops = trained.train_flops.executed;
  r.train_seconds = trained.train_seconds;
  r.work = p.work();
  const auto optimizer = make_optimizer(config.optimizer);
  const ModelMeasurement measured = measure({trained.model.get()}, data.train, loss_of(config, data), *optimizer,
                                            {.batch = config.batch,
                                             .lanes = config.lanes,
                                             .threads = threads_of(config),
                                             .repetitions = 5,
                                             .seed = config.seed,
                                             .clip_norm = config.clip_norm})
                                        .front();
  r.train_step_seconds = measured.train_step.median;
  r.inference_seconds = measured.inference.median;
}

// What came of one row and seed. A training that fails is a result, too: the others need not wait for it.
ReproduceResult run_one(const Pending& p, const RunConfig& config, const DataParts& data,
                        const std::filesystem::path& checkpoint, const std::filesystem::path& found) {
  ReproduceResult r{.key = p.row->key(p.seed),
                    .name = p.row->name,
                    .method = p.row->linear  ? "linear"
                              : p.row->dense ? "dense"
                                             : config.method,
                    .density = config.schedule.density,
                    .seed = p.seed,
                    .model = p.row->linear ? "linear" : config.model,
                    .data = config.data,
                    .epochs = config.epochs,
                    .control = config.control};
  const Stopwatch watch;
  try {
    if (p.row->linear)
      solve_linear(r, config, data);
    else
      train_and_measure(r, p, config, data, checkpoint, found);
  } catch (const DivergedError& error) {
    r.failed = error.what();
  } catch (const UsageError& error) {
    r.failed = error.what();
  }
  r.wall_seconds = watch.seconds();
  r.threads = threads_of(config);
  r.processor = processor_name();
  return r;
}

// A control trains again what its method has found. Where the method is a row of its own, that comes before its
// controls: its network is kept for them until all is done, so that a ticket of nine rounds is found once and not five
// times. To a control it looks like a training of its own that was interrupted between the two.
class FoundNetworks {
 public:
  FoundNetworks(std::filesystem::path folder, std::span<const Pending> pending)
      : folder_(std::move(folder)), pending_(pending) {}
  // Where the network of p has to be left; empty if no control will ask for it.
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

}  // namespace

RunConfig Pending::config(const ReproduceOptions& options) const {
  RunConfig c = row->config;
  c.seed = seed;
  c.threads = options.threads;
  if (!options.data_dir.empty()) c.data_dir = options.data_dir;
  return c;
}

double Pending::work() const {
  const RunConfig& c = row->config;
  const Control control = control_named(c.control);
  if (row->dense || control == Control::small_dense) return static_cast<double>(c.epochs);
  const Index trainings = 1 + (c.rewind == "none" ? 0 : c.schedule.rounds) + needs_found(control);
  return static_cast<double>(c.epochs * trainings);
}

void run_pending(const std::vector<Pending>& pending, const ReproduceOptions& f, const std::filesystem::path& file,
                 ReproduceResults& results) {
  const FoundNetworks found(file.parent_path(), pending);
  std::set<std::string> loaded;
  for (const Pending& p : pending)  // what is missing is said before hours of training, not after
    if (RunConfig config = p.config(f); loaded.insert(config.data).second) load_data(config);
  watch_for_interrupt();
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const Pending& p = pending[i];
    RunConfig config = p.config(f);
    const DataParts data = load_data(config);
    const std::filesystem::path checkpoint =
        file.parent_path() / fmt::format("checkpoint-reproduce-{}-{}", p.row->digest, p.seed);
    fmt::print(stderr, "{:>4}/{}  {}, seed {}{}\n", i + 1, pending.size(), p.row->label(), p.seed,
               time_left(std::span(pending).subspan(i), results));
    found.hand_over(p, checkpoint);
    const ReproduceResult result = [&] {
      try {
        return run_one(p, config, data, checkpoint, found.keep(p));
      } catch (const InterruptedError& error) {
        throw InterruptedError(fmt::format("{}; to go on: the same command again", error.what()));
      }
    }();
    append_line(file, line_of(result));
    results[p.row->key(p.seed)] = result;
    remove_checkpoint(checkpoint);
    if (!result.failed.empty())
      fmt::print(stderr, "           failed: {}\n", result.failed);
    else
      fmt::print(stderr, "           {}, {:.2f} % kept, {}\n",
                 result.regression() ? fmt::format("test RMSE {:.4g}, R2 {:.4f}", result.test.rmse, result.test.r2)
                                     : fmt::format("test error {:.2f} %", 100 * (1 - result.test.accuracy)),
                 100 * result.kept, text_of_duration(result.wall_seconds));
  }
  found.remove_all();
}

}  // namespace espalier
