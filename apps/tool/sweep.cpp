// espalier sweep: methods x densities x structures x seeds, trained side by side, and a table of them.
#include "espalier/experiment/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "apps/tool/train.h"
#include "espalier/core/clock.h"
#include "espalier/core/error.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/interrupt.h"

namespace espalier {
namespace {

struct SweepFlags {
  TrainFlags train;
  SweepGrid grid;
  std::string seeds = "1";
  std::vector<std::string> controls{"dense", "random"};
  ComparisonFiles files;
};

// "1-3" -> 1, 2, 3; "3" -> first, first + 1, first + 2; "1,4,9-11". Throws UsageError.
std::vector<std::uint64_t> seeds_named(const std::string& text, std::uint64_t first) {
  const auto bad = [&] {
    return UsageError(fmt::format("[seeds] expected seeds such as 1-3 or 1,4,9, or how many, got \"{}\"", text));
  };
  constexpr std::uint64_t most = 1000;
  const auto number = [&](std::string_view word) {
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || stop != word.data() + word.size()) throw bad();
    return value;
  };
  std::vector<std::uint64_t> seeds;
  const auto add = [&](std::uint64_t from, std::uint64_t to) {
    if (from > to || to - from >= most) throw bad();
    for (std::uint64_t seed = from; seed <= to; ++seed)
      if (std::ranges::count(seeds, seed) == 0) seeds.push_back(seed);
  };
  if (text.find_first_of(",-") == std::string::npos) {
    const std::uint64_t count = number(text);
    if (count == 0) throw bad();
    add(first, first + count - 1);
    return seeds;
  }
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view word = std::string_view(text).substr(at, end - at);
    const std::size_t dash = word.find('-');
    const std::uint64_t from = number(word.substr(0, dash));
    add(from, dash == std::string_view::npos ? from : number(word.substr(dash + 1)));
    at = end + 1;
  }
  return seeds;
}

// Flags of `train` that mean something else here, or nothing.
void remove_single_flags(CLI::App& app) {
  for (const char* flag : {"--method", "--density", "--structure", "--seeds", "--resume", "--no-dense", "--json",
                           "--tune", "--budget", "--recipes", "--threads", "--out"})
    app.remove_option(app.get_option(flag));
}

void add_sweep_flags(CLI::App& app, SweepFlags& f) {
  TrainFlags& train = f.train;
  app.option_defaults()->group("What is swept");
  app.add_option("--methods", f.grid.methods, "How to prune: `espalier methods` lists them (default: magnitude)")
      ->delimiter(',');
  app.add_option("--densities", f.grid.densities, "Fractions of weights kept, in (0, 1] (default: each method's own)")
      ->delimiter(',');
  app.add_option("--structures", f.grid.structures, "As --structure of train (default: each method's own)")
      ->delimiter(',');
  app.add_option("--seeds", f.seeds, "1-3 or 1,4,9; a number alone: so many, from --seed on")->capture_default_str();
  app.add_option("--controls", f.controls, "What is trained beside them: dense, random or none (default: dense,random)")
      ->delimiter(',');
  app.option_defaults()->group("Run");
  app.add_option("--threads", train.config.threads,
                 "So many runs at a time, one thread each, and so many threads where times are measured; 0: one per "
                 "processor")
      ->capture_default_str();
  app.option_defaults()->group("Output");
  app.add_option("--out", train.place.out,
                 "Folder of the sweep; one that was interrupted there goes on (default: runs/DATA-MODEL-sweep or, if "
                 "that is used, the same with -2, -3, ... behind it)")
      ->check(a_path());
  app.add_option("--resume", train.resume, "Go on with what is missing in this folder of a sweep")->check(a_path());
  add_comparison_flags(app, f.files);
}

// Throws UsageError.
void read_controls(SweepFlags& f) {
  f.grid.dense = f.grid.random = false;
  for (const std::string& control : f.controls) {
    require(control == "dense" || control == "random" || (control == "none" && f.controls.size() == 1),
            "[controls] expected dense, random or none, got {}", control);
    f.grid.dense |= control == "dense";
    f.grid.random |= control == "random";
  }
}

// The runs that the flags ask for, checked. Throws UsageError, FileError.
SweepPlan plan_of(SweepFlags& f, CLI::App& app, std::string& name) {
  TrainFlags& train = f.train;
  require(train.recipe != auto_recipe,
          "[recipe] expected the name of a recipe, got auto: run `espalier recommend` first");
  read_controls(f);
  SweepGrid& grid = f.grid;
  grid.base = train.config = with_flags(app, train.config, base_config_of(train));
  if (train.recipe.empty() && app.count("--model") == 0 && grid.base.model == RunConfig().model)
    grid.base.model = unnamed_model(grid.base);
  grid.seeds = seeds_named(f.seeds, grid.base.seed);
  grid.base.seed = grid.seeds.front();
  for (const std::string& method : grid.methods) methods().named(method);  // before data are loaded
  for (const std::string& structure : grid.structures)
    if (structure != "auto") structure_named(structure);
  settled(grid.base);
  const DataParts data = load_data(grid.base);
  for (const std::string& note : data.notes) fmt::print(stderr, "{}\n", in_flags(note, app));
  name = fmt::format("runs/{}-{}-sweep", data.name, grid.base.model);
  std::ranges::replace(name, ':', '-');
  return {.runs = runs_of(grid, data), .data = fmt::format("{:016x}", fingerprint(data)), .dense_beside = grid.dense};
}

// Throws UsageError for flags that a sweep which goes on would ignore.
void require_no_other_flags(CLI::App& app) {
  const std::vector<std::string> known{"--resume", "--threads", "--checkpoint-every", "--csv", "--markdown",
                                       "--svg",    "--json"};
  for (const CLI::Option* option : app.get_options())
    require(option->count() == 0 || std::ranges::count(known, option->get_name()) > 0,
            "[--resume] expected no flags besides but --threads, --checkpoint-every and those of tables, got {}",
            option->get_name());
}

bool same_sweep(const SweepPlan& a, const SweepPlan& b) {
  return a.data == b.data && a.runs == b.runs;
}

// The folder of the sweep, locked, with its plan in it.
RunFolder sweep_folder(SweepFlags& f, const SweepPlan& plan) {
  RunPlace& place = f.train.place;
  if (!place.out.empty() && !place.overwrite)
    if (const std::optional<SweepPlan> before = plan_in(place.out)) {
      require(same_sweep(*before, plan),
              "[out] {}: expected a folder without a sweep, or with this one, found another (--overwrite removes it)",
              place.out);
      return RunFolder(place.out, Begin::where_it_stopped);
    }
  RunFolder folder = new_run(place);
  write_plan(folder, plan);
  return folder;
}

void say_what_came(const SweepFlags& f, const RunFolder& folder, const SweepOutcome& outcome, double seconds) {
  if (!outcome.runs.empty()) {
    folder.write("table.txt", print_comparison(outcome.runs, f.files));
    fmt::print("\nsweep folder: {}, after {:.1f} s\nas a page: {}\n", folder.path().string(), seconds,
               (folder.path() / report_file_name).string());
    fmt::print("next:  espalier compare {} --markdown sweep.md --svg sweep.svg\n", in_a_shell(folder.path().string()));
  }
  require_no_failure(outcome, folder);
}

void run_sweep_command(SweepFlags& f, CLI::App& app) {
  const Stopwatch watch;
  const bool resumes = !f.train.resume.empty();
  SweepPlan plan;
  if (resumes) {
    require_no_other_flags(app);
    require_not_in_use(f.train.resume);
    const std::optional<SweepPlan> found = plan_in(f.train.resume);
    if (!found)
      throw FileError(
          fmt::format("{}: expected the folder of a sweep, found no runs in a {}", f.train.resume, sweep_file_name));
    plan = *found;
  } else {
    plan = plan_of(f, app, f.train.place.name);
  }
  const RunFolder folder = resumes ? RunFolder(f.train.resume, Begin::where_it_stopped) : sweep_folder(f, plan);
  watch_for_interrupt();
  try {
    const SweepOutcome outcome =
        run_sweep(plan, folder, {.threads = f.train.config.threads, .checkpoint_every = f.train.checkpoint_every});
    say_what_came(f, folder, outcome, watch.seconds());
  } catch (const InterruptedError& error) {
    throw InterruptedError(
        fmt::format("{}; to go on: espalier sweep --resume {}", error.what(), in_a_shell(folder.path().string())));
  }
}

}  // namespace

Command add_sweep(CLI::App& app) {
  auto flags = std::make_shared<SweepFlags>();
  add_train_flags(app, flags->train);
  remove_single_flags(app);
  add_sweep_flags(app, *flags);
  app.footer(
      "Examples:\n"
      "  espalier sweep --methods magnitude,rigl,snip --densities 0.2,0.1,0.05 --seeds 1-3 --epochs 12\n"
      "  espalier sweep --data people.csv --target income --methods magnitude,set --densities 0.1\n"
      "  espalier sweep --structures elements,2:4,block:4x4 --densities 0.5 --svg structures.svg\n"
      "  espalier sweep --resume runs/mnist-lenet-300-100-sweep");
  return [flags, &app] { run_sweep_command(*flags, app); };
}

}  // namespace espalier
