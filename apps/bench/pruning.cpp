// espalier bench pruning: what a mask update costs beside the training steps between two of them.
//
// Noise for data, one batch, its tiles standing ready. Each method trains a model of its own; updates and static steps
// take turns, so that a machine that slows down slows all. An update is
//
//   the event itself   scores or gradients, the choice, moving the arrays
//   + making ready     what the next step needs of a new pattern (transpose, panels): the first step after the event
//                      less the second
#include <fmt/format.h>

#include <algorithm>

#include "apps/bench/bench.h"
#include "apps/bench/ladder.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/error.h"
#include "espalier/datasets/noise.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

struct PruningFlags {
  RunConfig config{.model = "mlp:784-800-450-10", .schedule = choice_of({})};
  int repetitions = 21;
  bool json = false;
};

// A model in training by one method; turn() goes on to the next mask update.
class Candidate {
 public:
  Candidate(const RunConfig& config, const std::string& method, const Loader& loader, const Optimizer& optimizer,
            int turns)
      : method_name(method),
        loader_(loader),
        rate_(config.rate.rate),
        model_(make_model(config.model,
                          {.input = loader.data().shape(), .outputs = loader.data().classes(), .seed = config.seed})),
        trainer_(*model_, softmax_cross_entropy, optimizer, {.threads = threads_of(config), .seed = config.seed}) {
    const MethodInfo& info = methods().named(method);
    PrunerOptions options = pruning_of(config).options;
    options.seed = config.seed;
    options.geometry = geometries_of(*model_, loader.data().shape());
    options.allocation = info.defaults.allocation;
    options.schedule = info.defaults.schedule;
    options.schedule.density = config.schedule.density;
    options.schedule.interval = config.schedule.interval;
    // As long as it takes for that many updates, and a few.
    steps_ = static_cast<Index>(static_cast<double>((turns + 2) * options.schedule.interval) /
                                (options.schedule.end - options.schedule.begin));
    method_ = make_method(info, {trainer_, loader, options});
    method_->after_step(0, steps_);
    trainer_.keep_tiles();
    time_step();
  }
  double time_step() {
    return seconds_of([&] { trainer_.step(loader_, 0, rate_); });
  }
  void turn() {
    double event = 0;
    bool updated = false;
    while (!updated && step_ < steps_) {
      ++step_;
      event = seconds_of([&] { updated = !method_->after_step(step_, steps_).empty(); });
    }
    if (!updated) return;  // the schedule is over
    const double first = time_step(), second = time_step();
    events.push_back(event);
    updates.push_back(event + std::max(0.0, first - second));
  }

  const std::string method_name;
  std::vector<double> events, updates;  // seconds

 private:
  const Loader& loader_;
  double rate_;
  ModulePtr model_;
  Trainer trainer_;
  std::unique_ptr<Method> method_;
  Index step_ = 0, steps_ = 0;
};

using Candidates = std::vector<std::unique_ptr<Candidate>>;

// Updates of all candidates and static steps in turn. Returns the median of the latter, in seconds.
double time_in_turns(Candidate& resting, const Candidates& candidates, int repetitions) {
  std::vector<double> steps;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    resting.time_step();  // the others have had the caches
    for (int i = 0; i < 5; ++i) steps.push_back(resting.time_step());
    for (const auto& candidate : candidates) candidate->turn();
  }
  return timing_of(steps).median;
}

Json json_of(const RunConfig& c, const Candidates& candidates, double step) {
  const double interval = static_cast<double>(c.schedule.interval) * step;
  Json result = {{"model", c.model},
                 {"density", c.schedule.density},
                 {"interval", c.schedule.interval},
                 {"batch", c.batch},
                 {"lanes", c.lanes},
                 {"threads", threads_of(c)},
                 {"processor", processor_name()},
                 {"static_step_seconds", step}};
  for (const auto& candidate : candidates) {
    const double update = timing_of(candidate->updates).median;
    result[candidate->method_name] = {{"event_seconds", timing_of(candidate->events).median},
                                      {"update_seconds", update},
                                      {"share_of_training", update / (interval + update)},
                                      {"step_over_static", (interval + update) / interval}};
  }
  return result;
}

void print_table(const RunConfig& c, const Candidates& candidates, const Json& result) {
  fmt::print("{}, density {:g}, batch {} in tiles of {}, {} threads, {}\n\n", c.model, c.schedule.density, c.batch,
             c.lanes, threads_of(c), processor_name());
  fmt::print("static sparse step {}; an update every {} steps\n\n",
             text_of_seconds(result["static_step_seconds"].get<double>()), c.schedule.interval);
  fmt::print("{:12}{:>12}{:>12}{:>16}{:>20}\n", "", "event", "update", "% of training", "mean step / static");
  for (const auto& candidate : candidates) {
    const Json& row = result[candidate->method_name];
    fmt::print("{:12}{:>12}{:>12}{:>15.2f} {:>20.3f}\n", candidate->method_name,
               text_of_seconds(row["event_seconds"].get<double>()),
               text_of_seconds(row["update_seconds"].get<double>()), 100 * row["share_of_training"].get<double>(),
               row["step_over_static"].get<double>());
  }
}

void run_bench_pruning(PruningFlags& f) {
  RunConfig& c = f.config;
  require(c.schedule.density > 0 && c.schedule.density <= 1, "[--density] expected a fraction in (0, 1], got {}",
          c.schedule.density);
  require(f.repetitions >= 1 && f.repetitions <= 100000, "[--repetitions] expected 1 to 100000, got {}", f.repetitions);
  c = settled(c);
  flush_subnormals_to_zero();
  const ModelProfile profile = model_profile(c.model);
  const Loader loader(std::make_shared<Noise>(profile.input, profile.outputs, c.batch, c.seed),
                      {.batch = c.batch, .lanes = c.lanes, .shuffle = false});
  const auto optimizer = make_optimizer(c.optimizer);
  Candidate resting(c, "static", loader, *optimizer, f.repetitions);
  Candidates candidates;
  for (const char* method : {"magnitude", "set", "rigl"})
    candidates.push_back(std::make_unique<Candidate>(c, method, loader, *optimizer, f.repetitions));
  const double step = time_in_turns(resting, candidates, f.repetitions);
  const Json result = json_of(c, candidates, step);
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  print_table(c, candidates, result);
}

}  // namespace

std::function<void()> add_bench_pruning(CLI::App& bench) {
  auto flags = std::make_shared<PruningFlags>();
  RunConfig& c = flags->config;
  c.rate.rate = 0.01;
  c.schedule.interval = 100;
  bench.add_option("--model", c.model, fmt::format("{}", fmt::join(known_models(), ", ")))->capture_default_str();
  bench.add_option("--density", c.schedule.density, "At which the masks are, or end, in (0, 1]")->capture_default_str();
  bench.add_option("--interval", c.schedule.interval, "Steps between two updates")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  bench.add_option("--batch", c.batch, "Samples per step")->capture_default_str();
  bench.add_option("--optimizer", c.optimizer.name, optimizers().names())->capture_default_str();
  bench.add_option("--threads", c.threads, "0: one per processor")->capture_default_str();
  bench.add_option("--lanes", c.lanes, "Samples side by side in a tile; 0: 64, or 16 for convolutional models")
      ->capture_default_str();
  bench.add_option("--seed", c.seed, "Of weights and patterns")->check(counted())->capture_default_str();
  bench.add_option("--repetitions", flags->repetitions, "Updates timed of each method")->capture_default_str();
  bench.add_flag("--json", flags->json, "Print JSON");
  return [flags] { run_bench_pruning(*flags); };
}

}  // namespace espalier
