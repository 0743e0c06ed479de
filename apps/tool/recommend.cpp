// espalier recommend: race the recipes that fit some data, and pick one.
#include "espalier/experiment/recommend.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"

namespace espalier {
namespace {

struct RecommendFlags {
  RunConfig config;  // data, seed, threads
  RecommendOptions race;
  std::string data, write;
};

// The user's own data flags once more, for `train`.
std::string data_flags(const CLI::App& own) {
  std::string text;
  for (const CLI::Option* option : own.get_options())
    if (option->count() > 0 && (option->get_group() == data_group || option->get_group() == table_group))
      text += fmt::format(" {} {}", option->get_name(), fmt::join(option->results(), " "));
  return text;
}

void run_recommend(RecommendFlags& f, CLI::App& app) {
  if (!f.data.empty()) f.config.data = f.data;
  const DataParts data = load_data(f.config);
  for (const std::string& note : data.notes) fmt::print(stderr, "{}\n", in_flags(note, app));
  const RunConfig base = f.config;
  const auto settle = [&](const Recipe& recipe) {
    RunConfig config = base;
    apply(recipe, config);
    config = with_flags(app, f.config, std::move(config));
    config.data = base.data;  // as it was found
    return config;
  };
  const Recommendation chosen = recommend(settle, base, data, f.race, stdout);
  if (!f.write.empty()) write_file_atomically(f.write, to_toml(chosen.config));
  const std::string recipe = f.race.folder.empty()
                                 ? chosen.recipe.name
                                 : (std::filesystem::path(f.race.folder) / (chosen.recipe.name + ".toml")).string();
  fmt::print("  to train it:  espalier train {}\n",
             f.write.empty() ? fmt::format("--recipe {} --epochs {}{}{}", recipe, chosen.config.epochs,
                                           f.data.empty() ? "" : " --data " + f.data, data_flags(app))
                             : "--config " + f.write);
  if (chosen.interrupted)
    throw InterruptedError("the race was stopped; it cannot be resumed, and what it recommends, it does so early");
}

}  // namespace

RunConfig with_flags(CLI::App& app, RunConfig& bound, RunConfig base) {
  bound = std::move(base);
  for (CLI::Option* option : app.get_options([](const CLI::Option* o) { return o->count() > 0; }))
    option->run_callback();
  return bound;
}

void add_race_flags(CLI::App& app, RecommendOptions& flags) {
  app.add_option_function<std::string>(
         "--budget", [&flags](const std::string& text) { flags.budget = budget_named(text); },
         "Of a race of recipes, and the training that follows it: about so many seconds, such as 60; or 8epochs, with "
         "which the longest training has so many, and the race is the same on every machine")
      ->default_str(fmt::format("{:g}", flags.budget.seconds));
  app.add_option("--recipes", flags.folder, "Race those of this folder, instead of what `espalier recipes` lists");
}

Command add_recommend(CLI::App& app) {
  auto f = std::make_shared<RecommendFlags>();
  app.add_option("DATA", f->data, "Like --data");
  add_data_flags(app, f->config);
  app.add_option("--seed", f->config.seed, "Of everything that is random")
      ->check(counted())
      ->group(data_group)
      ->capture_default_str();
  app.add_option("--threads", f->config.threads, "0: one per processor; never changes the result")
      ->capture_default_str();
  add_race_flags(app, f->race);
  app.add_option("--rungs", f->race.rungs, "At most so many (default: until two recipes are left to compare)")
      ->check(CLI::Range(Index{1}, Index{60}));
  app.add_flag("--exhaustive", f->race.exhaustive,
               "Afterwards train every recipe for as long, and say how far the recommended one is behind the best");
  app.add_option("--write", f->write, "Write the configuration that was picked to this file, for train --config");
  app.footer(
      "Examples:\n"
      "  espalier recommend people.csv --target income\n"
      "  espalier recommend cifar10 --budget 600 --write best.toml");
  return [f, &app] { run_recommend(*f, app); };
}

}  // namespace espalier
